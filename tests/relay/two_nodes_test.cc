// Two nodes in one process over loopback, threads and all, driven through the C ABI. Payloads check
// themselves; the same tests run under ThreadSanitizer.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <set>

#include "tests/support/lab_node.h"

namespace trunkline::tests {
namespace {

// Each test has ports of its own: a socket of the last one may still be closing.
int next_port() {
  static int port = 46'000;
  return port += 4;  // two nodes of at most two data cores
}

Queue open_queue(Node& node, uint32_t index) {
  auto queue = node.queue(index);
  EXPECT_TRUE(queue) << queue.error().text;
  return std::move(*queue);
}

// Sends packets first .. first + count - 1 of a publication, as fast as they are taken.
void send(Queue& queue, Handle publication, uint16_t first, uint16_t count, size_t length) {
  for (uint16_t sequence = first; sequence < first + count; ++sequence) {
    const auto bytes = rtp_packet(sequence, length);
    Packet packet{};
    packet.data = const_cast<uint8_t*>(bytes.data());
    packet.length = static_cast<uint32_t>(length);
    packet.handle = publication;
    ASSERT_TRUE(eventually([&] {
      const auto sent = queue.send({&packet, 1});
      return sent && *sent == 1;
    })) << tl_last_error();
  }
}

// Takes `count` packets of a subscription; each must be a packet of send(), whole, and come once.
void receive(Queue& queue, Handle subscription, size_t count, size_t length) {
  std::set<uint16_t> seen;
  std::vector<Packet> room(64);
  ASSERT_TRUE(eventually([&] {
    for (const Packet& packet : queue.receive(room)) {
      EXPECT_EQ(packet.handle, subscription);
      const auto* bytes = static_cast<const uint8_t*>(packet.data);
      const auto sequence = static_cast<uint16_t>(bytes[2] << 8 | bytes[3]);
      const auto expected = rtp_packet(sequence, length);
      EXPECT_EQ(packet.length, length);
      EXPECT_EQ(std::memcmp(bytes, expected.data(), length), 0);
      EXPECT_TRUE(seen.insert(sequence).second) << "twice: " << sequence;
    }
    queue.done();
    return seen.size() == count;
  })) << seen.size()
      << " of " << count;
}

TEST(TwoNodes, RelayATrackByteForByte) {
  TwoNodes nodes(next_port());
  ASSERT_NO_FATAL_FAILURE(nodes.ready());
  Queue from = open_queue(nodes.a(), 0), to = open_queue(nodes.b(), 0);
  const Relayed track = relay_track(from, to, "camera", TL_CLASS_VIDEO_BASE);
  send(from, track.publication, 0, 500, 1'200);
  receive(to, track.subscription, 500, 1'200);
  send(from, track.publication, 500, 200, 172);
  receive(to, track.subscription, 200, 172);
}

TEST(TwoNodes, RelayOverSeveralDataCoresAndQueues) {
  TwoNodes nodes(next_port(), "data_cores = 2\n");
  ASSERT_NO_FATAL_FAILURE(nodes.ready());
  for (uint32_t index = 0; index < 4; ++index) {
    Queue from = open_queue(nodes.a(), index), to = open_queue(nodes.b(), index);
    const Relayed track = relay_track(from, to, "track-" + std::to_string(index), TL_CLASS_AUDIO);
    send(from, track.publication, 0, 100, 300);
    receive(to, track.subscription, 100, 300);
  }
}

// A hop between the nodes that sends what is for one data core of B to the port of the next one, as a network
// card that spreads by addresses and ports does. Handshakes go where they are for. A has one core; B listens
// on 127.0.0.1 and is known to A as 127.0.0.2, where this hop is.
class WrongPorts {
 public:
  WrongPorts(int a, int b, uint32_t cores) : a_(a), b_(b) {
    for (uint32_t k = 0; k < cores; ++k) {
      sockets_.push_back({socket(AF_INET, SOCK_DGRAM, 0), POLLIN, 0});
      const sockaddr_in here = address(2, b + static_cast<int>(k));
      bound_ = bound_ && bind(sockets_[k].fd, reinterpret_cast<const sockaddr*>(&here), sizeof here) == 0;
    }
    thread_ = std::thread([this] { run(); });
  }
  ~WrongPorts() {
    stop_.store(true);
    thread_.join();
    for (const pollfd& socket : sockets_) close(socket.fd);
  }
  bool bound() const { return bound_; }
  uint64_t sent_wrong() const { return sent_wrong_.load(); }

 private:
  static sockaddr_in address(uint8_t host, int port) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_addr.s_addr = htonl(0x7f000000u + host);
    to.sin_port = htons(static_cast<uint16_t>(port));
    return to;
  }
  void run() {
    while (!stop_.load()) {
      if (poll(sockets_.data(), sockets_.size(), 20) <= 0) continue;
      for (size_t k = 0; k < sockets_.size(); ++k) {
        if (sockets_[k].revents != 0) forward(k);
      }
    }
  }
  void forward(size_t k) {
    uint8_t bytes[2048];
    sockaddr_in from{};
    socklen_t length = sizeof from;
    const ssize_t got =
        recvfrom(sockets_[k].fd, bytes, sizeof bytes, 0, reinterpret_cast<sockaddr*>(&from), &length);
    if (got <= 0) return;
    const bool from_a = ntohs(from.sin_port) == a_;
    const bool handshake = (bytes[0] >> 2 & 7) != 0;  // docs/protocol.md: version 3, type 3, phase 2
    const bool wrong = from_a && !handshake;
    const size_t port = wrong ? (k + 1) % sockets_.size() : k;
    const sockaddr_in to = from_a ? address(1, b_ + static_cast<int>(port)) : address(1, a_);
    sendto(sockets_[k].fd, bytes, static_cast<size_t>(got), 0, reinterpret_cast<const sockaddr*>(&to),
           sizeof to);
    if (wrong) sent_wrong_.fetch_add(1);
  }

  int a_, b_;
  bool bound_ = true;
  std::vector<pollfd> sockets_;
  std::atomic<bool> stop_{false};
  std::atomic<uint64_t> sent_wrong_{0};
  std::thread thread_;
};

// The sum over all data cores of one number of the statistics.
int64_t sum_over_cores(const Node& node, const std::string& key) {
  const auto json = node.stats_json();
  if (!json) return -1;
  const size_t end = json->find("\"mesh\":");
  const std::string name = '"' + key + "\":";
  int64_t sum = 0;
  for (size_t at = json->find(name); at < end; at = json->find(name, at + 1))
    sum += std::atoll(json->c_str() + at + name.size());
  return sum;
}

TEST(TwoNodes, RelayWhatArrivesAtThePortOfAnotherDataCore) {
  for (const uint32_t cores : {2u, 3u}) {
    const int a = next_port(), b = next_port();
    WrongPorts hop(a, b, cores);
    ASSERT_TRUE(hop.bound());
    const std::string in_b = "data_cores = " + std::to_string(cores) + "\n";
    auto node_a =
        open_lab({1, "127.0.0.1:" + std::to_string(a), "", {{2, "127.0.0.2:" + std::to_string(b)}}});
    auto node_b =
        open_lab({2, "127.0.0.1:" + std::to_string(b), in_b, {{1, "127.0.0.1:" + std::to_string(a)}}});
    ASSERT_TRUE(node_a) << node_a.error().text;
    ASSERT_TRUE(node_b) << node_b.error().text;
    ASSERT_TRUE(eventually([&] { return link_is_up(*node_a) && link_is_up(*node_b); }));
    Queue from = open_queue(*node_a, 0), to = open_queue(*node_b, 0);
    constexpr uint16_t kTracks = 6, kPackets = 100;
    for (int i = 0; i < kTracks; ++i) {  // as many on each core of B as chance will have it
      const Relayed track = relay_track(from, to, "track-" + std::to_string(i), TL_CLASS_AUDIO);
      send(from, track.publication, 0, kPackets, 300);
      receive(to, track.subscription, kPackets, 300);
    }
    EXPECT_GT(hop.sent_wrong(), 0u);
    EXPECT_GT(sum_over_cores(*node_b, "handed_over"), 0);
    EXPECT_EQ(sum_over_cores(*node_b, "wrong_core"), 0);
    EXPECT_EQ(sum_over_cores(*node_b, "handover_full"), 0);
    EXPECT_TRUE(eventually([&] {  // at rest between two heartbeats
      const int64_t taken = sum_over_cores(*node_b, "taken_over");
      return sum_over_cores(*node_b, "handed_over") == taken;
    }));
  }
}

TEST(TwoNodes, RelayOverUpToSixteenDataCores) {
  static constexpr uint32_t kCores[] = {3, 8, 16};
  for (const uint32_t cores : kCores) {
    const int a = 47'000 + static_cast<int>(cores) * 40, b = a + 20;
    const std::string in_node = "data_cores = " + std::to_string(cores) + "\n";
    auto node_a =
        open_lab({1, "127.0.0.1:" + std::to_string(a), in_node, {{2, "127.0.0.1:" + std::to_string(b)}}});
    auto node_b =
        open_lab({2, "127.0.0.1:" + std::to_string(b), in_node, {{1, "127.0.0.1:" + std::to_string(a)}}});
    ASSERT_TRUE(node_a) << node_a.error().text;
    ASSERT_TRUE(node_b) << node_b.error().text;
    ASSERT_TRUE(eventually([&] { return link_is_up(*node_a) && link_is_up(*node_b); }));
    Queue from = open_queue(*node_a, 0), to = open_queue(*node_b, 0);
    for (uint32_t i = 0; i < 2 * cores; ++i) {
      const Relayed track = relay_track(from, to, "track-" + std::to_string(i), TL_CLASS_AUDIO);
      send(from, track.publication, 0, 20, 300);
      receive(to, track.subscription, 20, 300);
    }
  }
}

TEST(TwoNodes, CarryFeedbackToThePublisher) {
  TwoNodes nodes(next_port());
  ASSERT_NO_FATAL_FAILURE(nodes.ready());
  Queue from = open_queue(nodes.a(), 0), to = open_queue(nodes.b(), 0);
  const Relayed track = relay_track(from, to, "camera", TL_CLASS_VIDEO_BASE);
  send(from, track.publication, 0, 1, 100);
  receive(to, track.subscription, 1, 100);
  // PLI (RFC 4585, 6.3.1): version 2, FMT 1, PT 206, 2 words more; sender and media source.
  uint8_t pli[12] = {0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 7};
  Packet packet{};
  packet.data = pli;
  packet.length = sizeof pli;
  packet.handle = track.subscription;
  packet.flags = TL_PACKET_FEEDBACK;
  const auto sent = to.send({&packet, 1});
  ASSERT_TRUE(sent && *sent == 1) << tl_last_error();
  Packet got{};
  ASSERT_TRUE(eventually([&] { return !from.receive({&got, 1}).empty(); }));
  EXPECT_EQ(got.handle, track.publication);
  EXPECT_EQ(got.flags, uint32_t{TL_PACKET_FEEDBACK});
  EXPECT_EQ(static_cast<const uint8_t*>(got.data)[1], 206);
  from.done();
}

TEST(TwoNodes, SayNotHereLongBeforeTheDeadline) {
  TwoNodes nodes(next_port());
  ASSERT_NO_FATAL_FAILURE(nodes.ready());
  Queue to = open_queue(nodes.b(), 0);
  const auto track = *track_id("test", "absent");
  ASSERT_EQ(to.hint(track, 1), 0);
  const auto handle = to.acquire({.track = track, .deadline_ms = 2'000});
  ASSERT_TRUE(handle);
  const Event event = next_event(to);
  EXPECT_STREQ(tl_outcome_name(event.outcome), "NOT_HERE");
  EXPECT_EQ(event.handle, *handle);
  EXPECT_EQ(event.attempts, 1u);
  EXPECT_LT(event.elapsed_us, 500'000u * kPatience);
}

TEST(TwoNodes, GiveEverythingBackOnRelease) {
  TwoNodes nodes(next_port());
  ASSERT_NO_FATAL_FAILURE(nodes.ready());
  Queue from = open_queue(nodes.a(), 0), to = open_queue(nodes.b(), 0);
  const Relayed track = relay_track(from, to, "camera", TL_CLASS_AUDIO);
  EXPECT_EQ(to.release(track.subscription), 0);
  Event event = next_event(to);
  EXPECT_EQ(event.kind, uint32_t{TL_EVENT_ENDED});
  EXPECT_STREQ(tl_outcome_name(event.outcome), "CANCELLED");
  EXPECT_TRUE(eventually([&] {
    return stat(nodes.b(), "usage", "acquires") == 0 && stat(nodes.b(), "usage", "subscriptions_up") == 0 &&
           stat(nodes.a(), "usage", "subscriptions_down") == 0;
  }));
  EXPECT_EQ(from.unpublish(track.publication), 0);
  EXPECT_EQ(next_event(from).kind, uint32_t{TL_EVENT_UNPUBLISHED});
}

TEST(TwoNodes, TellSubscribersThatAPublisherLeft) {
  TwoNodes nodes(next_port());
  ASSERT_NO_FATAL_FAILURE(nodes.ready());
  Queue from = open_queue(nodes.a(), 0), to = open_queue(nodes.b(), 0);
  const Relayed track = relay_track(from, to, "camera", TL_CLASS_AUDIO);
  tl_queue_close(from.get());  // a host that goes without a word
  const Event event = next_event(to);
  EXPECT_EQ(event.kind, uint32_t{TL_EVENT_ENDED});
  EXPECT_EQ(event.handle, track.subscription);
  EXPECT_STREQ(tl_outcome_name(event.outcome), "GONE");
  // The queue may be opened again, and the handles of its former life are stale.
  tl_queue* again = nullptr;
  ASSERT_TRUE(eventually([&] { return tl_queue_open(nodes.a().get(), 0, &again) == 0; }));
  EXPECT_EQ(tl_unpublish(again, track.publication), TL_ENOHANDLE);
}

TEST(TwoNodes, WakeAHostThatSleepsOnItsDescriptor) {
  TwoNodes nodes(next_port());
  ASSERT_NO_FATAL_FAILURE(nodes.ready());
  Queue from = open_queue(nodes.a(), 0), to = open_queue(nodes.b(), 0);
  const Relayed track = relay_track(from, to, "camera", TL_CLASS_AUDIO);
  std::thread sender([&] {
    for (uint16_t i = 0; i < 50; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
      send(from, track.publication, i, 1, 100);
    }
  });
  // No timeout that could hide a lost wake-up: poll returns because of the descriptor, or the test fails.
  size_t received = 0;
  std::vector<Packet> room(16);
  while (received < 50) {
    if (!to.arm()) {
      pollfd watched{to.fd(), POLLIN, 0};
      if (poll(&watched, 1, 3'000 * kPatience) != 1) break;
      uint64_t count = 0;
      ASSERT_EQ(read(to.fd(), &count, sizeof count), ssize_t{sizeof count});
    }
    received += to.receive(room).size();
    to.done();
  }
  EXPECT_EQ(received, 50u);
  sender.join();
}

TEST(TwoNodes, RunTheTapsOfTheirConfiguration) {
  const int port = next_port();
  const std::string tap = std::to_string(port + 1'000), out = std::to_string(port + 1'001);
  auto a = open_lab({.id = 1,
                     .listen = "127.0.0.1:" + std::to_string(port),
                     .peers = {{2, "127.0.0.1:" + std::to_string(port + 1)}},
                     .behind = "[[ingest]]\ntrack = \"tap\"\nlisten = \"127.0.0.1:" + tap + "\"\n"});
  auto b = open_lab({.id = 2,
                     .listen = "127.0.0.1:" + std::to_string(port + 1),
                     .peers = {{1, "127.0.0.1:" + std::to_string(port)}},
                     .behind = "[[egress]]\ntrack = \"tap\"\nto = \"127.0.0.1:" + out + "\"\n"});
  ASSERT_TRUE(a) << a.error().text;
  ASSERT_TRUE(b) << b.error().text;
  EXPECT_TRUE(eventually([&] { return stat(*b, "usage", "subscriptions_up") == 1; })) << "egress re-acquires";
  EXPECT_EQ(stat(*a, "usage", "publications"), 1);
}

}  // namespace
}  // namespace trunkline::tests
