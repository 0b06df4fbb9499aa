// How soon an acquire is answered: tracks that are there and tracks that are not, settings that differ, and
// peers that hang. See stuck.h.
#include <algorithm>
#include <utility>

#include "core/rng.h"
#include "tools/sim/streams.h"
#include "tools/sim/stuck.h"

namespace trunkline::sim {

namespace {

using relay::LinkState;
using relay::Outcome;

// An instant that falls together with nothing that comes each millisecond.
constexpr Nanos kOdd = core::from_us(10'373);

Nanos took(Replay& run, uint64_t handle) {
  const Acquisition& a = run.fleet.auditor.acquisition(handle);
  return a.ended - a.submitted;
}

void expect(StuckTally& tally, bool as_it_should, const std::string& what) {
  if (!as_it_should) tally.broken.push_back(what);
}

// Calls fn(a, b) for every two of the ten regions.
template <class Fn>
void each_pair(Fn&& fn) {
  for (uint32_t a = 0; a < kRegions; ++a) {
    for (uint32_t b = 0; b < a; ++b) fn(static_cast<Region>(a), static_cast<Region>(b));
  }
}

// Nobody has the track: all peers are asked, the furthest one answers last.
void ask_for_nothing(Replay& run, StuckFigure& figure, StuckTally& tally) {
  run.start();
  uint32_t track = 0;
  for (int round = 0; round < 3; ++round) {
    for (NodeIndex node = 0; node < run.fleet.size(); ++node) {
      const uint64_t handle = run.acquire(node, track++);
      run.run_for(core::from_ms(500) + kOdd);
      const Acquisition& a = run.fleet.auditor.acquisition(handle);
      expect(tally, a.state == Acquisition::State::kOver && a.outcome == Outcome::not_here,
             text("absent track, node %u of %u at %.0f ms, round trip %.1f: %s after %.1f ms", node,
                  run.fleet.size(), ms(a.submitted), ms(run.fleet.largest_round_trip(node)),
                  relay::outcome_name(a.outcome), ms(took(run, handle))));
      figure.values.push_back(ms(took(run, handle) - run.fleet.largest_round_trip(node)));
    }
  }
  tally.add(run, "absent");
}

}  // namespace

StuckFigures stuck_absent(StuckTally& tally) {
  StuckFigure figure{"stuck.absent", "ms after 1 RTT", 1.0, {}};
  each_pair([&](Region a, Region b) {
    Replay run(plain_options(1, {a, b}));
    ask_for_nothing(run, figure, tally);
  });
  Replay all(ten_regions());
  make_room(all);
  ask_for_nothing(all, figure, tally);
  figure.note = "worst of every two of ten regions, and of all ten";
  return {figure};
}

// Ten nodes, four tracks on each, each with media every 20 ms; subscribers come and go everywhere, and one in
// six asks for what nobody has.
StuckFigures stuck_healthy(StuckTally& tally) {
  constexpr uint32_t kTracks = 40, kAcquires = 6'000;
  constexpr Nanos kHeld = core::from_ms(700);  // all answers come sooner
  Replay run(ten_regions());
  make_room(run);
  run.start();
  const NodeIndex nodes = run.fleet.size();
  for (uint32_t t = 0; t < kTracks; ++t) run.publish(static_cast<NodeIndex>(t % nodes), t);
  run.run_for(core::from_s(1));
  StuckFigure there{"stuck.healthy.p999", "ms after 2 RTT", 20.0, {}, StuckFigure::Of::kP999};
  StuckFigure absent{"stuck.negative.p99", "ms after 1 RTT", 2.0, {}, StuckFigure::Of::kP99};
  core::Rng rng(7);
  std::vector<uint64_t> asked;
  size_t oldest = 0;
  for (uint32_t n = 0; n < kAcquires; ++n) {
    const auto node = static_cast<NodeIndex>(rng.below(nodes));
    const auto away = static_cast<uint32_t>(1 + rng.below(nodes - 1u));  // not its own
    const auto track = static_cast<uint32_t>((node + away) % nodes + nodes * rng.below(kTracks / nodes));
    asked.push_back(run.acquire(node, n % 6 == 0 ? kTracks + n : track));
    run.run_for(core::from_us(between(rng, 1'000, 9'000)));
    while (oldest < asked.size() &&
           run.fleet.auditor.acquisition(asked[oldest]).submitted + kHeld < run.fleet.now()) {
      run.release(asked[oldest++]);
    }
  }
  run.run_for(core::from_s(2));
  for (const uint64_t handle : asked) {
    const Acquisition& a = run.fleet.auditor.acquisition(handle);
    const bool exists = a.track < kTracks;
    expect(tally, a.outcome == (exists ? Outcome::ok : Outcome::not_here),
           text("healthy: track %u ended %s", a.track, relay::outcome_name(a.outcome)));
    if (exists) {
      const Nanos trip = run.round_trip(a.node, static_cast<NodeIndex>(a.track % nodes));
      there.values.push_back(ms(a.ended - a.submitted - trip * 2));
    } else {
      absent.values.push_back(ms(a.ended - a.submitted - run.fleet.largest_round_trip(a.node)));
    }
  }
  tally.add(run, "healthy");
  there.note = "ten nodes in ten regions, 40 tracks, subscribers come and go; negative: well before 2 RTT";
  StuckFigure p50 = there, p99 = there;
  p50.name = "stuck.healthy.p50", p50.of = StuckFigure::Of::kMedian, p50.goal.reset();
  p99.name = "stuck.healthy.p99", p99.of = StuckFigure::Of::kP99, p99.goal.reset();
  return {p50, p99, there, absent};
}

// ---- settings that differ

namespace {

void set_other(relay::NodeConfig& config, size_t setting) {
  relay::WireSetting& wrong = config.wire[setting];
  wrong.current = wrong.name == "mtu" ? "9000" : "other";
  wrong.accepted = {wrong.current};
  if (wrong.name == "mtu") config.mtu = 9'000;
}

// Since when the end of `node` names the setting; kNever: it does not.
Nanos named_since(const Replay& run, NodeIndex node, NodeIndex peer, const std::string& setting) {
  const relay::LinkStatus link = link_of(run, node, peer);
  const bool named = link.state == LinkState::kIncompatible &&
                     std::string(link.text.data()).find(setting) != std::string::npos;
  return named ? link.since : core::kNever;
}

// Both ends, from `from` on.
void wait_for_names(Replay& run, size_t setting, Nanos from, StuckFigure& figure) {
  const std::string name = run.fleet.config(0).wire[setting].name;
  run.run_for(core::from_s(5));
  for (const NodeIndex node : {NodeIndex{0}, NodeIndex{1}}) {
    const auto peer = static_cast<NodeIndex>(1 - node);
    const Nanos since = named_since(run, node, peer, name);
    const Nanos late = since == core::kNever ? core::from_s(5) : since - from;
    figure.values.push_back(ms(late - run.round_trip(0, 1)));
  }
}

}  // namespace

StuckFigures stuck_mismatch(StuckTally& tally) {
  StuckFigure figure{"stuck.mismatch", "ms after 1 RTT", 1'000.0, {}};
  constexpr size_t kSettings[] = {0, 1};  // the namespace of tracks, the MTU
  each_pair([&](Region a, Region b) {
    for (const size_t setting : kSettings) {
      Replay at_start(plain_options(1, {a, b}));
      set_other(at_start.fleet.config(1), setting);
      at_start.fleet.start(0);
      at_start.fleet.start(1);
      wait_for_names(at_start, setting, Nanos{}, figure);
      tally.add(at_start, "mismatch");

      Replay restarted(plain_options(1, {a, b}));
      restarted.start();
      restarted.fleet.crash(1);
      set_other(restarted.fleet.config(1), setting);
      restarted.fleet.start(1);
      wait_for_names(restarted, setting, restarted.fleet.now(), figure);
      tally.add(restarted, "mismatch after a restart");
    }
  });
  figure.note = "both ends name it; at the first start, and when one restarts with it";

  // One of five restarts with a wrong setting; the media of the others has no gap but its own interval.
  StuckFigure others{"stuck.mismatch.others", "ms of media missed", 0.0, {}};
  for (const size_t setting : kSettings) {
    Replay run{Variant{}};
    run.start();
    for (const NodeIndex node : {kWashington1, kWashington2, kLondon1, kTokyo}) run.publish(node, node);
    run.run_for(core::from_ms(500));
    for (const NodeIndex node : {kWashington1, kWashington2, kLondon1, kTokyo}) {
      for (const NodeIndex on : {kWashington1, kWashington2, kLondon1, kTokyo}) {
        if (node != on) run.acquire(on, node);
      }
    }
    run.run_for(core::from_s(1));
    run.reset_gaps();
    run.fleet.crash(kLondon2);
    set_other(run.fleet.config(kLondon2), setting);
    run.fleet.start(kLondon2);
    run.run_for(core::from_s(20));
    expect(tally, run.fed() == 12, "mismatch: the others lost tracks");
    others.values.push_back(ms(run.longest_gap() - Replay::kPacketEvery));
    tally.add(run, "mismatch of one of five");
  }
  others.note = "one of five nodes restarts with a wrong setting; the other four, for 20 s";
  return {figure, others};
}

// ---- a peer that hangs

namespace {

// Times of acquires among the first four of five nodes.
std::vector<Nanos> among_four(bool hung, StuckTally& tally) {
  constexpr uint32_t kTracks = 200;
  Replay run{Variant{}};
  make_room(run);
  run.start();
  for (uint32_t t = 0; t < kTracks; ++t) run.publish(static_cast<NodeIndex>(t % 4), t);
  run.run_for(core::from_s(2));
  if (hung) run.fleet.stand_still(kTokyo, run.fleet.now() + core::from_s(60));
  for (uint32_t t = 0; t < kTracks; ++t) {
    run.acquire(static_cast<NodeIndex>((t + 1 + t / 4 % 3) % 4), t);
    run.run_for(core::from_ms(40) + kOdd);  // before the silence is noticed, while it is, and long after
  }
  run.run_for(core::from_s(2));
  std::vector<Nanos> times;
  for (const uint64_t handle : run.handles()) times.push_back(took(run, handle));
  expect(tally, run.count(Outcome::ok) == kTracks, "hung: not all acquires among the others ended OK");
  tally.add(run, hung ? "hung" : "not hung");
  return times;
}

}  // namespace

StuckFigures stuck_hung(StuckTally& tally) {
  const std::vector<Nanos> healthy = among_four(false, tally), hung = among_four(true, tally);
  StuckFigure figure{"stuck.hung", "ms longer", 1.0, {}};
  for (size_t i = 0; i < healthy.size(); ++i) {
    figure.values.push_back(ms(std::max(hung[i] - healthy[i], healthy[i] - hung[i])));
  }
  figure.note =
      "one of five stands still; acquires among the other four, against the same without; 1 ms is a tick";
  return {figure};
}

}  // namespace trunkline::sim
