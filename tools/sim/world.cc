// See world.h.
#include "tools/sim/world.h"

#include <algorithm>
#include <iterator>

namespace trunkline::sim {

World::World(const Options& options, Report& report, std::FILE* trace)
    : options_(options),
      fleet_(options_, report, trace),
      workload_(fleet_, options_, report),
      faults_(draw_faults(options_)) {
  // Where nothing is lost an answer is as old as its way is long: 122 ms at most, and what jitter and
  // reordering add. Where something is, it is repeated for as long as somebody waits for it: the longest
  // deadline of the workload.
  constexpr Fault kRepeats[] = {Fault::loss,      Fault::burst_loss, Fault::corrupt, Fault::one_way,
                                Fault::partition, Fault::pause,      Fault::slow};
  const bool repeats = std::any_of(std::begin(kRepeats), std::end(kRepeats),
                                   [this](Fault fault) { return options_.has(fault); });
  fleet_.auditor.answers_may_age(core::from_ms(repeats ? 3'500 : 450));
}

void World::run() {
  for (NodeIndex node = 0; node < fleet_.size(); ++node) fleet_.start(node);
  workload_.begin();
  for (uint32_t i = 0; i < faults_.size(); ++i) {
    fleet_.events.push(faults_[i].time, EventKind::kFault, faults_[i].a, i);
  }
  fleet_.events.push(options_.phases.warm_up, EventKind::kPhase, 0);
  while (phase_ != Phase::kOver && !fleet_.auditor.failed()) {
    const Event event = fleet_.next();
    if (event.kind == EventKind::kWorkload || event.kind == EventKind::kMedia) workload_.on_event(event);
    if (event.kind == EventKind::kFault) apply(faults_[event.arg]);
    if (event.kind == EventKind::kPhase) next_phase();
    fleet_.auditor.check(fleet_.now());
  }
  fleet_.collect();
}

// ---- faults

void World::apply(const FaultEvent& fault) {
  if (fleet_.trace.printing()) fleet_.trace.line(fleet_.now(), describe(fault));
  switch (fault.step) {
    case FaultStep::kImpair:
      return fleet_.network.impair(fault.a, fault.b, true);
    case FaultStep::kCut:
      return fleet_.network.cut(fault.a, fault.b, true);
    case FaultStep::kMend:
      return fleet_.network.cut(fault.a, fault.b, false);
    case FaultStep::kPause:
      return fleet_.stand_still(fault.a, fault.until);
    case FaultStep::kResume:
      return;  // the fleet knows until when: it is in the schedule to be seen in a trace
    case FaultStep::kCrash:
      fleet_.crash(fault.a);
      return workload_.crashed(fault.a);
    case FaultStep::kRestart:
      if (!fleet_.is_up(fault.a)) fleet_.start(fault.a);
      return;
    case FaultStep::kSlow:
      return fleet_.run_late(fault.a, options_.slow_by);
    case FaultStep::kLie:
      return fleet_.hint(fault.a, workload_.track_id(fault.track), fault.b);
  }
}

void World::heal() {
  fleet_.network.heal();
  workload_.stop_changes();
  for (NodeIndex node = 0; node < fleet_.size(); ++node) {
    fleet_.run_late(node, Nanos{});
    if (!fleet_.is_up(node)) fleet_.start(node);
  }
}

// ---- phases

void World::next_phase() {
  phase_ = static_cast<Phase>(static_cast<uint8_t>(phase_) + 1);
  const Phases& p = options_.phases;
  const auto last = [this](Nanos length) { fleet_.events.push(fleet_.now() + length, EventKind::kPhase, 0); };
  switch (phase_) {
    case Phase::kWarmUp:
      return;
    case Phase::kSafety:
      return last(p.faults);
    case Phase::kHeal:
      heal();
      return last(p.heal);
    case Phase::kLiveness:
      for (NodeIndex node = 0; node < fleet_.size(); ++node) fleet_.auditor.late_by(node, Nanos{});
      check_links();
      workload_.check_liveness();
      return last(p.liveness);
    case Phase::kDrain:
      workload_.wind_down();
      return last(p.drain);
    case Phase::kOver:
      fleet_.auditor.finish(fleet_.now());
      return check_leaks();
  }
}

void World::check_links() {
  for (NodeIndex node = 0; node < fleet_.size(); ++node) {
    const relay::MeshNode& mesh = fleet_.node(node).mesh();
    for (relay::LinkId l = 0; l < mesh.link_count(); ++l) {
      const relay::LinkStatus status = mesh.link(l);
      if (status.state == relay::LinkState::kUp) continue;
      fleet_.auditor.violate(fleet_.now(), "L3: node " + std::to_string(node + 1) + "'s link to node " +
                                               std::to_string(status.node.value) + " is " +
                                               relay::link_state_name(status.state) + " " +
                                               std::to_string(options_.phases.heal.ms()) +
                                               " ms after all was well again");
    }
  }
}

void World::check_leaks() {
  const bool forgotten = options_.phases.drain >= Phases::kForgetting;
  for (NodeIndex node = 0; node < fleet_.size(); ++node) {
    const std::string leak = fleet_.node(node).leak(forgotten, fleet_.hints(node));
    if (!leak.empty()) fleet_.auditor.violate(fleet_.now(), leak);
  }
}

}  // namespace trunkline::sim
