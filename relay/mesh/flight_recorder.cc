// See flight_recorder.h.
#include "relay/mesh/flight_recorder.h"

#include <algorithm>

#include "core/check.h"

namespace trunkline::relay {

// ---- AttemptLog

void AttemptLog::begin(const core::TrackId& track) noexcept {
  track_ = track;
  count_ = peers_asked_ = peers_without_ = 0;
}

Attempt* AttemptLog::find(core::NodeId node) noexcept {
  for (uint32_t i = 0; i < count_; ++i) {
    if (attempts_[i].node == node) return &attempts_[i];
  }
  return nullptr;
}

Attempt* AttemptLog::place() noexcept {
  if (count_ == kAttemptsKept) {
    const auto nothing =
        std::find_if(attempts_.begin(), attempts_.end(), [](const Attempt& a) { return a.says_no(); });
    const auto forgotten = nothing != attempts_.end() ? nothing : attempts_.begin();
    std::copy(forgotten + 1, attempts_.end(), forgotten);
    --count_;
  }
  attempts_[count_] = Attempt{};
  return &attempts_[count_++];
}

void AttemptLog::asked(const core::TrackId& track, core::NodeId node, uint8_t hop_limit, Nanos now) noexcept {
  if (track_ != track) begin(track);
  Attempt* attempt = find(node);
  if (attempt != nullptr) {
    attempt->repeats = static_cast<uint8_t>(std::min(attempt->repeats + 1, UINT8_MAX));
    if (attempt->says_no()) --peers_without_;
  } else {
    attempt = place();
    attempt->node = node;
    if (peers_asked_ < UINT16_MAX) ++peers_asked_;
  }
  if (attempt->repeats == 0 || attempt->answered) attempt->asked = now;
  attempt->hop_limit = hop_limit;
  attempt->answered = attempt->pending = false;
}

void AttemptLog::answered(const core::TrackId& track, core::NodeId node, Outcome outcome,
                          Nanos now) noexcept {
  if (track_ != track) return;
  Attempt* attempt = find(node);
  Attempt forgotten;  // of a peer that had to make room: it counts all the same
  if (attempt == nullptr) attempt = &forgotten;
  const bool counted = attempt->says_no();
  attempt->answered = true;
  attempt->outcome = outcome;
  attempt->answered_after = now - attempt->asked;
  if (attempt->says_no() && !counted && peers_without_ < peers_asked_) ++peers_without_;
}

void AttemptLog::pending(const core::TrackId& track, core::NodeId node) noexcept {
  Attempt* attempt = track_ == track ? find(node) : nullptr;
  if (attempt != nullptr) attempt->pending = true;
}

// ---- FlightRecorder

void Flight::set_attempts(const AttemptLog& log) noexcept {
  const std::span<const Attempt> from = log.of(track);
  attempt_count = static_cast<uint8_t>(from.size());
  std::copy(from.begin(), from.end(), attempts.begin());
  peers_asked = from.empty() ? uint16_t{0} : static_cast<uint16_t>(log.peers_asked());
  peers_without = from.empty() ? uint16_t{0} : static_cast<uint16_t>(log.peers_without());
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
