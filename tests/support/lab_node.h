// Nodes in this process, over loopback, driven through the C ABI as a host would: a configuration text from a
// few choices, and waits that are bounded and say what they waited for.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <string>
#include <thread>
#include <trunkline/trunkline.hpp>
#include <vector>

#include "io/thread.h"

namespace trunkline::tests {

// Sanitizers slow everything down; bounds on waiting (never on promises) are stretched by this.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
inline constexpr int kPatience = 5;
#else
inline constexpr int kPatience = 1;
#endif

struct LabOptions {
  int id = 1;
  std::string listen = "127.0.0.1:0";
  std::string in_node{};  // further lines of [node]
  std::vector<std::pair<int, std::string>> peers{};
  std::string behind{};  // further tables
};

inline std::string lab_config(const LabOptions& options) {
  std::string text = "[node]\nid = " + std::to_string(options.id) +
                     "\ncluster = \"lab-test\"\nregion = \"here\"\nlab = true\nport = \"mmsg\"\nlisten = \"" +
                     options.listen + "\"\n" + options.in_node +
                     "[wire]\ntrack_namespace = \"test\"\nmtu = 1500\nsuite = \"null\"\n";
  for (const auto& [id, address] : options.peers)
    text += "[[peer]]\nid = " + std::to_string(id) + "\naddress = \"" + address + "\"\n";
  return text + options.behind;
}

inline void ignore_log(void*, int, const char*) {}

inline Expected<Node> open_lab(const LabOptions& options, void (*log)(void*, int, const char*) = ignore_log,
                               void* user = nullptr) {
  const std::string config = lab_config(options);
  return Node::open({.config_text = config.c_str(), .log = log, .log_user = user});
}

// Looks every 200 us, at most `limit_ms` (stretched).
inline bool eventually(const std::function<bool()>& condition, int64_t limit_ms = 3'000) {
  const core::Nanos end = io::monotonic_now() + core::from_ms(limit_ms * kPatience);
  do {
    if (condition()) return true;
    std::this_thread::sleep_for(std::chrono::microseconds(200));
  } while (io::monotonic_now() < end);
  return false;
}

// The next event; kind 99 when none came.
inline Event next_event(Queue& queue, int64_t limit_ms = 3'000) {
  Event event{};
  event.kind = 99;
  eventually([&] { return !queue.events({&event, 1}).empty(); }, limit_ms);
  return event;
}

// The number that follows `path` in the statistics: stat(node, "\"mesh\"", "\"acquires\"").
inline int64_t stat(const Node& node, const std::string& section, const std::string& key) {
  const auto json = node.stats_json();
  if (!json) return -1;
  const size_t at = json->find('"' + section + "\":");
  const size_t found = at == std::string::npos ? at : json->find('"' + key + "\":", at);
  return found == std::string::npos ? -1 : std::atoll(json->c_str() + found + key.size() + 3);
}

inline bool link_is_up(const Node& node) {
  const auto json = node.stats_json();
  return json && json->find("\"state\":\"UP\"") != std::string::npos;
}

// Two nodes that know each other, and a queue on each.
class TwoNodes {
 public:
  // The second node's port must be known to the first before it exists: `port` and `port` + 2, two data cores
  // each.
  explicit TwoNodes(int port, const std::string& in_node = "", const std::string& behind = "")
      : a_(open_lab({1, at(port), in_node, {{2, at(port + 2)}}, behind})),
        b_(open_lab({2, at(port + 2), in_node, {{1, at(port)}}, behind})) {}

  // Links are up and both queues open.
  void ready() {
    ASSERT_TRUE(a_) << a_.error().text;
    ASSERT_TRUE(b_) << b_.error().text;
    ASSERT_TRUE(eventually([&] { return link_is_up(*a_) && link_is_up(*b_); })) << "the link came not up";
  }
  Node& a() { return *a_; }
  Node& b() { return *b_; }

 private:
  static std::string at(int port) { return "127.0.0.1:" + std::to_string(port); }
  Expected<Node> a_;
  Expected<Node> b_;
};

// A track that is published on `from` and acquired on `to`.
struct Relayed {
  Handle publication = 0;
  Handle subscription = 0;
};

inline Relayed relay_track(Queue& from, Queue& to, const std::string& name, uint32_t traffic_class) {
  Relayed relayed;
  const auto track = track_id("test", name);
  const auto publication = from.publish({.track = *track, .traffic_class = traffic_class});
  EXPECT_TRUE(publication);
  EXPECT_EQ(next_event(from).kind, uint32_t{TL_EVENT_PUBLISHED});
  const auto subscription = to.acquire({.track = *track, .rendezvous_ms = 1'000});
  EXPECT_TRUE(subscription);
  const Event outcome = next_event(to);
  EXPECT_EQ(outcome.kind, uint32_t{TL_EVENT_OUTCOME});
  EXPECT_STREQ(tl_outcome_name(outcome.outcome), "OK");
  if (publication && subscription) relayed = {*publication, *subscription};
  return relayed;
}

// RTP (RFC 3550, 5.1) whose payload checks itself: every byte follows from the sequence number.
inline std::vector<uint8_t> rtp_packet(uint16_t sequence, size_t length, uint8_t payload_type = 96) {
  std::vector<uint8_t> bytes(length);
  for (size_t i = 0; i < length; ++i) bytes[i] = static_cast<uint8_t>(sequence * 31u + i);
  const uint8_t header[12] = {0x80,
                              payload_type,
                              static_cast<uint8_t>(sequence >> 8),
                              static_cast<uint8_t>(sequence),
                              0,
                              0,
                              0,
                              9,
                              0,
                              0,
                              0,
                              7};
  std::copy(std::begin(header), std::end(header), bytes.begin());
  return bytes;
}

}  // namespace trunkline::tests
