// See wire_model.h. The order of the stages below is the order there.
#include "io/wire_model.h"

#include <algorithm>

namespace trunkline::io {

void WireModel::set(const Impairment& impairment) noexcept {
  impairment_ = impairment;
  const Impairment& i = impairment_;
  delay_ = i.delay;
  plain_ = !i.cut && i.rate_bps == 0 && i.loss == 0 && i.p_good_to_bad == 0 && i.jitter.ns == 0 &&
           i.reorder == 0 && i.duplicate == 0 && i.corrupt == 0;
}

WireModel::Fate WireModel::pass(Nanos now, uint32_t bytes) noexcept {
  Fate fate;
  if (plain_ && !bad_) {
    ++counters_.passed;
    fate.copies = 1;
    fate.due[0] = last_due_ = std::max(now + delay_, last_due_);
    return fate;
  }
  if (impairment_.cut) {
    ++counters_.lost;
    return fate;
  }
  Nanos departure = now;
  if (impairment_.rate_bps != 0) {
    // 2^32 bytes x 8 x 10^9 does not fit 64 bits; in double the error is below 1 ns for a second of queue.
    const double ns_per_byte = 8e9 / static_cast<double>(impairment_.rate_bps);
    const auto time_for = [&](uint32_t octets) { return Nanos{static_cast<int64_t>(octets * ns_per_byte)}; };
    const Nanos start = std::max(now, line_free_);
    const Nanos end = start + time_for(bytes);
    if (end - now > time_for(impairment_.queue_bytes)) {
      ++counters_.queue_full;
      fate.queue_full = true;
      return fate;
    }
    line_free_ = end;
    departure = end;
  }
  if (lose()) {
    ++counters_.lost;
    return fate;
  }
  ++counters_.passed;
  fate.copies = 1;
  fate.due[0] = arrival(departure);
  if (impairment_.duplicate > 0 && rng_.chance(impairment_.duplicate)) {
    ++counters_.duplicated;
    fate.copies = 2;
    fate.due[1] = fate.due[0];
  }
  if (impairment_.corrupt > 0 && bytes != 0 && rng_.chance(impairment_.corrupt)) {
    ++counters_.corrupted;
    fate.corrupt = true;
    fate.corrupt_bit = static_cast<uint32_t>(rng_.below(uint64_t{bytes} * 8));
  }
  return fate;
}

bool WireModel::lose() noexcept {
  if (impairment_.p_good_to_bad > 0 || bad_) {
    bad_ = bad_ ? !rng_.chance(impairment_.p_bad_to_good) : rng_.chance(impairment_.p_good_to_bad);
    if (bad_ && rng_.chance(impairment_.loss_in_bad)) return true;
  }
  return impairment_.loss > 0 && rng_.chance(impairment_.loss);
}

Nanos WireModel::arrival(Nanos departure) noexcept {
  Nanos due = departure + impairment_.delay;
  if (impairment_.jitter.ns > 0)
    due += Nanos{static_cast<int64_t>(rng_.below(static_cast<uint64_t>(impairment_.jitter.ns) + 1))};
  if (impairment_.reorder > 0 && rng_.chance(impairment_.reorder)) {
    ++counters_.reordered;
    return std::max(due, last_due_) + impairment_.reorder_extra;
  }
  last_due_ = std::max(due, last_due_);
  return last_due_;
}

}  // namespace trunkline::io
