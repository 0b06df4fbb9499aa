// StaticTracks: the tracks that a configuration names, kept published and acquired.
//
//   [[location]]  a hint, once
//   [[ingest]]    published with a tap; if that fails, again later
//   [[egress]]    acquired into a tap; when that fails or ends, again later
//
// It is a host of MeshNode like any other, without a thread of its own: the mesh driver asks it what to do
// and tells it what happened. So a configured track depends on no thread that may block, and the simulator
// runs it too. Each outcome becomes a log line. Retries wait kRetryMin, doubled each time up to kRetryMax.
//
// Owned by the mesh thread (or the simulator). Allocates at construction (a line that names an address, too).
// next() is O(entries), and entries are few.
#pragma once

#include <cstdint>
#include <vector>

#include "relay/config.h"
#include "relay/mesh/mesh_node.h"

namespace trunkline::relay {

class StaticTracks {
 public:
  static constexpr Nanos kRetryMin = core::from_ms(200);
  static constexpr Nanos kRetryMax = core::from_ms(2'000);

  // `queue` is the number under which MeshNode knows it: one above the host queues.
  StaticTracks(const NodeConfig& config, uint16_t queue);

  // The next command that is due; false when there is none now.
  bool next(Nanos now, HostCommand& command);
  // When next() will have one at the latest.
  Nanos next_due() const;
  void on_event(Nanos now, const HostEvent& event, MeshSink& log);
  // From now on next() takes back what is there, and starts nothing.
  void stop();
  // Everything was taken back.
  bool idle() const;

  uint16_t queue() const { return queue_; }

 private:
  enum class Kind : uint8_t { kLocation, kIngest, kEgress };
  enum class State : uint8_t {
    kWaiting,  // until `due`
    kAsked,    // the answer is on the way
    kRunning,
    kStopping,  // taken back; the answer is on the way
    kDone,
  };
  struct Entry {
    Kind kind = Kind::kLocation;
    State state = State::kWaiting;
    uint32_t index = 0;  // in the configuration's list
    core::TrackId track{};
    Nanos due{};
    Nanos backoff = kRetryMin;
  };

  void fill(const Entry& entry, HostCommand& command) const;
  void again(Entry& entry, Nanos now);
  std::string_view name(const Entry& entry) const;

  const NodeConfig& config_;
  uint16_t queue_;
  bool stopping_ = false;
  std::vector<Entry> entries_;
};

}  // namespace trunkline::relay
