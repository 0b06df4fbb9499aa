// The flight recorder: what became of the last 1 000 acquires of this node, and whom each one asked.
//
// The idea: an acquire that failed is over when somebody asks why, so what it did is kept beside its outcome.
// A track keeps the requests of its present search in an AttemptLog; at the one terminal outcome of an
// acquire the log is copied into the next place of a ring. Nothing is formatted before somebody looks.
//
// Owned by the mesh thread. One allocation in the constructor (280 KiB of pages that are touched when they
// are used), none later; record() copies 280 bytes.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "core/ids.h"
#include "core/time.h"
#include "relay/lazy_array.h"
#include "relay/outcome.h"

namespace trunkline::relay {

using core::Nanos;

// One peer that was asked for a track in one search, and what it said.
struct Attempt {
  core::NodeId node{};
  Nanos asked{};           // when; a repetition because no answer came does not change it
  Nanos answered_after{};  // from then to the answer, if there was one
  Outcome outcome = Outcome::ok;
  bool answered = false;  // `outcome` and `answered_after` are what it said
  bool pending = false;   // it said that it asks further
  uint8_t repeats = 0;    // how often the request was sent again
  uint8_t hop_limit = 0;  // how many more nodes it was allowed to ask

  bool says_no() const noexcept {  // it has not got the track
    return answered && (outcome == Outcome::not_here || outcome == Outcome::gone);
  }
};

inline constexpr uint32_t kAttemptsKept = 6;

// The requests of one track's present or last search, in the order of the first request to each peer. All
// bits zero: empty.
class AttemptLog {
 public:
  // A search begins. Track records are used again for other tracks, so the log knows whose it is.
  void begin(const core::TrackId& track) noexcept;
  // A request left, or left again. Beyond kAttemptsKept peers one is forgotten: who said that it has nothing,
  // or else the oldest.
  void asked(const core::TrackId& track, core::NodeId node, uint8_t hop_limit, Nanos now) noexcept;
  // The terminal answer of this search, or what counts as one (STALLED).
  void answered(const core::TrackId& track, core::NodeId node, Outcome outcome, Nanos now) noexcept;
  void pending(const core::TrackId& track, core::NodeId node) noexcept;

  // How many peers were asked, and how many said NOT_HERE or GONE: those forgotten since included.
  uint32_t peers_asked() const noexcept { return peers_asked_; }
  uint32_t peers_without() const noexcept { return peers_without_; }
  // Empty when the log is of another track.
  std::span<const Attempt> of(const core::TrackId& track) const noexcept {
    return track_ == track ? std::span(attempts_).first(count_) : std::span<const Attempt>{};
  }

 private:
  Attempt* find(core::NodeId node) noexcept;
  Attempt* place() noexcept;

  core::TrackId track_{};
  uint16_t count_ = 0;
  uint16_t peers_asked_ = 0;
  uint16_t peers_without_ = 0;
  std::array<Attempt, kAttemptsKept> attempts_{};
};

// One acquire, from the host's word to its one outcome.
struct Flight {
  uint64_t serial = 0;  // counts from 0
  core::TrackId track{};
  uint64_t handle = 0;
  Nanos submitted{};
  Nanos deadline{};  // the budget it was given; 0: it was refused before it had one
  Nanos elapsed{};   // from submitted to the outcome
  core::NodeId node{};
  uint64_t generation = 0;
  uint16_t queue = 0;
  Outcome outcome = Outcome::ok;
  bool authoritative = false;
  bool flowing = false;  // OK: media had arrived
  bool local = false;    // OK: published here
  uint8_t attempt_count = 0;
  uint16_t peers_asked = 0;    // more than `attempts` holds, perhaps
  uint16_t peers_without = 0;  // of those: who said NOT_HERE or GONE
  std::array<Attempt, kAttemptsKept> attempts{};

  std::span<const Attempt> asked() const noexcept { return std::span(attempts).first(attempt_count); }
  // Takes over what the log has of this flight's track.
  void set_attempts(const AttemptLog& log) noexcept;
};

class FlightRecorder {
 public:
  static constexpr uint32_t kKept = 1'000;

  FlightRecorder() : flights_(kKept, Contents::kUnwritten) {}

  // Numbers `flight` and keeps it in the place of the oldest.
  void record(const Flight& flight) noexcept;
  // How many there ever were.
  uint64_t recorded() const noexcept { return recorded_; }
  // The number of the oldest that is still here.
  uint64_t oldest() const noexcept { return recorded_ > kKept ? recorded_ - kKept : 0; }
  // Contract: oldest() <= serial < recorded().
  const Flight& at(uint64_t serial) const noexcept;

  // Copies flights older than number `before`, the newest first: those of `track`, or all when it is zero.
  // Returns how many; fewer than fit means that there are no more. Looks at kKept records at most.
  uint32_t copy(uint64_t before, const core::TrackId& track, std::span<Flight> out) const noexcept;

 private:
  LazyArray<Flight> flights_;
  uint64_t recorded_ = 0;
};

}  // namespace trunkline::relay
