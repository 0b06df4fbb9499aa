// The parts that a node's threads are made of, without threads: handles, the channel of a host queue, the
// topology tables, the tracks of the configuration, the mesh driver and its rings.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "relay/config_toml.h"
#include "relay/handle_table.h"
#include "relay/host_channel.h"
#include "relay/json_writer.h"
#include "relay/node_driver.h"
#include "relay/null_suite.h"
#include "relay/snapshot.h"
#include "relay/static_tracks.h"
#include "relay/topology.h"

namespace trunkline::relay {
namespace {

NodeConfig small_config(const std::string& behind = "") {
  auto config = parse_config(
      "[node]\nid = 1\ncluster = \"lab-x\"\nregion = \"r\"\nlab = true\nlisten = \"127.0.0.1:7000\"\n"
      "host_queues = 2\n[wire]\ntrack_namespace = \"t\"\nmtu = 1500\nsuite = \"null\"\n"
      "[limits]\nmax_acquires = 16\ncommand_depth = 64\ncore_ring_depth = 512\nframe_ring_depth = 512\n" +
          behind,
      "n.toml");
  EXPECT_TRUE(config) << config.error().text;
  return std::move(*config);
}

// ---- handles

TEST(HandleTable, GivesEachUseAHandleOfItsOwn) {
  HandleTable table(2);
  HandleTable::Entry* entry = table.try_alloc(true);
  const uint64_t first = entry->handle;
  EXPECT_TRUE(is_publication(first));
  EXPECT_EQ(table.find(first), entry);
  table.free(entry);
  EXPECT_EQ(table.find(first), nullptr);
  entry = table.try_alloc(false);
  EXPECT_FALSE(is_publication(entry->handle));
  EXPECT_EQ(handle_slot(entry->handle), handle_slot(first)) << "the slot is used again";
  EXPECT_NE(entry->handle, first);
}

TEST(HandleTable, IsFullWhenAllAreInUseAndKnowsNoOthers) {
  HandleTable table(2);
  table.try_alloc(true);
  table.try_alloc(false);
  EXPECT_EQ(table.try_alloc(true), nullptr);
  for (const uint64_t other : {uint64_t{0}, uint64_t{3}, UINT64_MAX, kPublicationBit})
    EXPECT_EQ(table.find(other), nullptr);
  table.free_all();
  EXPECT_EQ(table.in_use(), 0u);
}

// ---- the channel

HostEvent event_of(HostEventKind kind, uint64_t handle, Outcome outcome = Outcome::ok) {
  HostEvent event;
  event.kind = kind;
  event.handle = handle;
  event.outcome = outcome;
  return event;
}

TEST(HostChannel, KeepsBothEventsOfEveryHandleUntilTheyAreTaken) {
  HostChannel channel(0, 64, 16);
  ASSERT_TRUE(channel.open());
  std::vector<uint64_t> handles;
  for (int i = 0; i < 16; ++i) handles.push_back(channel.handles.try_alloc(false)->handle);
  for (const uint64_t handle : handles) channel.post(event_of(HostEventKind::kOutcome, handle));
  for (const uint64_t handle : handles)
    channel.post(event_of(HostEventKind::kEnded, handle, Outcome::link_down));
  HostEvent event;
  for (const uint64_t handle : handles) {
    ASSERT_TRUE(channel.take(event));
    EXPECT_EQ(event.handle, handle);
    EXPECT_EQ(event.kind, HostEventKind::kOutcome);
  }
  for (const uint64_t handle : handles) {
    ASSERT_TRUE(channel.take(event));
    EXPECT_EQ(event.handle, handle);
    EXPECT_EQ(event.outcome, Outcome::link_down);
  }
  EXPECT_FALSE(channel.take(event));
}

TEST(HostChannel, LosesNoticesWhenTheHostDoesNotReadAndCountsThem) {
  HostChannel channel(0, 64, 16);
  ASSERT_TRUE(channel.open());
  const uint64_t handle = channel.handles.try_alloc(true)->handle;
  for (uint32_t i = 0; i < HostChannel::kNotices + 3; ++i)
    channel.post(event_of(HostEventKind::kTooBig, handle));
  EXPECT_EQ(channel.notices_lost(), 3u);
}

TEST(HostChannel, IsOpenOnceAndForgetsItsFormerLife) {
  HostChannel channel(0, 64, 16);
  ASSERT_TRUE(channel.open());
  EXPECT_FALSE(channel.open());
  const uint64_t handle = channel.handles.try_alloc(false)->handle;
  channel.post(event_of(HostEventKind::kOutcome, handle));
  channel.close();
  EXPECT_FALSE(channel.open()) << "the mesh has not cleared up yet";
  channel.closed();
  ASSERT_TRUE(channel.open());
  EXPECT_FALSE(channel.has_event());
  EXPECT_EQ(channel.handles.find(handle), nullptr);
}

// ---- tables

TEST(Topology, ListsEveryRingAndAddsUpItsMemory) {
  const NodeConfig config = small_config();
  uint64_t sum = 0;
  const auto memory = memory_table(config);
  for (size_t i = 0; i + 1 < memory.size(); ++i) sum += memory[i].bytes;
  EXPECT_EQ(memory.back().what, "sum");
  EXPECT_EQ(memory.back().bytes, sum);
  const std::string text = topology_text(config);
  for (const RingRow& ring : ring_table(config)) {
    EXPECT_NE(text.find(ring.name), std::string::npos) << ring.name;
    // Questions come one at a time; everything else comes in bursts.
    const std::string name = ring.name;
    const bool one_at_a_time = name == "questions" || name == "replies";
    EXPECT_GE(ring.depth, one_at_a_time ? QuestionRings::kDepth : ring.count > 0 ? 16u : 0u) << name;
  }
  core::HeapPageSource pages;
  const NodeRings rings(config, pages);
  EXPECT_EQ(rings.cores.size(), 1u);
  EXPECT_EQ(rings.channels.size(), 2u);
  EXPECT_EQ(rings.cores[0]->commands.capacity(), ring_table(config)[0].depth);
}

TEST(Topology, ADeviceHasRingsOfItsOwn) {
  NodeConfig config = small_config();
  const auto has = [&](const char* ring) {
    const std::vector<RingRow> rows = ring_table(config);
    return std::any_of(rows.begin(), rows.end(),
                       [&](const RingRow& row) { return row.name == std::string(ring); });
  };
  config.data_cores = 2;
  EXPECT_FALSE(has("neighbours")) << "sockets need none";
  config.port = PortChoice::kDpdk;
  EXPECT_TRUE(has("neighbours"));
  EXPECT_FALSE(has("wanted"));
  config.device.interface = "eth0";
  EXPECT_FALSE(has("neighbours")) << "the kernel knows them";
  for (const char* ring : {"wanted", "known", "endpoints"}) EXPECT_TRUE(has(ring)) << ring;
}

TEST(Topology, DataCoresHaveRingsBetweenThemWhereThereAreSeveral) {
  NodeConfig config = small_config();
  const auto has = [&](const char* what) { return topology_text(config).find(what) != std::string::npos; };
  EXPECT_FALSE(has("handover"));
  EXPECT_FALSE(has("hand-over"));
  config.data_cores = 4;
  core::HeapPageSource pages;
  const NodeRings rings(config, pages);
  ASSERT_EQ(rings.handovers.size(), 4u);
  uint64_t pools = 0;
  for (const auto& handover : rings.handovers) {
    EXPECT_EQ(handover->incoming().size(), 3u);
    pools += handover->pool().memory().size();
  }
  uint32_t lanes = 0;
  for (const RingRow& ring : ring_table(config)) {
    if (std::string(ring.name).find("handover") != 0) continue;
    EXPECT_EQ(ring.depth * 3, rings.handovers[0]->pool().count()) << "a slot for each buffer of a share";
    lanes += ring.count;
  }
  EXPECT_EQ(lanes, 2u * 12);
  const auto memory = memory_table(config);
  EXPECT_TRUE(std::any_of(memory.begin(), memory.end(), [&](const MemoryRow& row) {
    return row.what.find("hand-over buffers") == 0 && row.bytes == pools;
  }));
}

TEST(Snapshot, GivesBackTheLatestValueWhole) {
  struct Value {
    uint64_t a = 0, b = 0;
    char text[13] = "";
  };
  Snapshot<Value> snapshot;
  Value out;
  ASSERT_TRUE(snapshot.read(out));
  snapshot.write({1, 2, "twelve bytes"});
  ASSERT_TRUE(snapshot.read(out));
  EXPECT_EQ(out.b, 2u);
  EXPECT_STREQ(out.text, "twelve bytes");
}

TEST(JsonWriter, EscapesAndSeparates) {
  JsonWriter json;
  json.object().number("a", 1).text("b", "x\"\\\n").array("c").number({}, 2).boolean({}, true).end_array();
  json.object("d").end_object().signed_number("e", -3).end_object();
  EXPECT_EQ(json.take(), R"({"a":1,"b":"x\"\\\u000a","c":[2,true],"d":{},"e":-3})");
}

// ---- the tracks of the configuration

class LogSink final : public MeshSink {
 public:
  void command(CoreId, const CoreCommand&) override {}
  void control(LinkId, uint32_t, std::span<const uint8_t>) override {}
  void handshake(const UdpAddress&, std::span<const uint8_t>) override {}
  void event(const HostEvent&) override {}
  void log(LogLevel, std::string_view text) override { lines.emplace_back(text); }
  std::vector<std::string> lines;
};

TEST(StaticTracks, AcquireAgainWithGrowingPauses) {
  const NodeConfig config = small_config("[[egress]]\ntrack = \"cam\"\nto = \"127.0.0.1:5006\"\n");
  StaticTracks tracks(config, 2);
  LogSink log;
  HostCommand command;
  Nanos now = core::from_ms(1);
  std::vector<int64_t> pauses_ms;
  for (int attempt = 0; attempt < 6; ++attempt) {
    ASSERT_TRUE(tracks.next(now, command));
    EXPECT_EQ(command.kind, HostCommandKind::kAcquire);
    EXPECT_FALSE(tracks.next(now, command)) << "one at a time";
    tracks.on_event(now, event_of(HostEventKind::kOutcome, command.handle, Outcome::not_here), log);
    pauses_ms.push_back((tracks.next_due() - now).ms());
    now = tracks.next_due();
  }
  EXPECT_EQ(pauses_ms, (std::vector<int64_t>{200, 400, 800, 1'600, 2'000, 2'000}));
  EXPECT_EQ(log.lines[0], "egress cam: NOT_HERE after 0 us");
}

TEST(StaticTracks, TakeEverythingBackWhenStopped) {
  const NodeConfig config = small_config(
      "[[ingest]]\ntrack = \"cam\"\nlisten = \"127.0.0.1:0\"\nfrom = \"127.0.0.1:5000\"\ncodec = \"vp8\"\n"
      "[[peer]]\nid = 5\naddress = \"127.0.0.1:7001\"\n[[location]]\ntrack = \"other\"\nnode = 5\n");
  StaticTracks tracks(config, 2);
  LogSink log;
  HostCommand command;
  ASSERT_TRUE(tracks.next({}, command));
  EXPECT_EQ(command.kind, HostCommandKind::kHint);
  EXPECT_EQ(command.node.value, 5u);
  ASSERT_TRUE(tracks.next({}, command));
  EXPECT_EQ(command.kind, HostCommandKind::kPublish);
  EXPECT_TRUE(command.tap.vp8);
  EXPECT_EQ(command.tap.from, UdpAddress::v4(127, 0, 0, 1, 5000));
  HostEvent published = event_of(HostEventKind::kPublished, command.handle);
  published.address = UdpAddress::v4(127, 0, 0, 1, 5004);
  tracks.on_event({}, published, log);
  EXPECT_EQ(log.lines.back(), "ingest cam: published, listening on 127.0.0.1:5004");
  tracks.stop();
  EXPECT_FALSE(tracks.idle());
  ASSERT_TRUE(tracks.next({}, command));
  EXPECT_EQ(command.kind, HostCommandKind::kUnpublish);
  tracks.on_event({}, event_of(HostEventKind::kUnpublished, command.handle), log);
  EXPECT_TRUE(tracks.idle());
  EXPECT_FALSE(tracks.next(core::from_s(100), command));
}

// ---- the driver

class Driver : public ::testing::Test {
 protected:
  const NodeConfig config_ = small_config("[[peer]]\nid = 2\naddress = \"127.0.0.1:7001\"\n");
  core::Rng rng_{7};
  NullCrypto crypto_{rng_};
  const uint16_t port_ = 7000;
  MeshNode node_{config_, 1, {&port_, 1}, rng_, crypto_};
  core::HeapPageSource pages_;
  NodeRings rings_{config_, pages_};
  MeshDriver driver_{config_, node_, rings_};

  uint64_t acquire(HostChannel& channel, Nanos submitted = {}) {
    HostCommand command;
    command.submitted = submitted;
    command.kind = HostCommandKind::kAcquire;
    command.queue = static_cast<uint16_t>(channel.index());
    command.handle = channel.handles.try_alloc(false)->handle;
    command.track.bytes[0] = 9;
    EXPECT_TRUE(channel.commands.try_push(command));
    return command.handle;
  }
};

TEST_F(Driver, AnswersACommandAndSaysWhomToWake) {
  HostChannel& channel = *rings_.channels[1];
  ASSERT_TRUE(channel.open());
  const uint64_t handle = acquire(channel);
  EXPECT_TRUE(driver_.has_input());
  Nanos now = core::from_ms(1);
  uint64_t touched = 0;
  for (; now < core::from_ms(1'100) && !channel.has_event(); now = now + core::from_ms(1)) {
    driver_.run_once(now);
    touched |= driver_.take_touched().channels;
  }
  HostEvent event;
  ASSERT_TRUE(channel.take(event));
  EXPECT_EQ(event.handle, handle);
  EXPECT_EQ(touched, 2u) << "a bit for queue 1";
  EXPECT_FALSE(driver_.has_input());
}

TEST_F(Driver, WhatCameDuringThePassDoesNotEndBeforeItBegan) {
  HostChannel& channel = *rings_.channels[0];
  ASSERT_TRUE(channel.open());
  const Nanos pass = core::from_ms(1);
  HostCommand release;
  release.kind = HostCommandKind::kRelease;
  release.submitted = pass + core::from_us(30);
  release.handle = acquire(channel, release.submitted);
  ASSERT_TRUE(channel.commands.try_push(release));  // it ends within the pass, one way or the other
  driver_.run_once(pass);
  HostEvent event;
  ASSERT_TRUE(channel.take(event));
  EXPECT_EQ(event.handle, release.handle);
  EXPECT_GE(event.elapsed, Nanos{});
}

TEST_F(Driver, MakesNoStepWithoutRoomForItsOutputs) {
  CoreRings& core = *rings_.cores[0];
  while (core.commands.free_approx() >= MeshNode::kMaxOutputs) core.commands.try_push(CoreCommand{});
  HostChannel& channel = *rings_.channels[0];
  ASSERT_TRUE(channel.open());
  acquire(channel);
  const Nanos now = core::from_ms(1);
  EXPECT_EQ(driver_.run_once(now), 0u);
  EXPECT_EQ(driver_.gauges().passes_blocked, 1u);
  EXPECT_EQ(driver_.next_deadline(), now + MeshDriver::kBlockedRetry);
  EXPECT_EQ(channel.commands.size_approx(), 1u) << "the command waits";
  CoreCommand taken;
  while (core.commands.try_pop(taken)) {
  }
  EXPECT_GT(driver_.run_once(now + MeshDriver::kBlockedRetry), 0u);
  EXPECT_EQ(channel.commands.size_approx(), 0u);
}

TEST_F(Driver, TakesBackWhatAClosedQueueLeft) {
  HostChannel& channel = *rings_.channels[0];
  ASSERT_TRUE(channel.open());
  for (int i = 0; i < 5; ++i) acquire(channel);
  HostCommand publish;
  publish.kind = HostCommandKind::kPublish;
  publish.handle = channel.handles.try_alloc(true)->handle;
  publish.track.bytes[0] = 1;
  ASSERT_TRUE(channel.commands.try_push(publish));
  channel.close();
  Nanos now = core::from_ms(1);
  for (; channel.state() != HostChannel::kClosed && now < core::from_ms(50); now = now + core::from_us(100)) {
    driver_.run_once(now);
    CoreCommand taken;
    while (rings_.cores[0]->commands.try_pop(taken)) {
    }
  }
  EXPECT_EQ(channel.state(), HostChannel::kClosed);
  EXPECT_EQ(driver_.gauges().usage.acquires, 0u);
  EXPECT_TRUE(channel.open());
}

}  // namespace
}  // namespace trunkline::relay
