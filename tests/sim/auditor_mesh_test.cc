// The judge of the whole mesh, fed with false relations: each must be named, and what is allowed must pass.
#include "tools/sim/auditor_mesh.h"

#include <gtest/gtest.h>

namespace trunkline::sim {
namespace {

core::TrackId track(uint8_t number) {
  core::TrackId id;
  id.bytes.fill(number);
  return id;
}

core::NodeId node(uint64_t id) {
  return {id};
}

constexpr auto kNobody = [](NodeIndex, const core::TrackId&) { return false; };

TEST(MeshAuditor, NamesATrackThatReachesANodeTwice) {
  std::vector<Relations> r(3);
  r[0].feeds = {{track(1), node(2), 1, true, {}}, {track(2), node(3), 1, true, {}}};
  EXPECT_EQ(judge_single_feed(r), "");
  r[0].feeds.push_back({track(1), node(3), 1, false, {}});
  EXPECT_NE(judge_single_feed(r).find("S3: node 1 is fed track"), std::string::npos);
}

TEST(MeshAuditor, NamesATrackThatIsServedTwiceToOneNode) {
  std::vector<Relations> r(3);
  r[1].serves = {{track(1), node(1), false}, {track(2), node(1), false}, {track(1), node(3), false}};
  EXPECT_EQ(judge_single_feed(r), "");
  r[1].serves.insert(r[1].serves.begin(), {track(1), node(1), false});
  EXPECT_NE(judge_single_feed(r).find("S3: node 2 serves track"), std::string::npos);
}

TEST(MeshAuditor, NamesNodesThatWaitInACircle) {
  std::vector<Relations> r(3);
  // 1 waits for 2, 2 for 3, and each is held by the other side.
  r[0].waits = {{track(1), node(2), 2, true}};
  r[1].serves = {{track(1), node(1), true}};
  r[1].waits = {{track(1), node(3), 1, true}};
  r[2].serves = {{track(1), node(2), true}};
  EXPECT_EQ(judge_waits(r), "");
  r[2].waits = {{track(1), node(1), 0, true}};
  r[0].serves = {{track(1), node(3), true}};
  EXPECT_NE(judge_waits(r).find("1 -> 2 -> 3 -> 1"), std::string::npos) << judge_waits(r);
  // Of another track it is no circle.
  r[2].waits = {{track(2), node(1), 1, true}};
  r[0].serves = {{track(2), node(3), true}};
  EXPECT_EQ(judge_waits(r), "");
}

TEST(MeshAuditor, ARequestThatIsAnsweredAtOnceIsNoWait) {
  std::vector<Relations> r(2);
  r[0].waits = {{track(1), node(2), 0, false}};
  r[1].waits = {{track(1), node(1), 0, false}};
  r[0].serves = {{track(1), node(2), true}};
  r[1].serves = {{track(1), node(1), true}};
  EXPECT_EQ(judge_waits(r), "");
}

// Each is fed by the next, and serves the one before.
std::vector<Relations> ring() {
  std::vector<Relations> r(3);
  for (uint64_t i = 0; i < 3; ++i) {
    r[i].feeds = {{track(1), node((i + 1) % 3 + 1), 1, true, {}}};
    r[i].serves = {{track(1), node((i + 2) % 3 + 1), false}};
  }
  return r;
}

TEST(MeshAuditor, NamesMediaThatFlowsInACircle) {
  std::vector<Relations> r = ring();
  EXPECT_NE(judge_feeds(r, kNobody).find("S4: media flows in a circle: 1 -> 2 -> 3 -> 1"), std::string::npos);
  // What only one end believes is a message on its way; what a node has of its own, it does not pass on.
  const auto second = [](NodeIndex at, const core::TrackId&) { return at == 1; };
  EXPECT_EQ(judge_feeds(r, second), "");
  r[2].serves.clear();
  EXPECT_EQ(judge_feeds(r, kNobody), "");
}

TEST(MeshAuditor, NamesAWayThatIsTooLongOrContainsItsOwnEnd) {
  std::vector<Relations> r(3);
  r[0].feeds = {{track(1), node(2), 1, true, {node(3), node(2)}}};
  EXPECT_EQ(judge_feeds(r, kNobody), "");
  r[0].feeds[0].path = {node(3), node(1), node(2)};
  EXPECT_NE(judge_feeds(r, kNobody).find("a way that contains it"), std::string::npos);
  r[0].feeds[0].path = Way(std::vector(kLongestPath + 1, node(7)));
  EXPECT_NE(judge_feeds(r, kNobody).find("over 9 nodes"), std::string::npos);
}

TEST(LinkAuditor, FindsTheSettingInWhichTwoNodesDiffer) {
  relay::NodeConfig a, b;
  a.wire = {{"suite", "null", {"null"}}, {"mtu", "1500", {"1500"}}};
  b.wire = {{"mtu", "1500", {"1500"}}, {"suite", "null", {"null", "sealed"}}};
  EXPECT_EQ(differing_setting(a, b), "");
  b.wire[1].current = "sealed";  // not in the set that the other accepts
  EXPECT_EQ(differing_setting(a, b), "suite");
  a.wire[0].accepted.push_back("sealed");
  EXPECT_EQ(differing_setting(a, b), "");
  b.wire.push_back({"namespace", "x", {"x"}});  // not of the version that they have in common
  EXPECT_EQ(differing_setting(a, b), "");
  b.wire_version_min = b.wire_version_max = 2;
  EXPECT_EQ(differing_setting(a, b), "wire version");
}

TEST(LinkAuditor, TheDeafEndNoticesFirst) {
  const NoticeBounds bounds = notice_bounds(core::from_ms(40), core::from_ms(30), core::from_ms(5));
  EXPECT_EQ(bounds.deaf, core::from_ms(40 + 5 + 150 + 1));
  EXPECT_EQ(bounds.mute, bounds.deaf + core::from_ms(30 + 5 + 120 + 10 + 5));
}

}  // namespace
}  // namespace trunkline::sim
