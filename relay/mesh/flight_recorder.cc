// See flight_recorder.h.
#include "relay/mesh/flight_recorder.h"

#include <algorithm>

#include "core/check.h"

namespace trunkline::relay {

// ---- AttemptLog

void AttemptLog::begin(const core::TrackId& track) noexcept {
  track_ = track;
  count_ = 0;
}

Attempt* AttemptLog::find(const core::TrackId& track, core::NodeId node) noexcept {
  if (track_ != track) return nullptr;
  for (uint32_t i = 0; i < count_; ++i) {
    if (attempts_[i].node == node) return &attempts_[i];
  }
  return nullptr;
}

void AttemptLog::asked(const core::TrackId& track, core::NodeId node, uint8_t hop_limit, Nanos now) noexcept {
  if (track_ != track) begin(track);
  Attempt* attempt = find(track, node);
  if (attempt != nullptr) {
    attempt->repeats = static_cast<uint8_t>(std::min(attempt->repeats + 1, UINT8_MAX));
  } else {
    if (count_ == kAttemptsKept) {
      std::copy(attempts_.begin() + 1, attempts_.end(), attempts_.begin());
      --count_;
    }
    attempt = &attempts_[count_++];
    *attempt = Attempt{};
    attempt->node = node;
  }
  attempt->asked = now;
  attempt->hop_limit = hop_limit;
  attempt->answered = attempt->pending = false;
}

void AttemptLog::answered(const core::TrackId& track, core::NodeId node, Outcome outcome,
                          Nanos now) noexcept {
  Attempt* attempt = find(track, node);
  if (attempt == nullptr) return;
  attempt->answered = true;
  attempt->outcome = outcome;
  attempt->answered_after = now - attempt->asked;
}

void AttemptLog::pending(const core::TrackId& track, core::NodeId node) noexcept {
  Attempt* attempt = find(track, node);
  if (attempt != nullptr) attempt->pending = true;
}

// ---- FlightRecorder

void Flight::set_attempts(std::span<const Attempt> from) noexcept {
  attempt_count = static_cast<uint8_t>(std::min<size_t>(from.size(), attempts.size()));
  std::copy_n(from.begin(), attempt_count, attempts.begin());
}

void FlightRecorder::record(const Flight& flight) noexcept {
  Flight& place = flights_[recorded_ % kKept];
  place = flight;
  place.serial = recorded_++;
}

const Flight& FlightRecorder::at(uint64_t serial) const noexcept {
  TL_CHECK(serial >= oldest() && serial < recorded_);
  return flights_[serial % kKept];
}

uint32_t FlightRecorder::copy(uint64_t before, const core::TrackId& track,
                              std::span<Flight> out) const noexcept {
  uint32_t n = 0;
  for (uint64_t serial = std::min(before, recorded_); serial > oldest() && n < out.size(); --serial) {
    const Flight& flight = at(serial - 1);
    if (track.is_zero() || flight.track == track) out[n++] = flight;
  }
  return n;
}

}  // namespace trunkline::relay
