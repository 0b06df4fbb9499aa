// Time as a value. Everything in core, io and relay that depends on time takes `Nanos now` as an argument;
// only the loops that drive them read a clock. The epoch is arbitrary (CLOCK_MONOTONIC in production, zero
// at the start of a simulation), so a step of the wall clock changes nothing.
#pragma once

#include <compare>
#include <cstdint>
#include <limits>

namespace trunkline::core {

// A monotonic instant or a duration, in nanoseconds. Arithmetic is plain; 2^63 ns are 292 years.
struct Nanos {
  int64_t ns = 0;

  constexpr auto operator<=>(const Nanos&) const = default;
  constexpr Nanos operator+(Nanos o) const { return {ns + o.ns}; }
  constexpr Nanos operator-(Nanos o) const { return {ns - o.ns}; }
  constexpr Nanos operator*(int64_t k) const { return {ns * k}; }
  constexpr Nanos operator/(int64_t k) const { return {ns / k}; }
  constexpr Nanos& operator+=(Nanos o) {
    ns += o.ns;
    return *this;
  }
  constexpr Nanos& operator-=(Nanos o) {
    ns -= o.ns;
    return *this;
  }

  constexpr int64_t us() const { return ns / 1'000; }
  constexpr int64_t ms() const { return ns / 1'000'000; }
};

constexpr Nanos from_ns(int64_t v) {
  return {v};
}
constexpr Nanos from_us(int64_t v) {
  return {v * 1'000};
}
constexpr Nanos from_ms(int64_t v) {
  return {v * 1'000'000};
}
constexpr Nanos from_s(int64_t v) {
  return {v * 1'000'000'000};
}

// "No deadline": later than every instant a loop will see.
inline constexpr Nanos kNever{std::numeric_limits<int64_t>::max()};

}  // namespace trunkline::core
