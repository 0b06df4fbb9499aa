// See hgrm.h; formats and steps are those of HdrHistogram's outputPercentileDistribution().
#include "core/hgrm.h"

#include <algorithm>
#include <array>
#include <cinttypes>
#include <cmath>
#include <cstdarg>
#include <cstdio>

#include "core/check.h"

namespace trunkline::core {
namespace {

class Writer {
 public:
  Writer(HgrmLine line, void* to) : line_(line), to_(to) {}
  [[gnu::format(printf, 2, 3)]] void operator()(const char* format, ...) {
    std::array<char, 160> text;  // four numbers of at most 30 characters
    va_list words;
    va_start(words, format);
    const int n = std::vsnprintf(text.data(), text.size(), format, words);
    va_end(words);
    TL_CHECK(n > 0 && static_cast<size_t>(n) < text.size());
    line_(to_, {text.data(), static_cast<size_t>(n)});
  }

 private:
  HgrmLine line_;
  void* to_;
};

// The k-th fifth on the way from 1 - 2^-halvings to the half of what is left.
struct Step {
  int halvings = 0;
  int fifth = 0;
  double left() const { return std::ldexp(10 - fifth, -halvings) / 10; }
  void advance() {
    if (++fifth == 5) *this = {halvings + 1, 0};
  }
};

}  // namespace

void write_hgrm(const Histogram& histogram, double unit, HgrmLine line, void* to) {
  TL_CHECK(unit >= 1);
  Writer write(line, to);
  const int64_t smallest = histogram.min(), largest = histogram.max();
  const double mean = histogram.mean();
  uint64_t total = 0;
  double squares = 0;
  histogram.for_each_bucket([&](int64_t low, int64_t high, uint64_t count) {
    const int64_t middle = std::clamp(low + (high - low) / 2, std::min(smallest, largest), largest);
    const double off = static_cast<double>(middle) - mean;
    total += count;
    squares += static_cast<double>(count) * off * off;
  });

  write("%12s %14s %10s %14s\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
  write("\n");
  Step step;
  uint64_t seen = 0;
  histogram.for_each_bucket([&](int64_t, int64_t high, uint64_t count) {
    seen += count;
    const double above = static_cast<double>(total) - static_cast<double>(seen);
    // Bounded: `left` halves every five steps, and `above` is at least 1; of the last bucket's only one.
    while (above <= step.left() * static_cast<double>(total)) {
      write("%12.3f %2.12f %10" PRIu64 " %14.2f\n", static_cast<double>(std::min(high, largest)) / unit,
            1 - step.left(), seen, 1 / step.left());
      step.advance();
      if (seen >= total) break;
    }
  });
  if (total > 0) {
    write("%12.3f %2.12f %10" PRIu64 "\n", static_cast<double>(largest) / unit, 1.0, total);
  }
  write("#[Mean    = %12.3f, StdDeviation   = %12.3f]\n", mean / unit,
        total == 0 ? 0.0 : std::sqrt(squares / static_cast<double>(total)) / unit);
  write("#[Max     = %12.3f, Total count    = %12" PRIu64 "]\n", static_cast<double>(largest) / unit, total);
  write("#[Buckets = %12u, SubBuckets     = %12u]\n", Histogram::kRows, Histogram::kSubBuckets);
}

}  // namespace trunkline::core
