// What the flight recorder remembers: the last 1 000 acquires, the newest first, and the peers each one
// asked.
#include "relay/mesh/flight_recorder.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace trunkline::relay {
namespace {

core::TrackId track(uint8_t n) {
  core::TrackId id;
  id.bytes[15] = n;
  return id;
}

Flight flight(uint8_t of, uint64_t handle) {
  Flight f;
  f.track = track(of);
  f.handle = handle;
  return f;
}

class AttemptLogTest : public testing::Test {
 protected:
  LazyArray<AttemptLog> logs_{1};  // as the mesh keeps them: all bits zero, never constructed
  AttemptLog& log_ = logs_[0];
};

TEST_F(AttemptLogTest, KnowsNothingBeforeTheFirstRequest) {
  EXPECT_TRUE(log_.of(track(1)).empty());
}

TEST_F(AttemptLogTest, KeepsWhoWasAskedWhenAndWhatTheySaid) {
  log_.begin(track(1));
  log_.asked(track(1), {2}, 0, core::from_ms(10));
  log_.asked(track(1), {3}, 2, core::from_ms(20));
  log_.answered(track(1), {2}, Outcome::not_here, core::from_ms(14));
  log_.pending(track(1), {3});
  const auto attempts = log_.of(track(1));
  ASSERT_EQ(attempts.size(), 2u);
  EXPECT_EQ(attempts[0].node.value, 2u);
  EXPECT_TRUE(attempts[0].answered);
  EXPECT_EQ(attempts[0].outcome, Outcome::not_here);
  EXPECT_EQ(attempts[0].answered_after, core::from_ms(4));
  EXPECT_EQ(attempts[1].hop_limit, 2u);
  EXPECT_TRUE(attempts[1].pending);
  EXPECT_FALSE(attempts[1].answered);
}

TEST_F(AttemptLogTest, ARepeatedRequestWaitsForAnAnswerAgain) {
  log_.asked(track(1), {2}, 0, core::from_ms(10));
  log_.answered(track(1), {2}, Outcome::busy, core::from_ms(12));
  log_.asked(track(1), {2}, 0, core::from_ms(30));
  const auto attempts = log_.of(track(1));
  ASSERT_EQ(attempts.size(), 1u);
  EXPECT_EQ(attempts[0].repeats, 1u);
  EXPECT_EQ(attempts[0].asked, core::from_ms(30));
  EXPECT_FALSE(attempts[0].answered);
}

TEST_F(AttemptLogTest, ARequestRepeatedForWantOfAnAnswerIsAsOldAsTheFirst) {
  log_.asked(track(1), {2}, 0, core::from_ms(10));
  log_.asked(track(1), {2}, 0, core::from_ms(40));
  log_.asked(track(1), {2}, 0, core::from_ms(70));
  EXPECT_EQ(log_.of(track(1))[0].asked, core::from_ms(10));
  EXPECT_EQ(log_.of(track(1))[0].repeats, 2u);
  EXPECT_EQ(log_.peers_without(), 0u);
  log_.answered(track(1), {2}, Outcome::ok, core::from_ms(80));
  EXPECT_EQ(log_.of(track(1))[0].answered_after, core::from_ms(70));
}

TEST_F(AttemptLogTest, ForgetsTheOldestPeerWhenThereIsNoRoom) {
  for (uint64_t node = 1; node <= kAttemptsKept + 2; ++node)
    log_.asked(track(1), {node}, 0, core::from_ms(static_cast<int64_t>(node)));
  const auto attempts = log_.of(track(1));
  ASSERT_EQ(attempts.size(), kAttemptsKept);
  EXPECT_EQ(attempts.front().node.value, 3u);
  EXPECT_EQ(attempts.back().node.value, kAttemptsKept + 2);
}

TEST_F(AttemptLogTest, ForgetsFirstWhoHasNothing) {
  for (uint64_t node = 1; node <= kAttemptsKept; ++node) log_.asked(track(1), {node}, 0, core::from_ms(1));
  log_.answered(track(1), {4}, Outcome::not_here, core::from_ms(2));
  log_.asked(track(1), {7}, 0, core::from_ms(3));
  for (const Attempt& attempt : log_.of(track(1))) EXPECT_NE(attempt.node.value, 4u);
  EXPECT_EQ(log_.of(track(1)).front().node.value, 1u);
}

TEST_F(AttemptLogTest, CountsWhoWasAskedAndWhoHasNothingBeyondWhatItKeeps) {
  for (uint64_t node = 1; node <= 32; ++node) log_.asked(track(1), {node}, 0, core::from_ms(1));
  for (uint64_t node = 1; node <= 31; ++node)
    log_.answered(track(1), {node}, node % 2 == 0 ? Outcome::gone : Outcome::not_here, core::from_ms(2));
  EXPECT_EQ(log_.peers_asked(), 32u);
  EXPECT_EQ(log_.peers_without(), 31u);
  log_.asked(track(1), {31}, 0, core::from_ms(3));  // asked again: it may have it now
  EXPECT_EQ(log_.peers_asked(), 32u);
  EXPECT_EQ(log_.peers_without(), 30u);
  log_.begin(track(1));
  EXPECT_EQ(log_.peers_asked(), 0u);
  EXPECT_EQ(log_.peers_without(), 0u);
}

TEST_F(AttemptLogTest, ARecordThatIsUsedForAnotherTrackShowsNothingOfTheOldOne) {
  log_.asked(track(1), {2}, 0, core::from_ms(10));
  EXPECT_TRUE(log_.of(track(2)).empty());
  log_.answered(track(2), {2}, Outcome::ok, core::from_ms(11));
  EXPECT_FALSE(log_.of(track(1))[0].answered);
  log_.asked(track(2), {3}, 0, core::from_ms(20));
  EXPECT_TRUE(log_.of(track(1)).empty());
  EXPECT_EQ(log_.of(track(2)).size(), 1u);
}

TEST(FlightRecorder, KeepsTheLastThousandInOrder) {
  FlightRecorder recorder;
  EXPECT_EQ(recorder.recorded(), 0u);
  for (uint64_t i = 0; i < FlightRecorder::kKept + 5; ++i) recorder.record(flight(1, i));
  EXPECT_EQ(recorder.recorded(), FlightRecorder::kKept + 5);
  EXPECT_EQ(recorder.oldest(), 5u);
  for (uint64_t serial = recorder.oldest(); serial < recorder.recorded(); ++serial) {
    EXPECT_EQ(recorder.at(serial).serial, serial);
    EXPECT_EQ(recorder.at(serial).handle, serial);
  }
}

TEST(FlightRecorder, CopiesTheNewestFirst) {
  FlightRecorder recorder;
  for (uint64_t i = 0; i < 10; ++i) recorder.record(flight(1, 100 + i));
  std::vector<Flight> out(4);
  ASSERT_EQ(recorder.copy(UINT64_MAX, {}, out), 4u);
  EXPECT_EQ(out[0].handle, 109u);
  EXPECT_EQ(out[3].handle, 106u);
  // The next page begins where the last one ended; the last page is short.
  ASSERT_EQ(recorder.copy(out[3].serial, {}, out), 4u);
  EXPECT_EQ(out[0].handle, 105u);
  ASSERT_EQ(recorder.copy(out[3].serial, {}, out), 2u);
  EXPECT_EQ(out[1].handle, 100u);
}

TEST(FlightRecorder, CopiesThoseOfOneTrack) {
  FlightRecorder recorder;
  for (uint64_t i = 0; i < 3'000; ++i) recorder.record(flight(i % 100 == 0 ? 7 : 1, i));
  std::vector<Flight> out(64);
  const uint32_t n = recorder.copy(UINT64_MAX, track(7), out);
  ASSERT_EQ(n, 10u);  // of the last 1 000 only
  for (uint32_t i = 0; i < n; ++i) EXPECT_EQ(out[i].handle, 2'900 - 100 * i);
  EXPECT_EQ(recorder.copy(UINT64_MAX, track(9), out), 0u);
}

TEST(FlightRecorder, AFlightTakesTheRequestsOfItsOwnTrack) {
  AttemptLog log;
  log.asked(track(1), {17}, 0, core::from_ms(1));
  log.asked(track(1), {18}, 2, core::from_ms(1));
  log.answered(track(1), {17}, Outcome::not_here, core::from_ms(4));
  Flight mine = flight(1, 5);
  mine.set_attempts(log);
  ASSERT_EQ(mine.asked().size(), 2u);
  EXPECT_EQ(mine.asked()[0].node.value, 17u);
  EXPECT_EQ(mine.peers_asked, 2u);
  EXPECT_EQ(mine.peers_without, 1u);
  Flight other = flight(2, 6);
  other.set_attempts(log);
  EXPECT_TRUE(other.asked().empty());
  EXPECT_EQ(other.peers_asked, 0u);
}

}  // namespace
}  // namespace trunkline::relay
