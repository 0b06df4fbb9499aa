// trunkline.hpp: trunkline.h for C++20. Header-only, over the C ABI alone: what it adds is ownership (a Node
// and a Queue end with their scope), spans, and results instead of codes. No exceptions, no RTTI; nothing
// allocates on the packet calls. All rules of trunkline.h hold: read them there.
//
//   auto node = trunkline::Node::open({.config_path = "node.toml"});
//   if (!node) return complain(node.error().text);
//   auto queue = node->queue(0);
//   auto track = node->track_id("camera/1");
//   auto subscription = queue->acquire({.track = *track});
#ifndef TRUNKLINE_HPP
#define TRUNKLINE_HPP

#include <trunkline/trunkline.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace trunkline {

using Event = tl_event;
using Packet = tl_packet;
using Handle = uint64_t;
using TrackBytes = std::array<uint8_t, TL_TRACK_ID_BYTES>;

// A TL_E... code and the sentence of tl_last_error().
struct Failure {
  int code = 0;
  std::string text;
};

// A value or a Failure, in the shape of std::expected. To ask for what is not there ends the process.
template <class T>
class [[nodiscard]] Expected {
 public:
  Expected(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Expected(Failure failure) : state_(std::in_place_index<1>, std::move(failure)) {}

  bool has_value() const noexcept { return state_.index() == 0; }
  explicit operator bool() const noexcept { return has_value(); }
  T& value() noexcept { return *checked(std::get_if<0>(&state_)); }
  const T& value() const noexcept { return *checked(std::get_if<0>(&state_)); }
  T& operator*() noexcept { return value(); }
  const T& operator*() const noexcept { return value(); }
  T* operator->() noexcept { return &value(); }
  const T* operator->() const noexcept { return &value(); }
  const Failure& error() const noexcept { return *checked(std::get_if<1>(&state_)); }

 private:
  template <class P>
  static P* checked(P* pointer) noexcept {
    if (pointer == nullptr) std::abort();
    return pointer;
  }
  std::variant<T, Failure> state_;
};

namespace detail {

inline Failure failure(int code) {
  return {code, tl_last_error()};
}
inline Expected<uint32_t> count(int result) {
  if (result < 0) return failure(result);
  return static_cast<uint32_t>(result);
}
inline uint32_t size32(size_t n) noexcept {
  return n < INT32_MAX ? static_cast<uint32_t>(n) : INT32_MAX;
}

// Calls fill(data, bytes) until the text fits.
template <class Fill>
Expected<std::string> text(Fill&& fill) {
  std::string out(4096, '\0');
  for (;;) {
    const int64_t length = fill(out.data(), out.size());
    if (length < 0) return failure(static_cast<int>(length));
    const bool fits = static_cast<size_t>(length) < out.size();
    out.resize(fits ? static_cast<size_t>(length) : static_cast<size_t>(length) + 1024);
    if (fits) return out;
  }
}

}  // namespace detail

inline Expected<TrackBytes> track_id(const std::string& track_namespace, const std::string& name) {
  TrackBytes id{};
  if (const int code = tl_track_id(track_namespace.c_str(), name.c_str(), id.data()); code != 0)
    return detail::failure(code);
  return id;
}

struct Publication {
  TrackBytes track{};
  uint32_t traffic_class = TL_CLASS_REST;
  uint64_t generation = 0;                // 0: one above the highest seen
  std::span<const uint8_t> descriptor{};  // at most 512 bytes
  const char* ingest = nullptr;           // "host:port", or packets come through the queue
  const char* codec = nullptr;
  uint32_t ssrc = 0;
  const char* ingest_from = nullptr;  // "host:port", or whoever sends is heard
};

struct Acquisition {
  TrackBytes track{};
  uint32_t deadline_ms = 0;      // 0: the configured default
  int32_t rendezvous_ms = 0;     // 0: the configured default; -1: do not wait
  const char* egress = nullptr;  // "host:port", or packets arrive through the queue
};

// One thread's door to a node. Closed with its scope; must not outlive its Node.
class Queue {
 public:
  explicit Queue(tl_queue* queue) noexcept : queue_(queue) {}
  Queue(Queue&& other) noexcept : queue_(std::exchange(other.queue_, nullptr)) {}
  Queue& operator=(Queue&& other) noexcept {
    if (this != &other) {
      tl_queue_close(queue_);
      queue_ = std::exchange(other.queue_, nullptr);
    }
    return *this;
  }
  ~Queue() { tl_queue_close(queue_); }

  Expected<Handle> publish(const Publication& what) {
    tl_publish_options options{};
    options.size = sizeof options;
    options.traffic_class = what.traffic_class;
    std::copy(what.track.begin(), what.track.end(), options.track);
    options.generation = what.generation;
    options.descriptor = what.descriptor.data();
    options.descriptor_bytes = detail::size32(what.descriptor.size());
    options.ingest = what.ingest;
    options.codec = what.codec;
    options.ssrc = what.ssrc;
    options.ingest_from = what.ingest_from;
    Handle handle = 0;
    if (const int code = tl_publish(queue_, &options, &handle); code != 0) return detail::failure(code);
    return handle;
  }
  Expected<Handle> acquire(const Acquisition& what) {
    tl_acquire_options options{};
    options.size = sizeof options;
    options.deadline_ms = what.deadline_ms;
    std::copy(what.track.begin(), what.track.end(), options.track);
    options.rendezvous_ms = what.rendezvous_ms;
    options.egress = what.egress;
    Handle handle = 0;
    if (const int code = tl_acquire(queue_, &options, &handle); code != 0) return detail::failure(code);
    return handle;
  }
  // 0, or a TL_E... code with its text in tl_last_error().
  int unpublish(Handle handle) noexcept { return tl_unpublish(queue_, handle); }
  int release(Handle handle) noexcept { return tl_release(queue_, handle); }
  int hint(const TrackBytes& track, uint64_t node_id) noexcept {
    return tl_hint(queue_, track.data(), node_id);
  }
  // New requests of peers are referred to `successor` (0: to nobody), until undrain().
  int drain(uint64_t successor = 0) noexcept { return tl_drain(queue_, 1, successor); }
  int undrain() noexcept { return tl_drain(queue_, 0, 0); }

  // The events that fit, at the front of `room`.
  std::span<Event> events(std::span<Event> room) noexcept {
    return first(room, tl_queue_events(queue_, room.data(), detail::size32(room.size())));
  }

  // How many were taken, from the front.
  Expected<uint32_t> send(std::span<const Packet> packets) {
    return detail::count(tl_tx_burst(queue_, packets.data(), detail::size32(packets.size())));
  }
  Expected<uint32_t> claim(Handle handle, std::span<Packet> packets) {
    return detail::count(tl_tx_claim(queue_, handle, packets.data(), detail::size32(packets.size())));
  }
  Expected<uint32_t> commit(std::span<const Packet> packets) {
    return detail::count(tl_tx_commit(queue_, packets.data(), detail::size32(packets.size())));
  }

  // Received packets, valid until done().
  std::span<Packet> receive(std::span<Packet> room) noexcept {
    return first(room, tl_rx_burst(queue_, room.data(), detail::size32(room.size())));
  }
  void done() noexcept { tl_rx_release(queue_); }

  int fd() const noexcept { return tl_queue_fd(queue_); }
  // True: something is there already, do not sleep.
  bool arm() noexcept { return tl_queue_arm(queue_) == 1; }
  tl_queue* get() const noexcept { return queue_; }

 private:
  template <class T>
  static std::span<T> first(std::span<T> room, int count) noexcept {
    return room.first(count > 0 ? static_cast<size_t>(count) : 0);
  }
  tl_queue* queue_;
};

struct NodeOptions {
  const char* config_path = nullptr;
  const char* config_text = nullptr;
  void (*log)(void* user, int level, const char* line) = nullptr;
  void* log_user = nullptr;
  uint32_t drain_ms = 500;  // how long the end of the Node may take
};

// A running node. Ends with its scope, after all its queues.
class Node {
 public:
  static Expected<Node> open(const NodeOptions& from) {
    tl_options options{};
    options.size = sizeof options;
    options.abi = TL_ABI_VERSION;
    options.config_path = from.config_path;
    options.config_text = from.config_text;
    options.log = from.log;
    options.log_user = from.log_user;
    tl_node* node = nullptr;
    if (const int code = tl_open(&options, &node); code != 0) return detail::failure(code);
    return Node(node, from.drain_ms);
  }
  Node(Node&& other) noexcept : node_(std::exchange(other.node_, nullptr)), drain_ms_(other.drain_ms_) {}
  Node& operator=(Node&& other) noexcept {
    if (this != &other) {
      tl_close(node_, drain_ms_);
      node_ = std::exchange(other.node_, nullptr);
      drain_ms_ = other.drain_ms_;
    }
    return *this;
  }
  ~Node() { tl_close(node_, drain_ms_); }

  Expected<Queue> queue(uint32_t index) {
    tl_queue* queue = nullptr;
    if (const int code = tl_queue_open(node_, index, &queue); code != 0) return detail::failure(code);
    return Queue(queue);
  }
  Expected<TrackBytes> track_id(const std::string& name) const {
    TrackBytes id{};
    if (const int code = tl_node_track_id(node_, name.c_str(), id.data()); code != 0)
      return detail::failure(code);
    return id;
  }
  Expected<std::string> stats_json() const {
    return detail::text([&](char* to, size_t bytes) { return tl_stats_json(node_, to, bytes); });
  }
  // Why the track (not) flows on this node, and its last acquires: see tl_explain_json, tl_flights_json.
  Expected<std::string> explain_json(const TrackBytes& track, const std::string& name = {}) {
    return detail::text([&](char* to, size_t bytes) {
      return tl_explain_json(node_, track.data(), name.c_str(), to, bytes);
    });
  }
  Expected<std::string> flights_json(const TrackBytes* track, uint32_t n) {
    return detail::text([&](char* to, size_t bytes) {
      return tl_flights_json(node_, track != nullptr ? track->data() : nullptr, n, to, bytes);
    });
  }
  Expected<std::string> describe() const {
    return detail::text([&](char* to, size_t bytes) { return tl_describe(node_, to, bytes); });
  }
  Expected<std::string> listen_address() const {
    return detail::text([&](char* to, size_t bytes) { return tl_listen_address(node_, to, bytes); });
  }
  tl_node* get() const noexcept { return node_; }

 private:
  Node(tl_node* node, uint32_t drain_ms) noexcept : node_(node), drain_ms_(drain_ms) {}
  tl_node* node_;
  uint32_t drain_ms_;
};

}  // namespace trunkline

#endif  // TRUNKLINE_HPP
