// Report: what many seeds gave together. One thread; the worlds write into it while they run.
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
#include "tools/sim/options.h"

namespace trunkline::sim {

// A broken promise: when in virtual time, and which, in one sentence.
struct Violation {
  Nanos time{};
  std::string text;
};

struct Report {
  uint64_t seeds = 0;
  uint64_t events = 0;
  Nanos simulated{};  // virtual time, summed over nodes

  // Acquires
  uint64_t asked = 0;
  uint64_t with_node = 0;  // their node crashed before they ended
  std::array<uint64_t, relay::kOutcomeNumbers> outcomes{};
  std::array<std::unique_ptr<core::Histogram>, relay::kOutcomeNumbers> times;  // ns; made when first needed
  uint64_t ended_later = 0;  // acquisitions that were OK and ended without being released

  // Media
  uint64_t packets_sent = 0;       // by publishers' hosts
  uint64_t packets_delivered = 0;  // to subscribers' hosts

  // The wire and the faults
  uint64_t datagrams_sent = 0, datagrams_lost = 0, datagrams_duplicated = 0, datagrams_corrupted = 0;
  std::array<uint64_t, kFaults> faults{};  // seeds in which the class was on
  std::array<uint64_t, static_cast<size_t>(relay::DropReason::kCount)> drops{};

  void count_outcome(relay::Outcome outcome, Nanos elapsed);
  uint64_t ended() const;
  // Of all that ended by themselves, the share that was OK.
  double share_ok() const;
  // The tables: outcomes with their times, faults, drops.
  void print(std::FILE* out) const;
};

}  // namespace trunkline::sim
