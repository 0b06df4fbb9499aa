// How a report adds up, and how it looks.
#include "tools/sim/report.h"

namespace trunkline::sim {

void Report::count_outcome(relay::Outcome outcome, Nanos elapsed) {
  const auto at = static_cast<size_t>(outcome);
  ++outcomes[at];
  if (!times[at]) times[at] = std::make_unique<core::Histogram>();
  times[at]->record(elapsed.ns);
}

uint64_t Report::ended() const {
  uint64_t sum = 0;
  for (const uint64_t n : outcomes) sum += n;
  return sum;
}

double Report::share_ok() const {
  const uint64_t cancelled = outcomes[static_cast<size_t>(relay::Outcome::cancelled)];
  const uint64_t all = ended() - cancelled;
  if (all == 0) return 0;
  return static_cast<double>(outcomes[static_cast<size_t>(relay::Outcome::ok)]) / static_cast<double>(all);
}

void Report::print(std::FILE* out) const {
  const auto ms = [](int64_t ns) { return static_cast<double>(ns) * 1e-6; };
  std::fprintf(out, "\n%-16s %10s %7s %10s %10s %10s\n", "outcome", "acquires", "share", "p50 ms", "p99 ms",
               "max ms");
  for (size_t i = 0; i < outcomes.size(); ++i) {
    if (outcomes[i] == 0) continue;
    const core::Histogram& time = *times[i];
    std::fprintf(out, "%-16s %10llu %6.1f%% %10.3f %10.3f %10.3f\n",
                 relay::outcome_name(static_cast<relay::Outcome>(i)),
                 static_cast<unsigned long long>(outcomes[i]),
                 100.0 * static_cast<double>(outcomes[i]) / static_cast<double>(ended()),
                 ms(time.percentile(50)), ms(time.percentile(99)), ms(time.max()));
  }
  std::fprintf(out, "%-16s %10llu         (asked %llu; %llu went with a crashed node)\n", "total",
               static_cast<unsigned long long>(ended()), static_cast<unsigned long long>(asked),
               static_cast<unsigned long long>(with_node));
  std::fprintf(out, "OK ended later   %10llu         (GONE, LINK_DOWN)\n",
               static_cast<unsigned long long>(ended_later));
  std::fprintf(out, "\nmedia            %10llu sent, %llu delivered to subscribers\n",
               static_cast<unsigned long long>(packets_sent),
               static_cast<unsigned long long>(packets_delivered));
  std::fprintf(out, "datagrams        %10llu sent, %llu lost, %llu duplicated, %llu corrupted\n",
               static_cast<unsigned long long>(datagrams_sent),
               static_cast<unsigned long long>(datagrams_lost),
               static_cast<unsigned long long>(datagrams_duplicated),
               static_cast<unsigned long long>(datagrams_corrupted));
  std::fprintf(out, "\nfaults, in how many seeds:");
  for (uint32_t i = 0; i < kFaults; ++i) {
    std::fprintf(out, "%s %s %llu", i == 0 ? "" : ",", fault_name(static_cast<Fault>(i)),
                 static_cast<unsigned long long>(faults[i]));
  }
  std::fprintf(out, "\ndrops:");
  for (size_t i = 0; i < drops.size(); ++i) {
    if (drops[i] == 0) continue;
    std::fprintf(out, " %s %llu", relay::drop_reason_name(static_cast<relay::DropReason>(i)),
                 static_cast<unsigned long long>(drops[i]));
  }
  std::fprintf(out, "\n");
}

}  // namespace trunkline::sim
