// The simulator as a test: thousands of seeds without a violation, every run repeatable.
// TRUNKLINE_SIM_FIRST_SEED and TRUNKLINE_SIM_SEEDS say which seeds; a failure names its seed and the command
// that shows it.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "tools/sim/batch.h"
#include "tools/sim/builds.h"
#include "tools/sim/regions.h"
#include "tools/sim/streams.h"
#include "tools/sim/world.h"

namespace trunkline::sim {
namespace {

uint64_t from_environment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

TEST(Simulator, BreaksNoPromiseInAnySeed) {
  const uint64_t first = from_environment("TRUNKLINE_SIM_FIRST_SEED", 1);
  const uint64_t count = from_environment("TRUNKLINE_SIM_SEEDS", 2'000);
  BatchOptions options;
  options.first_seed = first;
  options.seeds = count;
  options.jobs = 2;
  const BatchResult result = run_batch(options);
  ASSERT_TRUE(result.failed.empty()) << "seed " << result.failed.front().seed << ": "
                                     << result.failed.front().violations.front().text << "\n"
                                     << describe(draw_options(result.failed.front().seed))
                                     << "to see it shrink: tools/dev sim --seeds 1 --first-seed "
                                     << result.failed.front().seed;
  const Report& report = result.report;
  report.print(stdout);
  // A simulation in which nothing works, or nothing goes wrong, would prove little.
  EXPECT_GE(report.share_ok(), 0.5);
  EXPECT_GT(report.packets_delivered, report.packets_sent / 2);
  if (report.seeds < Report::kEnoughSeeds) return;
  for (const std::string& missing : report.shortfalls()) ADD_FAILURE() << missing;
}

TEST(Simulator, RepeatsASeedExactly) {
  std::set<uint64_t> hashes;
  constexpr uint64_t kSeeds = 20;
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Report report;
    World first(draw_options(seed), report), second(draw_options(seed), report);
    first.run();
    second.run();
    EXPECT_EQ(first.trace_hash(), second.trace_hash()) << "seed " << seed;
    hashes.insert(first.trace_hash());
  }
  EXPECT_EQ(hashes.size(), kSeeds) << "two seeds gave the same run";
}

TEST(EventQueue, GivesEventsInOrderOfTimeAndEachOnce) {
  core::Rng rng(7);
  EventQueue queue(stream(1, "order"));
  std::multiset<int64_t> times;
  for (uint32_t i = 0; i < 2'000; ++i) {
    const auto time = static_cast<int64_t>(rng.below(500)) + queue.now().ns;
    queue.push(Nanos{time}, EventKind::kWorkload, 0, i);
    times.insert(time);
    if (rng.below(3) != 0) continue;
    const Event event = queue.pop();
    ASSERT_EQ(event.time.ns, *times.begin());
    times.erase(times.begin());
  }
  std::set<uint32_t> left;
  while (!queue.empty()) {
    const Event event = queue.pop();
    ASSERT_EQ(event.time.ns, *times.begin());
    times.erase(times.begin());
    EXPECT_TRUE(left.insert(event.arg).second);
  }
  EXPECT_TRUE(times.empty());
}

TEST(EventQueue, ExploresTheOrdersOfSimultaneousEvents) {
  std::set<uint32_t> first;
  for (uint64_t seed = 0; seed < 64; ++seed) {
    EventQueue queue(stream(seed, "order"));
    for (uint32_t i = 0; i < 3; ++i) queue.push(Nanos{5}, EventKind::kWorkload, 0, i);
    first.insert(queue.pop().arg);
  }
  EXPECT_EQ(first.size(), 3u);
}

TEST(Streams, DifferByNameIndexAndSeedAndRepeat) {
  EXPECT_EQ(stream_seed(1, "net", 2), stream_seed(1, "net", 2));
  const std::set<uint64_t> different{stream_seed(1, "net"), stream_seed(2, "net"), stream_seed(1, "fault"),
                                     stream_seed(1, "net", 1), stream_seed(1, "")};
  EXPECT_EQ(different.size(), 5u);
}

Options five_nodes() {
  using enum Region;
  return plain_options(1, {kWashington, kWashington, kLondon, kLondon, kTokyo});
}

// Half of the measured round trip in each direction; the file names its source.
TEST(Regions, AreThoseOfTheMeasuredTable) {
  std::ifstream file(TRUNKLINE_SOURCE_DIR "/tools/sim/regions-rtt-ms.csv");
  std::string line;
  const auto next_row = [&] {
    while (std::getline(file, line) && line[0] == '#') {
    }
    std::vector<std::string> cells;
    std::istringstream row(line);
    for (std::string cell; std::getline(row, cell, ',');) cells.push_back(cell);
    return cells;
  };
  const std::vector<std::string> names = next_row();
  ASSERT_EQ(names.size(), kRegions + 1);
  for (uint32_t from = 0; from < kRegions; ++from) {
    const std::vector<std::string> row = next_row();
    ASSERT_EQ(row.size(), kRegions + 1);
    EXPECT_EQ(row[0], region_name(static_cast<Region>(from)));
    for (uint32_t to = 0; to < kRegions; ++to) {
      EXPECT_EQ(names[to + 1], region_name(static_cast<Region>(to)));
      if (from == to) continue;
      EXPECT_EQ(one_way_delay(static_cast<Region>(from), static_cast<Region>(to)),
                core::from_us(std::stoll(row[to + 1]) * 500))
          << row[0] << " to " << names[to + 1];
    }
  }
}

TEST(Topology, LinksWhoItSaysAndKnowsTheShortestWay) {
  using enum Region;
  const std::vector<Region> nodes{kTokyo, kLondon, kTokyo, kLondon, kDallas};
  const LinkSet full(Topology::kFull, nodes), ring(Topology::kRing, nodes), hubs(Topology::kHubs, nodes),
      chain(Topology::kChain, nodes);
  EXPECT_EQ(full.peers(2), (std::vector<NodeIndex>{0, 1, 3, 4}));
  EXPECT_EQ(ring.peers(0), (std::vector<NodeIndex>{1, 4}));
  EXPECT_EQ(hubs.peers(0), (std::vector<NodeIndex>{1, 2, 4})) << "tokyo's hub";
  EXPECT_EQ(hubs.peers(3), (std::vector<NodeIndex>{1})) << "london's other node";
  EXPECT_EQ(chain.peers(4), (std::vector<NodeIndex>{3}));
  EXPECT_EQ(full.hops(0, 4), 1u);
  EXPECT_EQ(ring.hops(0, 3), 2u);
  EXPECT_EQ(hubs.hops(2, 3), 3u);
  EXPECT_EQ(chain.hops(0, 4), 4u);
  EXPECT_EQ(chain.hops(2, 2), 0u);
}

TEST(Builds, NeighboursMeetAndTheirOutcomesAreKnownBeforehand) {
  WrongSetting wrong;
  EXPECT_EQ(meeting(wrong, {0, false}, {1, false}), Meeting::kUp);
  EXPECT_EQ(meeting(wrong, {2, false}, {1, false}), Meeting::kUp);
  EXPECT_EQ(meeting(wrong, {0, false}, {2, false}), Meeting::kOtherVersion);
  wrong.where = WrongSetting::Where::kNode;
  EXPECT_EQ(meeting(wrong, {0, true}, {1, false}), Meeting::kOtherSetting);
  EXPECT_EQ(meeting(wrong, {0, true}, {0, true}), Meeting::kUp) << "all alike agree with each other";
  wrong.kind = WrongSetting::Kind::kAccepted;
  EXPECT_EQ(meeting(wrong, {0, true}, {1, false}), Meeting::kUp);
  wrong.kind = WrongSetting::Kind::kAbsent;
  EXPECT_TRUE(must_not_start(wrong, {0, true}));
  EXPECT_FALSE(must_not_start(wrong, {0, false}));
}

TEST(Network, DeliversAPathsDatagramsInOrderAndAfterItsDelay) {
  const Options options = five_nodes();
  EventQueue events(stream(1, "order"));
  Trace trace;
  Network network(options, events, trace);
  const core::UdpAddress from = node_address(0), to = node_address(4);
  const Nanos delay = one_way_delay(options.nodes[0], options.nodes[4]);
  EXPECT_EQ(delay, core::from_us(84'500));  // 169 ms from Washington to Tokyo and back
  for (uint8_t i = 0; i < 50; ++i) {
    const uint8_t bytes[40] = {i};
    network.carry(from, to, bytes, Nanos{0});
  }
  for (uint8_t i = 0; i < 50; ++i) {
    const Event event = events.pop();
    EXPECT_EQ(event.kind, EventKind::kDeliver);
    EXPECT_EQ(event.node, 4);
    EXPECT_EQ(event.time, delay + Nanos{i});
    EXPECT_EQ(network.arrival(event.arg).bytes[0], i);
    network.taken(event.arg);
  }
}

TEST(Network, ACutPathWorksAgainWhenAllThatCutItIsOver) {
  const Options options = five_nodes();
  EventQueue events(stream(1, "order"));
  Trace trace;
  Network network(options, events, trace);
  const uint8_t bytes[40] = {};
  const auto passes = [&] {
    network.carry(node_address(0), node_address(1), bytes, events.now());
    const bool passed = !events.empty();
    while (!events.empty()) network.taken(events.pop().arg);
    return passed;
  };
  EXPECT_TRUE(passes());
  network.cut(0, 1, true);
  network.cut(0, 1, true);
  network.cut(0, 1, false);
  EXPECT_FALSE(passes());
  network.cut(0, 1, false);
  EXPECT_TRUE(passes());
  network.cut(0, 1, true);
  network.heal();
  EXPECT_TRUE(passes());
}

}  // namespace
}  // namespace trunkline::sim
