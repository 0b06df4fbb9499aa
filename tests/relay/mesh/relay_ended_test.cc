// What a request is not served with when what it was answered with is over.
#include <gtest/gtest.h>

#include "tests/relay/mesh/mesh_fixture.h"

namespace trunkline::relay {
namespace {

using core::from_ms;

class RelayEndedTest : public MeshNodeTest {
 protected:
  // The first and the last node can reach the one between only.
  void chain_of_three() {
    mesh_.make(3);
    for (uint32_t i = 0; i < 3; ++i) mesh_.config(i).full_mesh = false;
    mesh_.both_ways(0, 2, {from_ms(5), 0, true});
    mesh_.start_all();
    mesh_.run_for(from_ms(500));
  }
  // Media and heartbeats arrive all the same.
  void lose_control(uint32_t from, uint32_t to, bool lose) {
    MeshHarness::Node& node = mesh_.node(from);
    const uint32_t slot = node.active[mesh_.link_to(from, to)];
    mesh_.wire(from, to).muted_session = lose ? node.sessions[slot].peer_index : 0;
  }
};

// A request is repeated while its answer is on the way, and what it was answered with has ended when the
// repetition arrives. The word of the end is late as well: what is published next would be taken for the
// former publication.
TEST_F(RelayEndedTest, ARepetitionOfARequestThatHasEndedIsNotServedWithWhatIsPublishedNext) {
  chain_of_three();
  flowing(2, 1, a_);
  mesh_.acquire(0, 7, a_);
  mesh_.run_for(from_ms(12));  // it is told who has it, and asks the node between to ask
  mesh_.hint(0, a_, 1);        // whom a hint names is asked a second time
  lose_control(1, 0, true);
  lose_control(0, 1, true);
  const uint64_t sent = counter(0, MeshCounter::requests_sent);
  for (int i = 0; i < 20 && counter(0, MeshCounter::requests_sent) == sent; ++i) stream(2, from_ms(10));
  ASSERT_EQ(counter(0, MeshCounter::requests_sent), sent + 1) << "the repetition";
  lose_control(1, 0, false);
  for (int i = 0; i < 40 && mesh_.outcomes(0, 7).empty(); ++i) stream(2, from_ms(10));
  ASSERT_EQ(mesh_.only(0, 7).outcome, Outcome::ok);
  ASSERT_EQ(mesh_.only(0, 7).generation, 1u);

  lose_control(1, 0, true);
  mesh_.unpublish(2, 1);
  mesh_.publish(2, 2, a_);
  mesh_.run_for(from_ms(10));  // the last packets of the first one
  const uint64_t received = counter(1, MeshCounter::requests_received);
  const uint64_t packets = mesh_.node(0).packets[7];
  ASSERT_GT(packets, 0u);
  lose_control(0, 1, false);
  stream(2, from_ms(400));
  ASSERT_EQ(counter(1, MeshCounter::requests_received), received + 1);
  EXPECT_EQ(mesh_.link_outputs(1), 0u);
  EXPECT_EQ(mesh_.node(0).packets[7], packets) << "its host was told of generation 1";
  lose_control(1, 0, false);
  stream(2, from_ms(500));
  EXPECT_EQ(mesh_.only(0, 7, HostEventKind::kEnded).outcome, Outcome::gone);
  mesh_.acquire(0, 8, a_);
  stream(2, from_ms(200));
  EXPECT_EQ(mesh_.only(0, 8).outcome, Outcome::ok);
  EXPECT_EQ(mesh_.only(0, 8).generation, 2u);
  EXPECT_GT(mesh_.node(0).packets[8], 5u);
  expect_no_leak();
}

}  // namespace
}  // namespace trunkline::relay
