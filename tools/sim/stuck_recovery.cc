// How soon what was fed is fed again, and how soon a mesh is as calm as before: failover, gray nodes,
// restarts, storms. See stuck.h.
#include <algorithm>
#include <string>

#include "core/rng.h"
#include "tools/sim/streams.h"
#include "tools/sim/stuck.h"

namespace trunkline::sim {

namespace {

using relay::MeshCounter;

constexpr Nanos kSecond = core::from_s(1);

struct Triple {
  Region publisher, other, subscriber;
};
// Within a region, within a continent, and across oceans; `other` has links to both.
constexpr Triple kTriples[] = {
    {Region::kWashington, Region::kWashington, Region::kWashington},
    {Region::kFrankfurt, Region::kLondon, Region::kMadrid},
    {Region::kToronto, Region::kWashington, Region::kDallas},
    {Region::kTokyo, Region::kOsaka, Region::kTokyo},
    {Region::kWashington, Region::kWashington, Region::kLondon},
    {Region::kWashington, Region::kLondon, Region::kLondon},
    {Region::kLondon, Region::kFrankfurt, Region::kWashington},
    {Region::kTokyo, Region::kDallas, Region::kLondon},
    {Region::kSaoPaulo, Region::kWashington, Region::kSydney},
};

// From the instant at which the wire between publisher and subscriber broke to the first packet that came
// another way.
Nanos fail_over(const Triple& triple, bool carried, Nanos moment, StuckTally& tally) {
  constexpr NodeIndex kPublisher = 0, kOther = 1, kSubscriber = 2;
  Replay run(plain_options(1, {triple.publisher, triple.other, triple.subscriber}));
  run.start();
  run.publish(kPublisher, 1);
  run.run_for(kSecond);
  const uint64_t handle = run.acquire(kSubscriber, 1);
  run.run_for(kSecond);
  if (carried) run.acquire(kOther, 1);
  run.run_for(kSecond + moment);
  const Nanos from = run.fleet.now();
  run.fleet.network.cut(kPublisher, kSubscriber, true);
  run.fleet.network.cut(kSubscriber, kPublisher, true);
  // What was on its way still comes.
  run.run_for(run.fleet.network.delay(kPublisher, kSubscriber) + relay::kMeshTick);
  const Acquisition& a = run.fleet.auditor.acquisition(handle);
  const uint32_t before = a.highest;
  Nanos first = core::kNever;
  run.run_until([&] { return a.highest > before; }, core::from_s(10));
  if (a.highest > before) first = a.last_packet - from;
  tally.add(run, "failover");
  return first == core::kNever ? core::from_s(10) : first;
}

}  // namespace

StuckFigures stuck_failover(StuckTally& tally) {
  StuckFigure worst{"stuck.failover", "ms", 200.0, {}};
  StuckFigure carried{"stuck.failover.carried", "ms", 200.0, {}};
  StuckFigure trips{"stuck.failover.beyond", "ms after the trips", 200.0, {}};
  for (const Triple& t : kTriples) {
    double most = 0, most_carried = 0;
    for (const Nanos moment : {core::from_us(137), core::from_us(7'331), core::from_us(13'913)}) {
      const double fetched = ms(fail_over(t, false, moment, tally)),
                   had = ms(fail_over(t, true, moment, tally));
      // The silence begins one way after the cut; then ask and be answered, and the same once more beyond.
      const double way = ms(one_way_delay(t.publisher, t.subscriber));
      const double near = ms(one_way_delay(t.subscriber, t.other) + one_way_delay(t.other, t.subscriber));
      const double far = ms(one_way_delay(t.other, t.publisher) + one_way_delay(t.publisher, t.other));
      worst.values.push_back(fetched);
      carried.values.push_back(had);
      trips.values.push_back(fetched - way - near - far);
      trips.values.push_back(had - way - near);
      most = std::max(most, fetched), most_carried = std::max(most_carried, had);
    }
    worst.note += text("%s%s over %s to %s %.0f", worst.note.empty() ? "" : ", ", region_name(t.publisher),
                       region_name(t.other), region_name(t.subscriber), most);
    carried.note +=
        text("%s%.0f", carried.note.empty() ? "the same, where the other node has the track already: " : ", ",
             most_carried);
  }
  trips.note = "less one way from the publisher, and the round trips that asking the other way takes";
  StuckFigure median = worst;
  median.name = "stuck.failover.p50", median.of = StuckFigure::Of::kMedian;
  median.note = "of all triples of regions, the other node not carrying the track";
  return {median, worst, carried, trips};
}

// ---- a gray node

// It answers OK, sends heartbeats, and no media; another node has the same tracks. The third one asks ten
// times a second.
StuckFigures stuck_gray(StuckTally& tally) {
  StuckFigure out{"stuck.gray", "ms to ejection", 3'000.0, {}};
  StuckFigure back{"stuck.gray.back", "ms after repair", 10'000.0, {}};
  constexpr NodeIndex kGray = kLondon2;
  for (const Nanos lasts : {core::from_s(5), core::from_s(20), core::from_s(60)}) {
    Replay run{Variant{}};
    make_room(run);
    run.start();
    constexpr uint32_t kTracks = 900, kWanted = 50;  // 90 s; each for five
    std::vector<uint64_t> published;                 // of each track two
    for (uint32_t t = 0; t < kTracks; ++t) {
      published.push_back(run.publish(kLondon1, t, 1, true));
      published.push_back(run.publish(kGray, t, 1, true));
    }
    run.run_for(core::from_s(2));
    const auto gray = [&](bool on) {
      for (NodeIndex node = 0; node < run.fleet.size(); ++node) {
        if (node == kGray) continue;
        if (on) run.fleet.network.gray(kGray, node, Gray::kMedia, 0);
        if (!on) run.fleet.network.clear(kGray, node);
      }
    };
    uint32_t track = 0;
    Nanos asked{};
    std::vector<uint64_t> wanted;
    const auto becomes = [&](bool ejected) {
      return [&, ejected] {
        if (run.fleet.now() >= asked && track < kTracks) {
          run.begin_media(published[2 * track]);
          run.begin_media(published[2 * track + 1]);
          wanted.push_back(run.acquire(kWashington1, track++));
          if (wanted.size() > kWanted) run.release(wanted[wanted.size() - kWanted - 1]);
          asked = run.fleet.now() + core::from_ms(100);
        }
        return link_of(run, kWashington1, kGray).ejected == ejected;
      };
    };
    gray(true);
    const Nanos begin = run.fleet.now();
    const Nanos ejected = run.run_until(becomes(true), core::from_s(20));
    run.run_until([&] { return becomes(true)(), run.fleet.now() >= begin + lasts; }, lasts);
    gray(false);
    const Nanos returned = run.run_until(becomes(false), core::from_s(60));
    out.values.push_back(ejected == core::kNever ? 20'000 : ms(ejected));
    back.values.push_back(returned == core::kNever ? 60'000 : ms(returned));
    out.note += text("%s%.0f s: out after %.0f ms, back after %.0f", out.note.empty() ? "gray for " : "; ",
                     static_cast<double>(lasts.ns) * 1e-9, out.values.back(), back.values.back());
    tally.add(run, "gray");
  }
  return {out, back};
}

// All peers of one node are gray, though no other node finds them so: the fault is rather here, and no more
// than a third of them is ejected at any time.
StuckFigures stuck_gray_cap(StuckTally& tally) {
  StuckFigure figure{"stuck.gray.share", "of all peers", 1.0 / 3, {}};
  constexpr NodeIndex kHere = 0;
  Replay run(plain_options(1, {Region::kWashington, Region::kWashington, Region::kDallas, Region::kLondon,
                               Region::kFrankfurt, Region::kTokyo, Region::kSydney}));
  make_room(run);
  run.start();
  const NodeIndex nodes = run.fleet.size();
  constexpr uint32_t kTracks = 300;
  for (uint32_t t = 0; t < kTracks; ++t) run.publish(static_cast<NodeIndex>(1 + t % (nodes - 1u)), t);
  run.run_for(core::from_s(2));
  for (NodeIndex node = 1; node < nodes; ++node) run.fleet.network.gray(node, kHere, Gray::kMedia, 0);
  for (uint32_t t = 0; t < kTracks; ++t) {
    run.acquire(kHere, t);
    run.run_for(core::from_ms(50));
    uint32_t ejected = 0;
    for (NodeIndex node = 1; node < nodes; ++node) ejected += link_of(run, kHere, node).ejected ? 1 : 0;
    figure.values.push_back(static_cast<double>(ejected) / (nodes - 1u));
  }
  const uint64_t capped = counter(run, kHere, MeshCounter::ejections_capped);
  if (capped == 0) tally.broken.push_back("gray: a third of the peers was never at stake");
  figure.note = text("no media comes from any of six peers for 15 s; %llu ejections were refused",
                     static_cast<unsigned long long>(capped));
  tally.add(run, "all gray");
  return {figure};
}

// ---- a publisher restarts

namespace {

// Its subscribers' hosts ask again as soon as they are told that it is over, or that it is not there.
struct Wanted {
  NodeIndex node = 0;
  uint64_t handle = 0;
  Nanos restored = core::kNever;
};

void want_again(Replay& run, Wanted& wanted, uint32_t track) {
  const Acquisition& a = run.fleet.auditor.acquisition(wanted.handle);
  const bool over = a.state == Acquisition::State::kOver;
  if (over) wanted.handle = run.acquire(wanted.node, track);
}

}  // namespace

StuckFigures stuck_restart(StuckTally& tally) {
  StuckFigure figure{"stuck.restart", "ms after 2 RTT", 1'000.0, {}};
  StuckFigure whole{"stuck.restart.whole", "ms after the restart", {}, {}};
  constexpr uint32_t kTrack = 1;
  for (const int64_t down_ms : {20, 120, 500, 3'000, 15'000}) {
    for (NodeIndex publisher = 0; publisher < 5; ++publisher) {
      Replay run{Variant{}};
      make_room(run);
      run.start();
      const uint64_t first = run.publish(publisher, kTrack);
      run.run_for(kSecond);
      std::vector<Wanted> all;
      for (NodeIndex node = 0; node < 5; ++node) {
        if (node != publisher) all.push_back({node, run.acquire(node, kTrack)});
      }
      run.run_for(kSecond + core::from_us(3'137));
      run.fleet.crash(publisher);
      run.run_for(core::from_ms(down_ms));
      const Nanos back = run.fleet.now();
      run.fleet.start(publisher);
      const uint64_t second = run.publish(publisher, kTrack);
      const auto newest = static_cast<uint32_t>(second >> 1);
      run.run_until(
          [&] {
            bool done = true;
            for (Wanted& wanted : all) {
              want_again(run, wanted, kTrack);
              const Acquisition& a = run.fleet.auditor.acquisition(wanted.handle);
              if (a.publication == newest && wanted.restored == core::kNever)
                wanted.restored = run.fleet.now();
              done = done && wanted.restored != core::kNever;
            }
            return done;
          },
          core::from_s(20));
      for (const Wanted& wanted : all) {
        const bool restored = wanted.restored != core::kNever && first != second;
        const Nanos late = wanted.restored - back;
        figure.values.push_back(restored ? ms(late - run.round_trip(wanted.node, publisher) * 2) : 20'000);
        whole.values.push_back(restored ? ms(late) : 20'000);
      }
      tally.add(run, "restart");
    }
  }
  figure.note =
      "each of five nodes, down for 20 ms to 15 s; counted from the instant at which the publisher is back, "
      "which is before anybody has noticed";
  whole.note = "the same, with the two round trips";
  return {figure, whole};
}

// ---- after the storm

// Hosts on five nodes ask at a steady rate, and ask again for what they lost or did not get. One region is
// cut off for 8 s.
StuckFigures stuck_storm(StuckTally& tally) {
  StuckFigure figure{"stuck.storm", "ratio", 1.2, {}};
  constexpr uint32_t kTracks = 100;
  constexpr Nanos kStep = core::from_ms(10), kWindow = core::from_s(10);
  for (const NodeIndex cut : {kTokyo, kWashington1}) {
    Replay run{Variant{}};
    make_room(run);
    run.start();
    for (uint32_t t = 0; t < kTracks; ++t) run.publish(static_cast<NodeIndex>(t % 5), t);
    run.run_for(kSecond);
    core::Rng rng(17);
    std::vector<uint64_t> wanted;  // until released
    const auto go_on = [&](Nanos time) {
      for (const Nanos end = run.fleet.now() + time; run.fleet.now() < end; run.run_for(kStep)) {
        const auto node = static_cast<NodeIndex>(rng.below(5));
        const auto track = static_cast<uint32_t>((node + 1 + rng.below(4)) % 5 + 5 * rng.below(kTracks / 5));
        wanted.push_back(run.acquire(node, track));
        for (uint64_t& handle : wanted) {
          const Acquisition& a = run.fleet.auditor.acquisition(handle);
          if (a.state != Acquisition::State::kOver) continue;
          const NodeIndex on = a.node;
          handle = run.acquire(on, a.track);
        }
        // Each is wanted for two seconds.
        if (wanted.size() > 200) {
          run.release(wanted.front());
          wanted.erase(wanted.begin());
        }
      }
    };
    const auto requests = [&](Nanos time) {
      const uint64_t before = counter(run, MeshCounter::requests_sent);
      go_on(time);
      return static_cast<double>(counter(run, MeshCounter::requests_sent) - before);
    };
    go_on(core::from_s(5));
    const double before = requests(kWindow);
    run.cut_off(cut, true);
    const double during = requests(core::from_s(8));
    run.cut_off(cut, false);
    go_on(core::from_s(5));
    const double after = requests(kWindow);
    figure.values.push_back(after / before);
    figure.note += text("%s%.0f requests/s before, %.0f in the outage, %.0f from 5 s after it",
                        figure.note.empty() ? "" : "; ", before / 10, during / 8, after / 10);
    tally.add(run, "storm");
  }
  return {figure};
}

}  // namespace trunkline::sim
