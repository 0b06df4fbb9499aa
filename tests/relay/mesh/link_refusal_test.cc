// Peers that refuse each other, and what a refusal leaves alone.
#include <gtest/gtest.h>

#include <string>

#include "tests/relay/mesh/link_fixture.h"

namespace trunkline::relay {
namespace {

TEST_F(LinkTest, ADifferentSettingIsRefusedInOneRoundTripAndNamedAtBothEnds) {
  make(3);
  mesh_.config(1).wire[1] = {"track_namespace", "prod", {"prod"}};
  start_and_run(from_ms(100));
  for (const auto& [i, j] : {std::pair(0u, 1u), std::pair(1u, 0u), std::pair(2u, 1u), std::pair(1u, 2u)}) {
    EXPECT_EQ(mesh_.link(i, j).state, LinkState::kIncompatible);
    const std::string text = mesh_.link(i, j).text.data();
    EXPECT_NE(text.find("track_namespace"), std::string::npos) << text;
    EXPECT_NE(text.find("'test'"), std::string::npos) << text;
    EXPECT_NE(text.find("'prod'"), std::string::npos) << text;
  }
  EXPECT_TRUE(up(0, 2)) << "the others are not concerned";
  mesh_.hint(0, test_track(1), 1);
  mesh_.acquire(0, 7, test_track(1));
  mesh_.run_for(from_ms(20));
  const Heard end = mesh_.only(0, 7);
  EXPECT_EQ(end.outcome, Outcome::config_mismatch);
  EXPECT_EQ(end.node.value, 2u);
  EXPECT_LE(end.elapsed, from_ms(10)) << "the peers that can be asked were, and it ended with them";
  EXPECT_NE(end.text.find("track_namespace"), std::string::npos) << end.text;
  mesh_.run_for(from_s(60));
  EXPECT_EQ(mesh_.node(0).errors.size(), 1u) << "said once";
  EXPECT_EQ(mesh_.node(1).errors.size(), 2u) << "said once per peer";
  EXPECT_LE(counter(0, MeshCounter::handshakes_sent), 80u) << "retried with backoff";
}

TEST_F(LinkTest, WithoutACommonVersionItIsUnsupported) {
  make(2);
  mesh_.config(1).wire_version_min = mesh_.config(1).wire_version_max = 2;
  start_and_run(from_ms(100));
  EXPECT_EQ(mesh_.link(0, 1).state, LinkState::kIncompatible);
  mesh_.acquire(0, 7, test_track(1));
  mesh_.run_for(from_ms(20));
  EXPECT_EQ(mesh_.only(0, 7).outcome, Outcome::unsupported);
}

TEST_F(LinkTest, ARepairedPeerIsTakenBackAtItsFirstHandshake) {
  make(2);
  mesh_.config(1).wire[1] = {"track_namespace", "prod", {"prod"}};
  start_and_run(from_s(30));
  EXPECT_EQ(mesh_.link(0, 1).state, LinkState::kIncompatible);
  mesh_.crash(1);
  mesh_.config(1).wire[1] = {"track_namespace", "test", {"test"}};
  mesh_.restart(1);
  EXPECT_LE(until_up(0, 1, from_s(3)), from_ms(100));
  expect_media(0, 1, 5);
}

TEST_F(LinkTest, ARepairedPeerIsTakenBackAlthoughAMsg1WasLostAndItsRepetitionIsFar) {
  make(2);
  mesh_.config(1).wire[1] = {"track_namespace", "prod", {"prod"}};
  start_and_run(from_s(30));
  mesh_.crash(1);
  mesh_.run_for(from_s(90));  // node 0 goes on asking, each half minute by now
  mesh_.config(1).wire[1] = {"track_namespace", "test", {"test"}};
  mesh_.restart(1);
  EXPECT_LE(until_up(0, 1, from_s(60)), from_s(3));
}

TEST_F(LinkTest, APeerThatComesBackWithAnotherSettingLeavesTheOthersMediaAlone) {
  make(3);
  start_and_run(from_ms(300));
  mesh_.publish(2, 1, test_track(1));
  mesh_.run_for(from_ms(50));
  mesh_.acquire(0, 7, test_track(1));
  mesh_.run_for(from_ms(50));
  mesh_.crash(1);
  mesh_.config(1).wire[1] = {"track_namespace", "prod", {"prod"}};
  mesh_.restart(1);
  mesh_.run_for(from_ms(500));
  EXPECT_EQ(mesh_.link(0, 1).state, LinkState::kIncompatible);
  mesh_.send_media(2, test_track(1));
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.node(0).packets[7], 1u);
}

// Whichever end begins the exchange, and whichever end is told no.
class ComesBackOtherwise : public LinkTest, public testing::WithParamInterface<uint32_t> {};
INSTANTIATE_TEST_SUITE_P(EitherEnd, ComesBackOtherwise, testing::Values(0u, 1u));

TEST_P(ComesBackOtherwise, EndsWhatItFedAndAskedForInItsFormerLife) {
  const uint32_t again = GetParam();
  make(2);
  const uint32_t other = 1 - again;
  start_and_run(from_ms(300));
  mesh_.publish(again, 1, test_track(1));
  mesh_.publish(other, 1, test_track(2));
  mesh_.run_for(from_ms(50));
  mesh_.acquire(other, 7, test_track(1));
  mesh_.acquire(again, 8, test_track(2));
  mesh_.run_for(from_ms(50));
  ASSERT_EQ(mesh_.link_outputs(other), 1u);
  mesh_.crash(again);
  mesh_.config(again).wire[1] = {"track_namespace", "prod", {"prod"}};
  mesh_.restart(again);
  mesh_.run_for(from_s(3));
  EXPECT_EQ(mesh_.link(other, again).state, LinkState::kIncompatible);
  EXPECT_EQ(mesh_.only(other, 7, HostEventKind::kEnded).outcome, Outcome::link_down) << "long before a lease";
  EXPECT_EQ(mesh_.link_outputs(other), 0u);
  EXPECT_EQ(mesh_.mesh(other).usage().tracks, 1u) << "its own";
  mesh_.acquire(other, 9, test_track(1));
  mesh_.run_for(from_ms(50));
  EXPECT_EQ(mesh_.only(other, 9).outcome, Outcome::config_mismatch);
  mesh_.crash(again);
  mesh_.config(again).wire[1] = {"track_namespace", "test", {"test"}};
  mesh_.restart(again);
  mesh_.run_for(from_s(3));
  expect_media(again, other, 5);
  expect_media(other, again, 6);
}

TEST_F(LinkTest, StrangersAndGarbageChangeNothingButACounter) {
  make(2);
  start_and_run(from_ms(300));
  const uint64_t sent = counter(0, MeshCounter::handshakes_sent);
  const uint64_t ignored = counter(0, MeshCounter::handshakes_ignored);
  core::Rng rng(3);
  Frame f;
  f.kind = FrameKind::kHandshake;
  f.address = UdpAddress::v4(198, 18, 9, 9, 7'000);
  for (int i = 0; i < 10'000; ++i) {
    f.length = static_cast<uint16_t>(rng.below(kMaxFrameBytes + 1));
    for (uint8_t& byte : f.bytes) byte = static_cast<uint8_t>(rng.next());
    DatagramHeader header;
    header.type = static_cast<DatagramType>(rng.below(8));
    header.session_index =
        SessionIndex::make({0}, static_cast<uint32_t>(rng.below(4)), static_cast<uint16_t>(rng.next()));
    if (f.length >= kHeaderBytes) encode_header(f.bytes.data(), header);
    mesh_.give_foreign_frame(0, f);
  }
  EXPECT_EQ(counter(0, MeshCounter::handshakes_ignored), ignored + 10'000u);
  EXPECT_EQ(counter(0, MeshCounter::handshakes_sent), sent);
  EXPECT_TRUE(up(0, 1));
  expect_media(0, 1, 5);
}

}  // namespace
}  // namespace trunkline::relay
