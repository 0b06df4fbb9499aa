// A histogram as text, in HdrHistogram's percentile format (`.hgrm`), which its public plotter and many other
// tools read:
//
//          Value     Percentile TotalCount 1/(1-Percentile)
//
//          1.000 0.000000000000          1           1.00
//   ...
//         10.000 1.000000000000         10
//   #[Mean    =        5.500, StdDeviation   =        2.872]
//   #[Max     =       10.000, Total count    =           10]
//   #[Buckets =           32, SubBuckets     =           64]
//
// Percentiles go to 100 % by halves of what is left, five steps in each, as HdrHistogram's own output does by
// default: so each power of ten of a tail has some 17 lines, and a plot is smooth over 1/(1-Percentile).
//
// Any thread; two passes over the buckets and a line for each step. A histogram in use by its writer is to be
// merged into one of the reader's own first, or the steps may not add up. No allocation, no output: lines are
// handed to the caller, each with its end of line, valid during the call.
#pragma once

#include <string_view>

#include "core/histogram.h"

namespace trunkline::core {

using HgrmLine = void (*)(void* to, std::string_view line);

// Values are divided by `unit`: 1000 turns nanoseconds into the microseconds that most plots show. Contract:
// unit >= 1.
void write_hgrm(const Histogram& histogram, double unit, HgrmLine line, void* to);

// The same for anything that takes a std::string_view: write_hgrm(h, 1000, [&](auto l) { text += l; }).
template <class Fn>
void write_hgrm(const Histogram& histogram, double unit, Fn&& fn) {
  write_hgrm(
      histogram, unit, [](void* to, std::string_view line) { (*static_cast<Fn*>(to))(line); }, &fn);
}

}  // namespace trunkline::core
