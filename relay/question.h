// Questions to a running node that only the mesh thread can answer: the two rings, and the manners of both
// ends.
//
// Somebody asks (a thread of the host, `trunkline node` for its admin socket), the mesh thread answers
// between two steps, and a value comes back. Neither waits for the other in a way that could hurt: the mesh
// thread answers when there is room for an answer and never sleeps for it; who asks gives up after kPatience.
// One question is answered at a time; where it needs a data core's word, that is asked for and awaited at
// most kCorePatience.
//
// The asking end belongs to one thread at a time; NodeRuntime::ask() sees to it.
#pragma once

#include <array>
#include <cstdint>

#include "core/spsc_ring.h"
#include "relay/explain.h"

namespace trunkline::relay {

enum class QuestionKind : uint8_t {
  kExplain,  // track
  kFlights,  // the newest flights before number `before`: of `track`, or of all when it is zero
};

struct Question {
  QuestionKind kind = QuestionKind::kExplain;
  uint64_t serial = 0;  // comes back with the answer, so that an answer that came too late is known as such
  core::TrackId track{};
  uint64_t before = UINT64_MAX;
};

// kFlights comes in pages, so that an answer stays small.
inline constexpr uint32_t kFlightsPerReply = 16;

struct Reply {
  uint64_t serial = 0;
  Nanos now{};
  Explanation explanation{};  // kExplain
  uint32_t flight_count = 0;  // kFlights; fewer than kFlightsPerReply: there are no more
  std::array<Flight, kFlightsPerReply> flights{};
};

struct QuestionRings {
  static constexpr uint32_t kDepth = 2;  // one under way, and one that nobody waits for any more
  static constexpr Nanos kPatience = core::from_s(1);
  // A core that moves packets turns within a fraction of a millisecond; one that sleeps is woken.
  static constexpr Nanos kCorePatience = core::from_ms(200);

  core::SpscRing<Question> questions{kDepth};  // who asks -> mesh
  core::SpscRing<Reply> replies{kDepth};       // mesh -> who asks
};

}  // namespace trunkline::relay
