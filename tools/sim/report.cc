// How a report adds up, and how it looks.
#include "tools/sim/report.h"

namespace trunkline::sim {

using relay::Outcome;

namespace {

double ms(int64_t ns) {
  return static_cast<double>(ns) * 1e-6;
}
unsigned long long full(uint64_t n) {
  return n;
}

template <class Each>
void for_each_outcome(Each&& each) {
#define X(name, number, label, text) each(Outcome::name);
  TRUNKLINE_OUTCOMES(X)
#undef X
}

// What a long run must have met: all that a host can hear, but for
//   INTERNAL        a defect of the node or its host: no run has one; provoked in tests/relay/mesh
//   STALE_EPOCH     the request is repeated with the generation that the answer names: a host hears this only
//   FUTURE_EPOCH      of a track that changes hands faster than a few round trips, three times in a row
//   MOVED           is followed, or its node asked to ask further: a few in a million hosts hear it
//   LOOP            says less than any other answer: a host hears it if all who were asked say just this
constexpr bool is_expected(Outcome outcome) {
  switch (outcome) {
    case Outcome::internal:
    case Outcome::stale_epoch:
    case Outcome::future_epoch:
    case Outcome::moved:
    case Outcome::loop:
      return false;
    default:
      return true;
  }
}

// Met in one seed of some hundred: a batch of two thousand may do without.
constexpr uint64_t kEnoughForRare = 20'000;
constexpr bool is_rare(Mark mark) {
  return mark == Mark::counted_feeds_looped;
}

}  // namespace

void OutcomeTimes::record(Outcome outcome, Nanos elapsed) {
  auto& times = times_[static_cast<size_t>(outcome)];
  if (!times) times = std::make_unique<core::Histogram>();
  times->record(elapsed.ns);
}

void OutcomeTimes::add(const OutcomeTimes& other) {
  for (size_t i = 0; i < times_.size(); ++i) {
    if (!other.times_[i]) continue;
    if (!times_[i]) times_[i] = std::make_unique<core::Histogram>();
    times_[i]->merge(*other.times_[i]);
  }
}

uint64_t OutcomeTimes::count(Outcome outcome) const {
  return of(outcome) == nullptr ? 0 : of(outcome)->count();
}

uint64_t OutcomeTimes::total() const {
  uint64_t sum = 0;
  for_each_outcome([&](Outcome outcome) { sum += count(outcome); });
  return sum;
}

double OutcomeTimes::share_ok() const {
  const uint64_t all = total() - count(Outcome::cancelled);
  return all == 0 ? 0 : static_cast<double>(count(Outcome::ok)) / static_cast<double>(all);
}

void OutcomeTimes::merge_into(core::Histogram& sum, std::initializer_list<Outcome> outcomes) const {
  for (const Outcome outcome : outcomes) {
    if (of(outcome) != nullptr) sum.merge(*of(outcome));
  }
}

void Report::count_outcome(Outcome outcome, Nanos elapsed) {
  outcomes.record(outcome, elapsed);
  for (uint32_t i = 0; i < kFaults; ++i) {
    if ((fault_bits_ >> i & 1) != 0) outcomes_under[i].record(outcome, elapsed);
  }
}

void Report::add(const Report& o) {
  seeds += o.seeds;
  events += o.events;
  simulated += o.simulated;
  asked += o.asked;
  with_node += o.with_node;
  outcomes.add(o.outcomes);
  ended_later += o.ended_later;
  packets_sent += o.packets_sent;
  packets_delivered += o.packets_delivered;
  datagrams_sent += o.datagrams_sent;
  datagrams_lost += o.datagrams_lost;
  datagrams_duplicated += o.datagrams_duplicated;
  datagrams_corrupted += o.datagrams_corrupted;
  keys.add(o.keys);
  for (uint32_t i = 0; i < kFaults; ++i) {
    faults[i] += o.faults[i];
    outcomes_under[i].add(o.outcomes_under[i]);
  }
  for (size_t i = 0; i < drops.size(); ++i) drops[i] += o.drops[i];
  marks.add(o.marks);
}

std::vector<std::string> Report::shortfalls() const {
  std::vector<std::string> out;
  if (share_ok() < 0.5) out.push_back("fewer than half of all acquires ended OK");
  for_each_outcome([&](Outcome outcome) {
    if (is_expected(outcome) && outcomes.count(outcome) == 0) {
      out.push_back(std::string("no acquire ended ") + relay::outcome_name(outcome));
    }
  });
  for (uint32_t i = 0; i < kFaults; ++i) {
    if (static_cast<double>(faults[i]) < kFaultFloor * static_cast<double>(seeds)) {
      out.push_back(std::string("faults of class ") + fault_name(static_cast<Fault>(i)) + " in only " +
                    std::to_string(faults[i]) + " of " + std::to_string(seeds) + " seeds");
    }
  }
  for (const Mark mark : marks.missed()) {
    if (is_rare(mark) && seeds < kEnoughForRare) continue;
    out.push_back(std::string("never seen: ") + mark_name(mark) + " (" + mark_text(mark) + ")");
  }
  return out;
}

// ---- for people

namespace {

void print_outcomes(std::FILE* out, const Report& r) {
  std::fprintf(out, "\n%-16s %10s %7s %10s %10s %10s\n", "outcome", "acquires", "share", "p50 ms", "p99 ms",
               "max ms");
  const uint64_t all = r.outcomes.total();
  for_each_outcome([&](Outcome outcome) {
    const core::Histogram* time = r.outcomes.of(outcome);
    if (time == nullptr) return;
    std::fprintf(out, "%-16s %10llu %6.1f%% %10.3f %10.3f %10.3f\n", relay::outcome_name(outcome),
                 full(time->count()), 100.0 * static_cast<double>(time->count()) / static_cast<double>(all),
                 ms(time->percentile(50)), ms(time->percentile(99)), ms(time->max()));
  });
  std::fprintf(out, "%-16s %10llu         (asked %llu; %llu went with a crashed node)\n", "total", full(all),
               full(r.asked), full(r.with_node));
  std::fprintf(out, "OK ended later   %10llu         (GONE, MOVED, LINK_DOWN)\n", full(r.ended_later));
}

// The three columns p50, p99, p100 of those that ended in one of these.
void print_times(std::FILE* out, const OutcomeTimes& times, std::initializer_list<Outcome> outcomes) {
  core::Histogram sum;
  times.merge_into(sum, outcomes);
  if (sum.count() == 0) {
    std::fprintf(out, " | %8s %8s %8s", "-", "-", "-");
    return;
  }
  std::fprintf(out, " | %8.1f %8.1f %8.1f", ms(sum.percentile(50)), ms(sum.percentile(99)), ms(sum.max()));
}

void print_faults(std::FILE* out, const Report& r) {
  std::fprintf(out, "\n%-12s %13s %9s %6s | %-26s | %-26s | %s\n", "faults of", "seeds with it", "acquires",
               "OK", "OK: p50, p99, max ms", "NOT_HERE, GONE", "NO_REPLY, LINK_DOWN, STALLED");
  for (uint32_t i = 0; i < kFaults; ++i) {
    const OutcomeTimes& times = r.outcomes_under[i];
    const double share = static_cast<double>(r.faults[i]) / static_cast<double>(r.seeds == 0 ? 1 : r.seeds);
    std::fprintf(out, "%-12s %7llu %4.0f%% %9llu %5.1f%%", fault_name(static_cast<Fault>(i)),
                 full(r.faults[i]), 100 * share, full(times.total()), 100 * times.share_ok());
    print_times(out, times, {Outcome::ok});
    print_times(out, times, {Outcome::not_here, Outcome::gone});
    print_times(out, times, {Outcome::no_reply, Outcome::link_down, Outcome::stalled});
    std::fprintf(out, "\n");
  }
}

}  // namespace

void Report::print(std::FILE* out) const {
  print_outcomes(out, *this);
  print_faults(out, *this);
  std::fprintf(out, "\nsituations that must be met sometimes, and how often they were:\n");
  for (uint32_t i = 0; i < kMarks; ++i) {
    const auto mark = static_cast<Mark>(i);
    std::fprintf(out, "  %10llu  %s\n", full(marks.count(mark)), mark_text(mark));
  }
  std::fprintf(out, "\nmedia      %llu sent, %llu delivered to subscribers\n", full(packets_sent),
               full(packets_delivered));
  std::fprintf(out, "datagrams  %llu sent, %llu lost, %llu duplicated, %llu corrupted\n",
               full(datagrams_sent), full(datagrams_lost), full(datagrams_duplicated),
               full(datagrams_corrupted));
  std::fprintf(
      out,
      "keys       %llu secrets, %llu datagrams sealed, %llu opened, %llu refused; of handshakes %llu "
      "messages read, %llu refused\n",
      full(keys.secrets), full(keys.sealed), full(keys.opened), full(keys.refused), full(keys.messages_read),
      full(keys.messages_refused));
  std::fprintf(out, "drops     ");
  for (size_t i = 0; i < drops.size(); ++i) {
    if (drops[i] == 0) continue;
    std::fprintf(out, " %s %llu", relay::drop_reason_name(static_cast<relay::DropReason>(i)), full(drops[i]));
  }
  std::fprintf(out, "\n");
}

// ---- for programs

namespace {

void print_json_times(std::FILE* out, const OutcomeTimes& times) {
  const char* comma = "";
  std::fprintf(out, "{");
  for_each_outcome([&](Outcome outcome) {
    const core::Histogram* time = times.of(outcome);
    if (time == nullptr) return;
    std::fprintf(out, "%s\"%s\":{\"acquires\":%llu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}", comma,
                 relay::outcome_name(outcome), full(time->count()), ms(time->percentile(50)),
                 ms(time->percentile(99)), ms(time->max()));
    comma = ",";
  });
  std::fprintf(out, "}");
}

}  // namespace

void Report::print_json(std::FILE* out) const {
  std::fprintf(out, "{\"seeds\":%llu,\"events\":%llu,\"node_hours\":%.3f,\"asked\":%llu,\"share_ok\":%.4f",
               full(seeds), full(events), static_cast<double>(simulated.ns) / 3.6e12, full(asked),
               share_ok());
  std::fprintf(out, ",\"outcomes\":");
  print_json_times(out, outcomes);
  std::fprintf(out, ",\"faults\":{");
  for (uint32_t i = 0; i < kFaults; ++i) {
    std::fprintf(out, "%s\"%s\":{\"seeds\":%llu,\"share_ok\":%.4f,\"outcomes\":", i == 0 ? "" : ",",
                 fault_name(static_cast<Fault>(i)), full(faults[i]), outcomes_under[i].share_ok());
    print_json_times(out, outcomes_under[i]);
    std::fprintf(out, "}");
  }
  std::fprintf(out, "},\"marks\":{");
  for (uint32_t i = 0; i < kMarks; ++i) {
    const auto mark = static_cast<Mark>(i);
    std::fprintf(out, "%s\"%s\":%llu", i == 0 ? "" : ",", mark_name(mark), full(marks.count(mark)));
  }
  std::fprintf(out, "},\"drops\":{");
  const char* comma = "";
  for (size_t i = 0; i < drops.size(); ++i) {
    if (drops[i] == 0) continue;
    std::fprintf(out, "%s\"%s\":%llu", comma, relay::drop_reason_name(static_cast<relay::DropReason>(i)),
                 full(drops[i]));
    comma = ",";
  }
  std::fprintf(out, "},\"media\":{\"sent\":%llu,\"delivered\":%llu}", full(packets_sent),
               full(packets_delivered));
  std::fprintf(out, ",\"datagrams\":{\"sent\":%llu,\"lost\":%llu,\"duplicated\":%llu,\"corrupted\":%llu}",
               full(datagrams_sent), full(datagrams_lost), full(datagrams_duplicated),
               full(datagrams_corrupted));
  std::fprintf(out,
               ",\"keys\":{\"secrets\":%llu,\"sealed\":%llu,\"opened\":%llu,\"refused\":%llu,"
               "\"messages_read\":%llu,\"messages_refused\":%llu}}\n",
               full(keys.secrets), full(keys.sealed), full(keys.opened), full(keys.refused),
               full(keys.messages_read), full(keys.messages_refused));
}

}  // namespace trunkline::sim
