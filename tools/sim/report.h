// Report: what many seeds gave together. One thread writes into one; reports of several threads add up to the
// same whatever the order.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "core/histogram.h"
#include "relay/drop_reason.h"
#include "relay/outcome.h"
#include "tools/sim/auditor_keys.h"
#include "tools/sim/marks.h"
#include "tools/sim/options.h"

namespace trunkline::sim {

// A broken promise: when in virtual time, and which, in one sentence.
struct Violation {
  Nanos time{};
  std::string text;
};

// How long acquires took, by how they ended. Each histogram (16 KiB) is made when first needed.
class OutcomeTimes {
 public:
  void record(relay::Outcome outcome, Nanos elapsed);
  void add(const OutcomeTimes& other);
  uint64_t count(relay::Outcome outcome) const;
  uint64_t total() const;
  // Of all that ended by themselves, the share that was OK.
  double share_ok() const;
  // nullptr: none ended so.
  const core::Histogram* of(relay::Outcome outcome) const {
    return times_[static_cast<size_t>(outcome)].get();
  }
  // All that ended in one of these, together.
  void merge_into(core::Histogram& sum, std::initializer_list<relay::Outcome> outcomes) const;

 private:
  std::array<std::unique_ptr<core::Histogram>, relay::kOutcomeNumbers> times_;
};

struct Report {
  uint64_t seeds = 0;
  uint64_t events = 0;
  Nanos simulated{};  // virtual time, summed over nodes

  // Acquires
  uint64_t asked = 0;
  uint64_t with_node = 0;  // their node crashed before they ended
  OutcomeTimes outcomes;
  std::array<OutcomeTimes, kFaults> outcomes_under;  // in seeds with this class of faults
  uint64_t ended_later = 0;  // acquisitions that were OK and ended without being released

  // Media
  uint64_t packets_sent = 0;       // by publishers' hosts
  uint64_t packets_delivered = 0;  // to subscribers' hosts

  // The wire and the faults
  uint64_t datagrams_sent = 0, datagrams_lost = 0, datagrams_duplicated = 0, datagrams_corrupted = 0;
  KeyAuditor::Totals keys;
  std::array<uint64_t, kFaults> faults{};  // seeds in which the class was on
  std::array<uint64_t, static_cast<size_t>(relay::DropReason::kCount)> drops{};

  Marks marks;

  // What follows happens under these classes of faults.
  void begin_seed(uint32_t fault_bits) { fault_bits_ = fault_bits; }
  void count_outcome(relay::Outcome outcome, Nanos elapsed);
  void add(const Report& other);
  double share_ok() const { return outcomes.share_ok(); }
  // The tables: outcomes with their times, the same by class of faults, marks, drops.
  void print(std::FILE* out) const;
  // The same and more as one JSON object on one line; times in ms, every outcome under every class.
  void print_json(std::FILE* out) const;
  // What a batch long enough must have met and did not, one sentence each: outcomes, marks, the floor of the
  // fault mix, at least half of all acquires
  // OK.
  std::vector<std::string> shortfalls() const;
  // The fewest seeds of which shortfalls() may be asked.
  static constexpr uint64_t kEnoughSeeds = 2'000;
  // Each class of faults is in at least this share of all seeds. There are 27 classes: most seeds have eight
  // of them at once.
  static constexpr double kFaultFloor = 0.25;

 private:
  uint32_t fault_bits_ = 0;
};

}  // namespace trunkline::sim
