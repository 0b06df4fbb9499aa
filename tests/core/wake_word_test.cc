// WakeWord, one step at a time.
#include "core/wake_word.h"

#include <gtest/gtest.h>

namespace trunkline::core {
namespace {

TEST(WakeWord, AsksForNoWakeUpWhileTheSleeperIsAwake) {
  WakeWord<> word;
  EXPECT_FALSE(word.should_wake());
  EXPECT_FALSE(word.should_wake());
}

TEST(WakeWord, TellsExactlyOneProducerPerAnnouncement) {
  WakeWord<> word;
  for (int round = 0; round < 3; ++round) {
    word.announce_sleep();
    EXPECT_TRUE(word.should_wake());
    EXPECT_FALSE(word.should_wake());
    word.awake();
    EXPECT_FALSE(word.should_wake());
  }
}

TEST(WakeWord, ForgetsAnAnnouncementThatWasWithdrawn) {
  WakeWord<> word;
  word.announce_sleep();
  word.awake();
  EXPECT_FALSE(word.should_wake());
}

TEST(WakeWord, KeepsItsDistanceFromItsNeighbours) {
  WakeWord<> words[2];
  const auto distance = reinterpret_cast<char*>(&words[1]) - reinterpret_cast<char*>(&words[0]);
  EXPECT_EQ(static_cast<size_t>(distance), kSharingDistance);
}

}  // namespace
}  // namespace trunkline::core
