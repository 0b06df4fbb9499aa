// Large meshes: the graph of links, a small one in full, and what the network carries in its two kinds of
// room.
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <set>
#include <vector>

#include "tools/sim/network.h"
#include "tools/sim/peering.h"
#include "tools/sim/scale.h"
#include "tools/sim/streams.h"

namespace trunkline::sim {
namespace {

TEST(Peering, GivesThreeHundredNodesThirtyLinksEachAndEveryPairIsWithinTwo) {
  const Peering peering(300, 30);
  for (uint32_t node = 0; node < 300; ++node) {
    const std::vector<uint32_t>& peers = peering.peers(node);
    EXPECT_LE(peers.size(), 30u);
    EXPECT_EQ(std::set<uint32_t>(peers.begin(), peers.end()).size(), peers.size()) << "no peer twice";
    for (const uint32_t peer : peers) {
      EXPECT_NE(peer, node);
      const std::vector<uint32_t>& back = peering.peers(peer);
      EXPECT_NE(std::find(back.begin(), back.end(), node), back.end()) << "a link has two ends";
    }
  }
  EXPECT_EQ(peering.diameter(), 2u);
  EXPECT_EQ(peering.within_two(), 1.0);
}

TEST(Scale, ASmallMeshKeepsEveryPromiseAndRepeatsExactly) {
  ScaleOptions options;
  options.nodes = 20;
  options.links = 6;
  options.tracks = 200;
  options.seconds = 5;
  const ScaleResult first = run_scale(options, nullptr);
  EXPECT_EQ(first.violations, 0u);
  EXPECT_GT(first.events, 20u * 6 * 20 * 4) << "twenty heartbeats a second on each link, both ways";
  EXPECT_EQ(run_scale(options, nullptr).trace_hash, first.trace_hash);
  options.seed = 2;
  EXPECT_NE(run_scale(options, nullptr).trace_hash, first.trace_hash);
}

TEST(Network, CarriesDatagramsOfEveryLengthUnchanged) {
  const Options options = plain_options(1, {Region{}, Region{}});
  EventQueue events(stream(1, "order"));
  Trace trace;
  Network network(options, events, trace);
  std::vector<uint8_t> bytes(1'472);
  std::iota(bytes.begin(), bytes.end(), uint8_t{1});
  // Rooms are used again, by longer and by shorter ones.
  for (const size_t length : {0u, 1u, 72u, 104u, 105u, 1'472u, 105u, 104u, 12u}) {
    network.carry(node_address(0), node_address(1), {bytes.data(), length}, events.now());
    const Event event = events.pop();
    const Network::Arrival arrival = network.arrival(event.arg);
    EXPECT_EQ(arrival.from, node_address(0));
    EXPECT_EQ(arrival.to, node_address(1));
    EXPECT_TRUE(std::equal(arrival.bytes.begin(), arrival.bytes.end(), bytes.begin(),
                           bytes.begin() + static_cast<ptrdiff_t>(length)))
        << length;
    network.taken(event.arg);
  }
}

}  // namespace
}  // namespace trunkline::sim
