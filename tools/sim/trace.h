// Trace: one 64-bit number that stands for everything that happened, and, when asked, the same as text.
//
// The idea: every event, outcome and packet is folded into a rolling hash. Two runs of one seed must end with
// the same number, whatever the compiler and the optimisation: a difference is a defect of its own (an
// uninitialised byte, an order that depends on addresses, a clock that crept in). The text goes to a stream
// only while printing, so an ordinary run pays one multiplication per event.
#pragma once

#include <bit>
#include <cstdint>
#include <cstdio>
#include <string>

#include "core/time.h"

namespace trunkline::sim {

class Trace {
 public:
  // nullptr: hash only. Otherwise lines go to `out`, which must outlive the trace.
  explicit Trace(std::FILE* out = nullptr) : out_(out) {}

  void fold(uint64_t word) { hash_ = std::rotl(hash_ ^ word, 23) * 0x9e3779b97f4a7c15u; }
  uint64_t hash() const { return hash_; }

  bool printing() const { return out_ != nullptr; }
  // One line, "   1.234567 text". Call it under printing() only: composing the text costs more than the
  // event.
  void line(core::Nanos now, const std::string& text) {
    std::fprintf(out_, "%11.6f %s\n", static_cast<double>(now.ns) * 1e-9, text.c_str());
  }

 private:
  uint64_t hash_ = 0x243f6a8885a308d3u;  // digits of pi
  std::FILE* out_;
};

}  // namespace trunkline::sim
