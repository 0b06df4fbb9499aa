// How soon a link that is dead is called so, one that is not is left alone, and one that works again is up.
// See stuck.h.
#include <algorithm>

#include "core/rng.h"
#include "tools/sim/streams.h"
#include "tools/sim/stuck.h"

namespace trunkline::sim {

namespace {

using relay::LinkState;
using relay::MeshCounter;

constexpr Nanos kSecond = core::from_s(1);

// After its wire broke at `from`: how long until the node no longer called the link up. Its packets of before
// have arrived.
Nanos noticed(const Replay& run, NodeIndex node, NodeIndex peer, Nanos from) {
  const relay::LinkStatus link = link_of(run, node, peer);
  return link.state == LinkState::kUp ? core::from_s(5) : link.since - from;
}

struct Broken {
  StuckFigure down, deaf, mute, mute_both;
};

// Two nodes; the wire breaks in both directions, or in one, at an odd moment; and all is well again. Hosts
// ask all the while for what the other end has.
void break_wire(Replay& run, core::Rng& rng, bool one_way, uint32_t track, Broken& figures) {
  const Nanos there = run.fleet.network.delay(0, 1), back = run.fleet.network.delay(1, 0);
  run.run_for(Nanos{between(rng, 0, core::from_ms(100).ns)});
  const Nanos from = run.fleet.now();
  run.fleet.network.cut(0, 1, true);
  if (!one_way) run.fleet.network.cut(1, 0, true);
  run.acquire(0, track);  // before anybody knows
  run.acquire(1, track);
  run.run_for(core::from_s(3));
  run.acquire(1, track + 1);
  const Nanos by_0 = noticed(run, 0, 1, from), by_1 = noticed(run, 1, 0, from);
  if (one_way) {
    figures.deaf.values.push_back(ms(by_1 - there));
    figures.mute.values.push_back(ms(by_0 - there));
    figures.mute_both.values.push_back(ms(by_0 - there - back));
  } else {
    figures.down.values.push_back(ms(by_0 - back));
    figures.down.values.push_back(ms(by_1 - there));
  }
  run.fleet.network.cut(0, 1, false);
  if (!one_way) run.fleet.network.cut(1, 0, false);
  run.run_for(core::from_s(4));
}

}  // namespace

StuckFigures stuck_down(StuckTally& tally) {
  Broken f{{"stuck.down", "ms after one way", 150.0, {}},
           {"stuck.halfopen.deaf", "ms after one way", 150.0, {}},
           {"stuck.halfopen.mute", "ms after one way", 150.0, {}},
           {"stuck.halfopen.mute.rtt", "ms after 1 RTT", {}, {}}};
  core::Rng rng(11);
  for (uint32_t a = 0; a < kRegions; ++a) {
    for (uint32_t b = 0; b <= a; ++b) {
      Replay run(plain_options(1, {static_cast<Region>(a), static_cast<Region>(b)}));
      run.start();
      uint32_t track = 0;
      for (const bool one_way : {false, true, false, true}) {
        run.publish(0, track + 1);
        break_wire(run, rng, one_way, track, f);
        track += 2;
      }
      tally.add(run, "down");
    }
  }
  f.down.note = "both directions cut, both ends, every two of ten regions, two moments each";
  f.deaf.note = "one direction cut: the end that no longer hears";
  f.mute.note =
      "one direction cut: the end that is no longer heard can only learn it from the other, one way later";
  f.mute_both.note =
      "the same end, counted from one way there and one way back: the other's 150 ms, and its word is "
      "believed "
      "after 120 ms without another";
  return {f.down, f.deaf, f.mute, f.mute_both};
}

// ---- false alarms

namespace {

struct Hardship {
  bool pauses = false;  // every 100 to 150 ms the next node stands still for 100 ms
  bool lossy = false;   // all wires lose two in a hundred
  uint32_t fed_by = 1;  // of its peers, each node has the media of so many: the other links are idle
};

// Eight nodes for a minute. Returns how often a link was called down, and counts subscriptions lost.
double false_alarms(uint64_t seed, const Hardship& hardship, StuckFigure& media, StuckTally& tally) {
  constexpr Nanos kPause = core::from_ms(100), kStep = core::from_ms(125);
  core::Rng rng(seed);
  Options options =
      plain_options(seed, {Region::kWashington, Region::kDallas, Region::kLondon, Region::kFrankfurt,
                           Region::kTokyo, Region::kOsaka, Region::kSydney, Region::kSaoPaulo});
  options.path.loss = 0.02;
  Replay run(options);
  make_room(run);
  run.start();
  const NodeIndex nodes = run.fleet.size();
  for (NodeIndex node = 0; node < nodes; ++node) run.publish(node, node);
  run.run_for(kSecond);
  for (NodeIndex node = 0; node < nodes; ++node) {
    for (uint32_t away = 1; away <= hardship.fed_by; ++away) run.acquire(node, (node + away) % nodes);
  }
  run.run_for(kSecond);
  for (NodeIndex a = 0; a < nodes && hardship.lossy; ++a) {
    for (NodeIndex b = 0; b < nodes; ++b) {
      if (a != b) run.fleet.network.impair(a, b, true);
    }
  }
  const uint64_t before = counter(run, MeshCounter::links_down);
  const Nanos end = run.fleet.now() + core::from_s(60);
  // In turn, so that two pauses of one node are never one long pause.
  for (NodeIndex next = 0; run.fleet.now() < end; next = static_cast<NodeIndex>((next + 1) % nodes)) {
    if (hardship.pauses) run.fleet.stand_still(next, run.fleet.now() + kPause);
    run.run_for(Nanos{between(rng, kPause.ns, kStep.ns * 2 - kPause.ns)});
  }
  media.values.push_back(nodes * hardship.fed_by - run.fed());
  tally.add(run, "false down");
  return static_cast<double>(counter(run, MeshCounter::links_down) - before);
}

}  // namespace

StuckFigures stuck_false_down(StuckTally& tally) {
  StuckFigure both{"stuck.false_down", "links called down", 0.0, {}};
  StuckFigure pauses{"stuck.false_down.pauses", "links called down", 0.0, {}};
  StuckFigure lossy{"stuck.false_down.loss", "links called down", 0.0, {}};
  StuckFigure busy{"stuck.false_down.busy", "links called down", 0.0, {}};
  StuckFigure media{"stuck.false_down.media", "subscriptions ended", 0.0, {}};
  for (const uint64_t seed : {1u, 2u}) {
    both.values.push_back(false_alarms(seed, {true, true}, media, tally));
    pauses.values.push_back(false_alarms(seed, {true, false}, media, tally));
    lossy.values.push_back(false_alarms(seed, {false, true}, media, tally));
    busy.values.push_back(false_alarms(seed, {true, true, 7}, media, tally));
  }
  both.note =
      "8 nodes, 60 s, 2 % loss; every 100 to 150 ms the next of them stands still for 100 ms; most links "
      "idle";
  busy.note = "the same with media every 20 ms on every link: a packet is as good as a heartbeat";
  pauses.note = "without the loss";
  lossy.note = "without the pauses";
  media.note = "in all these runs: subscriptions that did not outlive them";
  return {both, pauses, lossy, busy, media};
}

// ---- after an outage

namespace {

void cut_both(Replay& run, NodeIndex a, NodeIndex b, bool on) {
  run.fleet.network.cut(a, b, on);
  run.fleet.network.cut(b, a, on);
}

// The first from here on that runs. Contract: one does.
NodeIndex next_up(const Replay& run, NodeIndex node) {
  while (!run.fleet.is_up(node)) node = static_cast<NodeIndex>((node + 1) % run.fleet.size());
  return node;
}

// One of: a node is cut off, the mesh falls in two halves, single directions are lost, two nodes crash.
void outage(Replay& run, core::Rng& rng, uint64_t kind, bool begin, uint64_t draw) {
  core::Rng which(draw);
  const NodeIndex nodes = run.fleet.size();
  if (kind == 0) run.cut_off(static_cast<NodeIndex>(which.below(nodes)), begin);
  if (kind == 1) {
    for (NodeIndex a = 0; a < nodes / 2; ++a) {
      for (NodeIndex b = nodes / 2; b < nodes; ++b) cut_both(run, a, b, begin);
    }
  }
  for (NodeIndex a = 0; a < nodes && kind == 2; ++a) {
    for (NodeIndex b = 0; b < nodes; ++b) {
      if (a != b && which.chance(0.4)) run.fleet.network.cut(a, b, begin);
    }
  }
  if (kind == 3) {
    const auto first = static_cast<NodeIndex>(which.below(nodes));
    for (const NodeIndex node : {first, static_cast<NodeIndex>((first + 1) % nodes)}) {
      if (begin) {
        run.fleet.crash(node);
      } else {
        run.fleet.start(node);
        run.publish(node, node);
      }
    }
    if (!begin) run.run_for(Nanos{between(rng, 0, 1'000'000)});
  }
}

}  // namespace

StuckFigures stuck_heal(StuckTally& tally) {
  StuckFigure figure{"stuck.heal", "ms", 3'000.0, {}};
  Replay run(plain_options(1, {Region::kWashington, Region::kDallas, Region::kLondon, Region::kTokyo,
                               Region::kSydney, Region::kSaoPaulo}));
  make_room(run);
  run.start();
  const NodeIndex nodes = run.fleet.size();
  const uint32_t ends = nodes * (nodes - 1u);
  for (NodeIndex node = 0; node < nodes; ++node) run.publish(node, node);
  core::Rng rng(13);
  // Hosts ask while it lasts, and as soon as it is over.
  const auto ask = [&] {
    const NodeIndex node = next_up(run, static_cast<NodeIndex>(rng.below(nodes)));
    return run.acquire(node, static_cast<uint32_t>((node + 1 + rng.below(nodes - 1u)) % nodes));
  };
  for (uint64_t n = 0; n < 96; ++n) {
    const uint64_t draw = rng.next();
    // From 20 ms to 20 s; each doubling is equally likely.
    const int64_t shortest = core::from_ms(20).ns << rng.below(10);
    outage(run, rng, n % 4, true, draw);
    const uint64_t during = ask();
    run.run_for(Nanos{between(rng, shortest, shortest * 2)});
    outage(run, rng, n % 4, false, draw);
    // What breaks shortly before the end of an outage is noticed after it: a link must be up, and stay so.
    const Nanos healed = run.fleet.now();
    const uint64_t after = ask();
    run.run_for(core::from_s(6));
    Nanos last = healed;
    for (NodeIndex a = 0; a < nodes; ++a) {
      for (NodeIndex b = 0; b < nodes; ++b) {
        if (a == b) continue;
        const relay::LinkStatus link = link_of(run, a, b);
        last = std::max(last, link.state == LinkState::kUp ? link.since : healed + core::from_s(6));
      }
    }
    figure.values.push_back(ms(last - healed));
    run.release(during);
    run.release(after);
  }
  figure.note = text("96 outages of 20 ms to 20 s, six nodes, %u link ends: the last one up", ends);
  tally.add(run, "heal");
  return {figure};
}

}  // namespace trunkline::sim
