// The way of a question: from whoever asks, past the mesh thread and a data core, and back; and what happens
// when one of them does not do its part.
#include "relay/question.h"

#include <gtest/gtest.h>

#include "core/rng.h"
#include "relay/config_toml.h"
#include "relay/node_driver.h"
#include "relay/null_suite.h"
#include "relay/topology.h"

namespace trunkline::relay {
namespace {

NodeConfig config() {
  auto parsed = parse_config(
      "[node]\nid = 1\ncluster = \"lab-q\"\nregion = \"here\"\nlisten = \"127.0.0.1:0\"\nlab = true\n"
      "[wire]\ntrack_namespace = \"q\"\nmtu = 1500\nsuite = \"null\"\n"
      "[limits]\nmax_tracks = 64\nmax_acquires = 64\nmax_requests = 64\n"
      "[[peer]]\nid = 2\naddress = \"127.0.0.1:7001\"\n",
      "q.toml");
  EXPECT_TRUE(parsed) << parsed.error().text;
  return std::move(parsed).value();
}

class QuestionTest : public ::testing::Test {
 protected:
  const NodeConfig config_ = config();
  core::Rng rng_{7};
  NullCrypto crypto_{rng_};
  const uint16_t port_ = 7000;
  MeshNode node_{config_, 1, {&port_, 1}, rng_, crypto_};
  core::HeapPageSource pages_;
  NodeRings rings_{config_, pages_};
  MeshDriver driver_{config_, node_, rings_};
  Nanos now_ = core::from_ms(1);
  uint64_t serial_ = 0;
  core::TrackId track_ = track_id("q", "cam");

  uint64_t ask(QuestionKind kind = QuestionKind::kExplain) {
    Question question;
    question.kind = kind;
    question.track = track_;
    question.serial = ++serial_;
    EXPECT_TRUE(rings_.ask.questions.try_push(question));
    return serial_;
  }
  void publish() {
    HostChannel& channel = *rings_.channels[0];
    ASSERT_TRUE(channel.open());
    HostCommand command;
    command.kind = HostCommandKind::kPublish;
    command.handle = channel.handles.try_alloc(true)->handle;
    command.track = track_;
    ASSERT_TRUE(channel.commands.try_push(command));
    driver_.run_once(now_);
    drain_commands();
  }
  // The last flow query among the commands that the data core has not taken yet.
  bool drain_commands(FlowId* asked = nullptr) {
    bool found = false;
    for (CoreCommand command; rings_.cores[0]->commands.try_pop(command);) {
      if (command.kind != CoreCommandKind::kFlowQuery) continue;
      if (asked != nullptr) *asked = command.flow;
      found = true;
    }
    return found;
  }
  CoreEvent facts(FlowId flow, Label label) const {
    CoreEvent event;
    event.kind = CoreEventKind::kFlowFacts;
    event.flow = flow;
    event.label = label;
    event.packets = 7;
    event.bytes = 700;
    event.last_packet = now_;
    event.outputs = 2;
    return event;
  }
};

TEST_F(QuestionTest, IsAnsweredAtOnceWhenNoDataCoreKnowsMore) {
  const uint64_t serial = ask();
  EXPECT_TRUE(driver_.has_input());
  EXPECT_GT(driver_.run_once(now_), 0u);
  EXPECT_TRUE(driver_.take_touched().asker);
  EXPECT_FALSE(driver_.take_touched().asker);
  Reply reply;
  ASSERT_TRUE(rings_.ask.replies.try_pop(reply));
  EXPECT_EQ(reply.serial, serial);
  EXPECT_EQ(reply.explanation.track, track_);
  EXPECT_EQ(reply.explanation.peers, 1u);
  EXPECT_FALSE(reply.explanation.flow.open);
  EXPECT_FALSE(driver_.has_input());
}

TEST_F(QuestionTest, TheDataCoreAddsWhatItKnows) {
  publish();
  ask();
  driver_.run_once(now_);
  FlowId flow = 0;
  ASSERT_TRUE(drain_commands(&flow));
  Reply reply;
  EXPECT_FALSE(rings_.ask.replies.try_pop(reply)) << "the data core has not answered yet";
  EXPECT_FALSE(driver_.take_touched().asker);

  // One that is not asked about changes nothing.
  rings_.cores[0]->events.try_push(facts(flow + 1, Label{}));
  driver_.run_once(now_);
  EXPECT_FALSE(driver_.take_touched().asker);

  // With the label that the flow has.
  rings_.cores[0]->events.try_push(facts(flow, rings_.ask.replies.claim(1)[0].explanation.flow.label));
  driver_.run_once(now_);
  EXPECT_TRUE(driver_.take_touched().asker);
  ASSERT_TRUE(rings_.ask.replies.try_pop(reply));
  EXPECT_TRUE(reply.explanation.flow.answered);
  EXPECT_EQ(reply.explanation.flow.packets, 7u);
  EXPECT_EQ(reply.explanation.flow.outputs, 2u);
  EXPECT_EQ(reply.explanation.published, PublishedHere::kLive);
}

TEST_F(QuestionTest, AFlowThatWasClosedMeanwhileHasNoFacts) {
  publish();
  ask();
  driver_.run_once(now_);
  FlowId flow = 0;
  ASSERT_TRUE(drain_commands(&flow));
  rings_.cores[0]->events.try_push(facts(flow, Label{}));
  driver_.run_once(now_);
  Reply reply;
  ASSERT_TRUE(rings_.ask.replies.try_pop(reply));
  EXPECT_FALSE(reply.explanation.flow.answered);
}

TEST_F(QuestionTest, ADataCoreThatDoesNotAnswerIsAwaitedForABoundedTime) {
  publish();
  ask();
  driver_.run_once(now_);
  ASSERT_TRUE(drain_commands());
  const Nanos due = now_ + QuestionRings::kCorePatience;
  EXPECT_LE(driver_.next_deadline(), due);
  Reply reply;
  for (; now_ < due; now_ += core::from_ms(1)) {
    driver_.run_once(now_);
    ASSERT_FALSE(rings_.ask.replies.try_pop(reply)) << "after " << now_.ms() << " ms";
  }
  driver_.run_once(due);
  ASSERT_TRUE(rings_.ask.replies.try_pop(reply));
  EXPECT_TRUE(reply.explanation.flow.open);
  EXPECT_FALSE(reply.explanation.flow.answered);
  // Its word comes too late, and does no harm.
  rings_.cores[0]->events.try_push(facts(reply.explanation.flow.flow, reply.explanation.flow.label));
  driver_.run_once(due);
  EXPECT_FALSE(rings_.ask.replies.try_pop(reply));
}

TEST_F(QuestionTest, WaitsInItsRingWhileNobodyTakesTheReplies) {
  for (uint32_t i = 0; i < QuestionRings::kDepth; ++i) {
    ask();
    driver_.run_once(now_);
  }
  const uint64_t third = ask();
  driver_.run_once(now_);
  EXPECT_EQ(rings_.ask.questions.size_approx(), 1u);
  EXPECT_FALSE(driver_.has_input()) << "the mesh thread may sleep";
  Reply reply;
  ASSERT_TRUE(rings_.ask.replies.try_pop(reply));
  EXPECT_EQ(reply.serial, 1u);
  EXPECT_TRUE(driver_.has_input());
  driver_.run_once(now_);
  ASSERT_TRUE(rings_.ask.replies.try_pop(reply));
  ASSERT_TRUE(rings_.ask.replies.try_pop(reply));
  EXPECT_EQ(reply.serial, third);
}

TEST_F(QuestionTest, FlightsComeInPages) {
  HostChannel& channel = *rings_.channels[0];
  ASSERT_TRUE(channel.open());
  for (uint32_t i = 0; i < kFlightsPerReply + 3; ++i) {
    HostCommand command;
    command.kind = HostCommandKind::kAcquire;
    command.handle = channel.handles.try_alloc(false)->handle;
    command.track = track_;
    command.deadline = core::from_ms(5);
    command.submitted = now_;
    ASSERT_TRUE(channel.commands.try_push(command));
  }
  for (; now_ < core::from_ms(50); now_ += core::from_ms(1)) {
    driver_.run_once(now_);
    drain_commands();
  }
  ASSERT_EQ(node_.flights().recorded(), kFlightsPerReply + 3);
  EXPECT_EQ(node_.flights().at(0).deadline, core::from_ms(5));
  EXPECT_EQ(node_.flights().at(0).track, track_);
  Reply reply;
  ask(QuestionKind::kFlights);
  driver_.run_once(now_);
  ASSERT_TRUE(rings_.ask.replies.try_pop(reply));
  ASSERT_EQ(reply.flight_count, kFlightsPerReply);
  EXPECT_EQ(reply.flights[0].serial, kFlightsPerReply + 2);
  Question second;
  second.kind = QuestionKind::kFlights;
  second.before = reply.flights[kFlightsPerReply - 1].serial;
  ASSERT_TRUE(rings_.ask.questions.try_push(second));
  driver_.run_once(now_);
  ASSERT_TRUE(rings_.ask.replies.try_pop(reply));
  EXPECT_EQ(reply.flight_count, 3u);
}

}  // namespace
}  // namespace trunkline::relay
