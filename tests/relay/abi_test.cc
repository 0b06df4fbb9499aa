// The C ABI as a careless host meets it: each misuse has a code and a sentence, and none does harm.
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/lab_node.h"

namespace trunkline::tests {
namespace {

// Runs a call and checks its code and text.
void refused(const char* what, const std::function<int64_t()>& call, int code, const std::string& text) {
  SCOPED_TRACE(what);
  const int64_t result = call();
  EXPECT_STREQ(tl_error_name(static_cast<int>(result)), tl_error_name(code));
  EXPECT_EQ(tl_last_error(), text);
}

class Abi : public ::testing::Test {
 protected:
  void SetUp() override {
    auto node =
        open_lab({.id = 1, .in_node = "host_queues = 2\n", .behind = "[limits]\nmax_acquires = 16\n"});
    ASSERT_TRUE(node) << node.error().text;
    node_ = std::make_unique<Node>(std::move(*node));
    auto queue = node_->queue(0);
    ASSERT_TRUE(queue) << queue.error().text;
    queue_ = std::make_unique<Queue>(std::move(*queue));
    track_ = *node_->track_id("camera");
  }
  tl_publish_options publish_options() const {
    tl_publish_options options{};
    options.size = sizeof options;
    std::copy(track_.begin(), track_.end(), options.track);
    return options;
  }
  tl_acquire_options acquire_options() const {
    tl_acquire_options options{};
    options.size = sizeof options;
    std::copy(track_.begin(), track_.end(), options.track);
    return options;
  }
  tl_queue* q() const { return queue_->get(); }
  tl_node* n() const { return node_->get(); }

  // In this order: the queue is closed first.
  std::unique_ptr<Node> node_;
  std::unique_ptr<Queue> queue_;
  TrackBytes track_{};
  uint64_t handle_ = 0;
};

TEST(AbiNode, RefusesOptionsThatAreWrong) {
  tl_node* node = nullptr;
  tl_options options{};
  const auto open = [&] { return tl_open(&options, &node); };
  refused(
      "no place", [&] { return tl_open(&options, nullptr); }, TL_EINVAL,
      "tl_open: node is NULL: where should the node be put?");
  refused(
      "no options", [&] { return tl_open(nullptr, &node); }, TL_EINVAL, "tl_open: options is NULL");
  refused(
      "size 0", open, TL_EABI,
      "tl_open: options.size is 0, and this library knows 40 bytes: set it to sizeof(tl_options), or update "
      "the library");
  options.size = sizeof options;
  refused(
      "abi 0", open, TL_EABI,
      "tl_open: options.abi is 0, and this library speaks 1: set it to TL_ABI_VERSION, or install the header "
      "that belongs to the library");
  options.abi = TL_ABI_VERSION;
  refused("no config", open, TL_EINVAL,
          "tl_open: config_path and config_text are both NULL: give one of them");
  options.config_path = "missing.toml";
  refused("no file", open, TL_ECONFIG, "missing.toml: cannot be read: No such file or directory");
  options.config_text = "[node]\nid = 0\n";
  refused("path names the text", open, TL_ECONFIG,
          "missing.toml:1:1: node.cluster: is required and absent: write the name that all nodes of the mesh "
          "share");
  EXPECT_EQ(node, nullptr);
}

TEST(AbiNode, RefusesANewerCallerOnlyWhenItUsesWhatIsNew) {
  struct Newer {
    tl_options known;
    uint64_t later;
  } options{};
  options.known.size = sizeof options;
  options.known.abi = TL_ABI_VERSION;
  options.later = 1;
  tl_node* node = nullptr;
  refused(
      "uses it", [&] { return tl_open(&options.known, &node); }, TL_EABI,
      "tl_open: options.size is 48, and this library knows 40 bytes: set it to sizeof(tl_options), or update "
      "the library");
  options.later = 0;
  refused(
      "does not", [&] { return tl_open(&options.known, &node); }, TL_EINVAL,
      "tl_open: config_path and config_text are both NULL: give one of them");
}

TEST(AbiNode, SaysWhichAddressIsTaken) {
  auto first = open_lab({.id = 1});
  ASSERT_TRUE(first);
  const std::string address = *first->listen_address();
  const auto second = open_lab({.id = 2, .listen = address});
  ASSERT_FALSE(second);
  EXPECT_STREQ(tl_error_name(second.error().code), "TL_ESYSTEM");
  EXPECT_EQ(second.error().text.rfind("node.listen: ", 0), 0u) << second.error().text;
  EXPECT_NE(second.error().text.find(address), std::string::npos) << second.error().text;
}

TEST(AbiNode, SaysWhichCpuItMayNotUse) {
  const auto node = open_lab({.id = 1, .in_node = "pin = [1023]\n"});
  ASSERT_FALSE(node);
  EXPECT_EQ(
      node.error().text,
      "cannot pin thread tl-core-0 to CPU 1023: Invalid argument; node.pin may name only CPUs that this "
      "process may use (taskset -p shows them)");
}

TEST(AbiNode, ChecksAConfigurationWithoutOpeningASocket) {
  char text[200] = "untouched";
  EXPECT_EQ(tl_check_config(nullptr, lab_config({}).c_str(), text, sizeof text), 0);
  refused(
      "nothing", [&] { return tl_check_config(nullptr, nullptr, text, sizeof text); }, TL_EINVAL,
      "tl_check_config: config_path and config_text are both NULL: give one of them");
  EXPECT_EQ(tl_check_config(nullptr, "[nod]\n", text, sizeof text), TL_ECONFIG);
  EXPECT_STREQ(text, "config:1:2: nod: unknown key; did you mean 'node'?");
  char few[10];
  EXPECT_EQ(tl_check_config("n.toml", "[nod]\n", few, sizeof few), TL_ECONFIG);
  EXPECT_STREQ(few, "n.toml:1:");
  EXPECT_EQ(tl_check_config(nullptr, "[nod]\n", nullptr, 0), TL_ECONFIG);
}

TEST(AbiNode, NamesTracksAsTheProtocolSays) {
  uint8_t id[16];
  refused(
      "no name", [&] { return tl_track_id("n", nullptr, id); }, TL_EINVAL,
      "tl_track_id: track_namespace, name and id must not be NULL");
  refused(
      "empty name", [&] { return tl_track_id("n", "", id); }, TL_EINVAL,
      "tl_track_id: name is empty: a track needs a name");
  refused(
      "no node", [&] { return tl_node_track_id(nullptr, "x", id); }, TL_EINVAL,
      "tl_node_track_id: node is NULL");
  EXPECT_EQ(tl_track_id("n", "x", id), 0);
}

TEST(AbiNode, ToleratesNull) {
  char text[8];
  EXPECT_EQ(tl_close(nullptr, 100), 0);
  EXPECT_EQ(tl_queue_close(nullptr), 0);
  refused(
      "stats", [&] { return tl_stats_json(nullptr, text, 8); }, TL_EINVAL, "tl_stats_json: node is NULL");
  refused(
      "describe", [&] { return tl_describe(nullptr, text, 8); }, TL_EINVAL, "tl_describe: node is NULL");
  refused(
      "listen", [&] { return tl_listen_address(nullptr, text, 8); }, TL_EINVAL,
      "tl_listen_address: node is NULL");
  EXPECT_STREQ(tl_error_name(-99), "?");
  EXPECT_STREQ(tl_error_name(TL_ECLOSED), "TL_ECLOSED");
  EXPECT_STREQ(tl_outcome_name(20), "?");
  EXPECT_STREQ(tl_outcome_name(4'000'000'000u), "?");
  EXPECT_STREQ(tl_outcome_name(TL_OUTCOME_STALLED), "STALLED");
}

TEST_F(Abi, AQueueIsOpenOnceAtATime) {
  tl_queue* other = nullptr;
  refused(
      "again", [&] { return tl_queue_open(n(), 0, &other); }, TL_EINUSE,
      "tl_queue_open: queue 0 is open already");
  refused(
      "index", [&] { return tl_queue_open(n(), 2, &other); }, TL_EINVAL,
      "tl_queue_open: index 2, and node.host_queues is 2");
  refused(
      "no node", [&] { return tl_queue_open(nullptr, 0, &other); }, TL_EINVAL, "tl_queue_open: node is NULL");
  refused(
      "no place", [&] { return tl_queue_open(n(), 1, nullptr); }, TL_EINVAL, "tl_queue_open: queue is NULL");
  refused(
      "node in use", [&] { return tl_close(n(), 0); }, TL_EINUSE,
      "tl_close: queue 0 is open: call tl_queue_close on every queue first");
  tl_queue* closed = q();
  queue_.reset();
  refused(
      "late call", [&] { return tl_queue_arm(closed); }, TL_EINVAL, "tl_queue_arm: the queue was closed");
  refused(
      "late close", [&] { return tl_queue_close(closed); }, TL_EINVAL,
      "tl_queue_close: the queue was closed");
  EXPECT_TRUE(eventually([&] { return tl_queue_open(n(), 0, &other) == 0; }));
  queue_ = std::make_unique<Queue>(other);
}

TEST_F(Abi, RefusesPublicationsThatAreWrong) {
  auto options = publish_options();
  const auto publish = [&] { return tl_publish(q(), &options, &handle_); };
  refused(
      "no queue", [&] { return tl_publish(nullptr, &options, &handle_); }, TL_EINVAL,
      "tl_publish: queue is NULL");
  refused(
      "no options", [&] { return tl_publish(q(), nullptr, &handle_); }, TL_EINVAL,
      "tl_publish: options and handle must not be NULL");
  options.size = 0;
  refused("size", publish, TL_EABI, "tl_publish: options.size is 0, and this library knows 72 bytes");
  options = publish_options();
  options.traffic_class = 3;
  refused("class", publish, TL_EINVAL,
          "tl_publish: traffic_class is 3; it must be one of TL_CLASS_..., 0 to 2");
  options = publish_options();
  options.descriptor_bytes = 513;
  refused("descriptor", publish, TL_ETOOBIG, "tl_publish: the descriptor has 513 bytes; at most 512 fit");
  options.descriptor_bytes = 5;
  refused("no descriptor", publish, TL_EINVAL, "tl_publish: descriptor is NULL, and descriptor_bytes is 5");
  options = publish_options();
  options.ingest = "localhost:5004";
  refused("ingest", publish, TL_EINVAL,
          "tl_publish: ingest 'localhost:5004' is not an address; write IP:port, as \"192.0.2.1:5004\"");
  options.ingest = "127.0.0.1:0";
  options.ingest_from = "anybody";
  refused("ingest_from", publish, TL_EINVAL,
          "tl_publish: ingest_from 'anybody' is not an address; write IP:port, as \"192.0.2.1:5004\"");
  options.ingest_from = "[::1]:0";
  refused("ingest_from of another family", publish, TL_EINVAL,
          "tl_publish: ingest_from '[::1]:0' is not of the family of the address listened on: both must be "
          "IPv4, or both IPv6");
  options.ingest_from = "0.0.0.0:5004";
  refused(
      "ingest_from of no host", publish, TL_EINVAL,
      "tl_publish: ingest_from '0.0.0.0:5004' names no host: give the address that sends, or leave it out "
      "for anybody");
  options.ingest_from = "127.0.0.1:0";
  options.ingest = nullptr;
  refused("ingest_from alone", publish, TL_EINVAL,
          "tl_publish: ingest_from is '127.0.0.1:0', and ingest is NULL: only an ingest tap hears addresses; "
          "say where it listens");
  options = publish_options();
  std::fill(std::begin(options.track), std::end(options.track), uint8_t{0});
  refused("track", publish, TL_EINVAL, "tl_publish: track is all zero: make one with tl_track_id");
  refused(
      "unpublish", [&] { return tl_unpublish(q(), 77); }, TL_ENOHANDLE,
      "tl_unpublish: no publication of this queue has the handle 0x4d");
}

TEST_F(Abi, RefusesAcquiresThatAreWrong) {
  auto options = acquire_options();
  const auto acquire = [&] { return tl_acquire(q(), &options, &handle_); };
  refused(
      "no place", [&] { return tl_acquire(q(), &options, nullptr); }, TL_EINVAL,
      "tl_acquire: options and handle must not be NULL");
  options.size = 2;
  refused("size", acquire, TL_EABI, "tl_acquire: options.size is 2, and this library knows 40 bytes");
  options = acquire_options();
  options.deadline_ms = 60'001;
  refused("deadline", acquire, TL_EINVAL, "tl_acquire: deadline_ms is 60001; at most 60000");
  options = acquire_options();
  options.rendezvous_ms = -2;
  refused("rendezvous", acquire, TL_EINVAL, "tl_acquire: rendezvous_ms is -2; it must be from -1 to 60000");
  options = acquire_options();
  options.egress = "127.0.0.1:0";
  refused("egress", acquire, TL_EINVAL,
          "tl_acquire: egress '127.0.0.1:0' is not an address; write IP:port, as \"192.0.2.1:5004\"");
  options = acquire_options();
  std::fill(std::begin(options.track), std::end(options.track), uint8_t{0});
  refused("track", acquire, TL_EINVAL, "tl_acquire: track is all zero: make one with tl_track_id");
  refused(
      "release", [&] { return tl_release(q(), 0); }, TL_ENOHANDLE,
      "tl_release: no acquisition of this queue has the handle 0");
  refused(
      "hint", [&] { return tl_hint(q(), nullptr, 2); }, TL_EINVAL,
      "tl_hint: track must not be NULL, and node_id not 0");
}

TEST_F(Abi, RefusesDrainsThatAreWrong) {
  refused(
      "on 2", [&] { return tl_drain(q(), 2, 0); }, TL_EINVAL, "tl_drain: on is 2; it must be 0 or 1");
  refused(
      "itself", [&] { return tl_drain(q(), 1, 1); }, TL_EINVAL,
      "tl_drain: successor 1 is this node: name another one, or 0");
  refused(
      "a successor without draining", [&] { return tl_drain(q(), 0, 2); }, TL_EINVAL,
      "tl_drain: a successor is named, and on is 0: who drains no more refers nobody");
  EXPECT_EQ(queue_->drain(2), 0);
  EXPECT_TRUE(eventually([&] { return stat(*node_, "node", "successor") == 2; }));
  EXPECT_EQ(queue_->undrain(), 0);
  EXPECT_TRUE(eventually([&] { return stat(*node_, "node", "successor") == 0; }));
}

TEST_F(Abi, ExplainsATrackAndRemembersItsAcquires) {
  refused(
      "no track", [&] { return tl_explain_json(n(), nullptr, "camera", nullptr, 0); }, TL_EINVAL,
      "tl_explain_json: node and track must not be NULL");
  refused(
      "no node", [&] { return tl_flights_json(nullptr, nullptr, 1, nullptr, 0); }, TL_EINVAL,
      "tl_flights_json: node is NULL");
  const auto line = [&](const char* name) {
    const auto json = node_->explain_json(track_, name);
    return json ? *json : json.error().text;
  };
  EXPECT_NE(line("camera").find(R"("line":"track 'camera' does not flow: it is not published here, and this )"
                                R"(node has no peers","cause":"NO_PEERS")"),
            std::string::npos)
      << line("camera");
  // Three acquires, of which two are of this track.
  for (const char* name : {"camera", "other", "camera"}) {
    ASSERT_TRUE(queue_->acquire({.track = *node_->track_id(name), .deadline_ms = 20}));
    EXPECT_EQ(next_event(*queue_).kind, static_cast<uint32_t>(TL_EVENT_OUTCOME));
  }
  const auto lines = [](const Expected<std::string>& text) {
    return text ? std::count(text->begin(), text->end(), '\n') : -1;
  };
  EXPECT_EQ(lines(node_->flights_json(nullptr, 1'000)), 3);
  EXPECT_EQ(lines(node_->flights_json(&track_, 1'000)), 2);
  EXPECT_EQ(lines(node_->flights_json(nullptr, 1)), 1);
  EXPECT_EQ(lines(node_->flights_json(nullptr, 0)), 0);
  ASSERT_TRUE(queue_->publish({.track = track_}));
  EXPECT_EQ(next_event(*queue_).kind, static_cast<uint32_t>(TL_EVENT_PUBLISHED));
  const std::string published = line("camera");
  EXPECT_NE(published.find(R"("cause":"MUTED_HERE")"), std::string::npos) << published;
  EXPECT_NE(published.find(R"("flow":{"open":true,"answered":true)"), std::string::npos) << published;
}

// Questions come from any thread, one at a time; who finds another asking is told so, and nobody waits long.
TEST_F(Abi, ManyThreadsMayAsk) {
  std::atomic<int> answered{0}, busy{0}, wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round) {
        const int64_t length = tl_explain_json(n(), track_.data(), nullptr, nullptr, 0);
        ++(length > 0 ? answered : length == TL_EINUSE ? busy : wrong);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_GT(answered, 0);
  EXPECT_EQ(answered + busy, 200);
}

TEST_F(Abi, TheHandlesOfAQueueAreBounded) {
  auto options = acquire_options();
  for (int i = 0; i < 16; ++i) EXPECT_EQ(tl_acquire(q(), &options, &handle_), 0);
  refused(
      "the 17th", [&] { return tl_acquire(q(), &options, &handle_); }, TL_EFULL,
      "tl_acquire: this queue has 16 handles in use, all there are: take events, release some, or raise "
      "limits.max_acquires");
  auto publish = publish_options();
  refused(
      "a publication", [&] { return tl_publish(q(), &publish, &handle_); }, TL_EFULL,
      "tl_publish: this queue has 16 handles in use, all there are: take events, release some, or raise "
      "limits.max_acquires");
  // None is lost, however long the host takes.
  int outcomes = 0;
  while (outcomes < 16 && next_event(*queue_).kind == TL_EVENT_OUTCOME) ++outcomes;
  EXPECT_EQ(outcomes, 16);
  EXPECT_EQ(tl_acquire(q(), &options, &handle_), 0);
}

TEST_F(Abi, RefusesPacketsThatAreWrong) {
  const auto bytes = rtp_packet(1, 200);
  tl_packet packet{};
  packet.data = const_cast<uint8_t*>(bytes.data());
  packet.length = 200;
  const auto send = [&] { return tl_tx_burst(q(), &packet, 1); };
  refused(
      "no packets", [&] { return tl_tx_burst(q(), nullptr, 1); }, TL_EINVAL, "tl_tx_burst: packets is NULL");
  packet.handle = 5;
  refused("handle", send, TL_ENOHANDLE,
          "tl_tx_burst: no publication or acquisition of this queue has the handle 0x5");
  auto options = publish_options();
  ASSERT_EQ(tl_publish(q(), &options, &packet.handle), 0);
  refused("too early", send, TL_ENOTREADY,
          "tl_tx_burst: the handle 0x8000000100000001 is not confirmed yet: wait for its first event");
  EXPECT_EQ(next_event(*queue_).kind, uint32_t{TL_EVENT_PUBLISHED});
  packet.length = 0;
  refused("empty", send, TL_EINVAL, "tl_tx_burst: the packet has no bytes");
  packet.length = 3'000;
  refused("long", send, TL_ETOOBIG, "tl_tx_burst: the packet has 3000 bytes; at most 2008 fit a slot");
  packet.length = 200;
  packet.traffic_class = 7;
  refused("class", send, TL_EINVAL,
          "tl_tx_burst: traffic_class is 7; it must be one of TL_CLASS_..., 0 to 2");
  packet.traffic_class = 0;
  packet.flags = TL_PACKET_FEEDBACK;
  refused("feedback", send, TL_EINVAL,
          "tl_tx_burst: TL_PACKET_FEEDBACK belongs to packets of an acquisition");
  packet.flags = 0;
  packet.data = nullptr;
  refused("no data", send, TL_EINVAL, "tl_tx_burst: packet 0 has no data");
}

TEST_F(Abi, ChecksWhatWasClaimed) {
  tl_packet packets[4]{};
  auto options = publish_options();
  uint64_t handle = 0;
  ASSERT_EQ(tl_publish(q(), &options, &handle), 0);
  EXPECT_EQ(next_event(*queue_).kind, uint32_t{TL_EVENT_PUBLISHED});
  refused(
      "nothing claimed", [&] { return tl_tx_commit(q(), packets, 1); }, TL_EINVAL,
      "tl_tx_commit: 1 packets, and 0 were claimed");
  ASSERT_EQ(tl_tx_claim(q(), handle, packets, 4), 4);
  EXPECT_EQ(packets[0].capacity, 2008u);
  refused(
      "claim twice", [&] { return tl_tx_claim(q(), handle, packets, 1); }, TL_EINVAL,
      "tl_tx_claim: a claim is open: tl_tx_commit it first, with 0 to drop it");
  refused(
      "send between", [&] { return tl_tx_burst(q(), packets, 1); }, TL_EINVAL,
      "tl_tx_burst: a claim is open: tl_tx_commit it first, with 0 to drop it");
  packets[0].data = packets;
  refused(
      "other data", [&] { return tl_tx_commit(q(), packets, 1); }, TL_EINVAL,
      "tl_tx_commit: packet 0 is not the one that was claimed");
  ASSERT_EQ(tl_tx_claim(q(), handle, packets, 2), 2);
  EXPECT_EQ(tl_tx_commit(q(), packets, 0), 0);
  ASSERT_EQ(tl_tx_claim(q(), handle, packets, 1), 1);
  const auto bytes = rtp_packet(1, 100);
  std::copy(bytes.begin(), bytes.end(), static_cast<uint8_t*>(packets[0].data));
  packets[0].length = 100;
  EXPECT_EQ(tl_tx_commit(q(), packets, 1), 1);
  EXPECT_TRUE(eventually([&] { return stat(*node_, "counters", "rx_datagrams") >= 0; }));
}

TEST_F(Abi, ReceivedPacketsAreReturnedBeforeTheNextOnes) {
  auto publish = publish_options();
  auto acquire = acquire_options();
  uint64_t publication = 0, acquisition = 0;
  ASSERT_EQ(tl_publish(q(), &publish, &publication), 0);
  EXPECT_EQ(next_event(*queue_).kind, uint32_t{TL_EVENT_PUBLISHED});
  ASSERT_EQ(tl_acquire(q(), &acquire, &acquisition), 0);
  const Event outcome = next_event(*queue_);
  EXPECT_EQ(outcome.outcome, uint32_t{TL_OUTCOME_OK});
  EXPECT_EQ(outcome.local, 1);
  const auto bytes = rtp_packet(1, 100);
  tl_packet out{}, in{};
  out.data = const_cast<uint8_t*>(bytes.data());
  out.length = 100;
  out.handle = publication;
  ASSERT_EQ(tl_tx_burst(q(), &out, 1), 1);
  ASSERT_TRUE(eventually([&] { return tl_rx_burst(q(), &in, 1) == 1; }));
  EXPECT_EQ(in.handle, acquisition);
  refused(
      "held", [&] { return tl_rx_burst(q(), &in, 1); }, TL_EINVAL,
      "tl_rx_burst: the last burst was not returned: call tl_rx_release first");
  EXPECT_EQ(tl_rx_release(q()), 0);
  out.handle = acquisition;
  refused(
      "media from a subscriber", [&] { return tl_tx_burst(q(), &out, 1); }, TL_EINVAL,
      "tl_tx_burst: packets of an acquisition must carry TL_PACKET_FEEDBACK");
  EXPECT_EQ(tl_release(q(), acquisition), 0);
  EXPECT_EQ(tl_release(q(), acquisition), 0) << "a second release crosses the first one's event";
  EXPECT_EQ(next_event(*queue_).kind, uint32_t{TL_EVENT_ENDED});
  refused(
      "released", [&] { return tl_release(q(), acquisition); }, TL_ENOHANDLE,
      "tl_release: no acquisition of this queue has the handle 0x100000002");
}

}  // namespace
}  // namespace trunkline::tests
