// See world.h.
#include "tools/sim/world.h"

#include <algorithm>
#include <iterator>
#include <utility>

namespace trunkline::sim {

namespace {

constexpr Nanos kAsking = core::from_ms(2'667);    // the last of the permanent phase, when all is asked again
constexpr Nanos kLongestWay = core::from_ms(600);  // of a packet, over as many nodes as it may take

}  // namespace

World::World(const Options& options, Report& report, std::FILE* trace)
    : World(options, draw_faults(options), report, trace) {}

World::World(const Options& options, std::vector<FaultEvent> faults, Report& report, std::FILE* trace)
    : options_(options),
      fleet_(options_, report, trace),
      workload_(fleet_, options_, report),
      faults_(std::move(faults)) {
  // Where nothing is lost an answer is as old as its way is long, there and perhaps over a hop: 164 ms at
  // most each, and what jitter and reordering add. Where something is, or a peer has no room, it is repeated
  // for as long as somebody waits for it: the longest deadline of the workload.
  constexpr Fault kRepeats[] = {Fault::loss,  Fault::burst_loss, Fault::corrupt,    Fault::one_way,
                                Fault::pause, Fault::partition,  Fault::bandwidth,  Fault::gray,
                                Fault::slow,  Fault::swizzle,    Fault::late_timer, Fault::limits};
  const bool repeats = std::any_of(std::begin(kRepeats), std::end(kRepeats),
                                   [this](Fault fault) { return options_.has(fault); });
  fleet_.auditor.answers_may_age(core::from_ms(repeats ? 3'500 : 700));
}

void World::run() {
  for (NodeIndex node = 0; node < fleet_.size(); ++node) start(node);
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
    workload_.renew();
    fleet_.auditor.check(fleet_.now());
  }
  fleet_.collect();
}

// ---- faults

void World::apply(const FaultEvent& fault) {
  if (fleet_.trace.printing()) fleet_.trace.line(fleet_.now(), describe(fault));
  switch (fault.step) {
    case FaultStep::kImpair:
    case FaultStep::kCut:
    case FaultStep::kMend:
    case FaultStep::kGray:
    case FaultStep::kClear:
      return apply_to_path(fault);
    case FaultStep::kPause:
      return fleet_.stand_still(fault.a, fault.until);
    case FaultStep::kResume:
      return;  // the fleet knows until when: it is in the schedule to be seen in a trace
    case FaultStep::kSlow:
      return fleet_.run_late(fault.a, options_.slow_by);
    case FaultStep::kTimers:
      return fleet_.delay_timers(fault.a, options_.timer_by);
    case FaultStep::kLie:
      return fleet_.hint(fault.a, workload_.track_id(fault.track), fault.b);
    case FaultStep::kStale:
      if (const auto before = workload_.former_node(fault.track); before && *before != fault.a)
        fleet_.hint(fault.a, workload_.track_id(fault.track), *before);
      return;
    case FaultStep::kDrain:
      return fleet_.drain(fault.a, true, fault.b);
    case FaultStep::kUndrain:
      return fleet_.drain(fault.a, false, 0);
    default:
      return apply_to_life(fault);
  }
}

void World::apply_to_path(const FaultEvent& fault) {
  switch (fault.step) {
    case FaultStep::kImpair:
      return fleet_.network.impair(fault.a, fault.b, true);
    case FaultStep::kCut:
      return fleet_.network.cut(fault.a, fault.b, true);
    case FaultStep::kMend:
      return fleet_.network.cut(fault.a, fault.b, false);
    case FaultStep::kGray:
      return fleet_.network.gray(fault.a, fault.b, fault.gray, fault.size);
    default:
      return fleet_.network.clear(fault.a, fault.b);
  }
}

void World::apply_to_life(const FaultEvent& fault) {
  Build build = fleet_.build(fault.a);
  switch (fault.step) {
    case FaultStep::kCrash:
      return stop(fault.a);
    case FaultStep::kRollOut:
      stop(fault.a);
      build.profile = fault.build.profile;
      return fleet_.rebuild(fault.a, build);
    case FaultStep::kConfigure:
      stop(fault.a);
      build.wrong_here = fault.build.wrong_here;
      return fleet_.rebuild(fault.a, build);
    case FaultStep::kRestart:
      return start(fault.a);
    case FaultStep::kRestore:
      return restore(fault.a);
    default:
      return fleet_.set_clock(fault.a, fault.by);
  }
}

// What a node does before anything else: it looks at its configuration. L4: one that lacks a setting which
// its wire versions require does not start, and names it; every other one starts.
bool World::may_start(NodeIndex node) {
  const core::Result<void> valid = relay::validate(fleet_.config(node));
  const bool must_not =
      options_.rules.required_settings && must_not_start(options_.wrong, fleet_.build(node));
  if (must_not && valid) {
    fleet_.auditor.violate(fleet_.now(), "L4: node " + std::to_string(node + 1) + " starts without wire." +
                                             options_.wrong.name + ", which its wire versions require");
  } else if (!valid && (!must_not || valid.error().text.find("wire." + options_.wrong.name) != 0)) {
    fleet_.auditor.violate(fleet_.now(),
                           "L4: node " + std::to_string(node + 1) + " does not start: " + valid.error().text);
  }
  return valid.has_value();
}

void World::start(NodeIndex node) {
  if (!fleet_.is_up(node) && may_start(node)) fleet_.start(node);
}

void World::restore(NodeIndex node) {
  if (!fleet_.is_up(node) && may_start(node)) fleet_.restore(node);
}

void World::stop(NodeIndex node) {
  if (!fleet_.is_up(node)) return;  // what it had has been lost since it went down
  fleet_.crash(node);
  workload_.crashed(node);
}

void World::heal() {
  fleet_.network.heal();
  workload_.stop_changes();
  for (NodeIndex node = 0; node < fleet_.size(); ++node) {
    fleet_.run_late(node, Nanos{});
    fleet_.delay_timers(node, Nanos{});
    fleet_.drain(node, false, 0);
    start(node);
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
      fleet_.auditor.begin_steady();
      workload_.check_liveness();
      return last(p.liveness);
    case Phase::kPermanent:
      fleet_.auditor.end_steady(fleet_.now(), kLongestWay, options_.media_every);
      // First it is noticed: at most three heartbeats and one way (L1 of a link), and searches that were
      // under way come to their end. Or, in a long phase, it is given up: leases end.
      if (p.permanent.ns == 0) return next_phase();
      return last(p.permanent - kAsking);
    case Phase::kAsking:
      if (p.permanent.ns == 0) return next_phase();
      workload_.check_liveness();
      return last(kAsking);
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
    if (!fleet_.is_up(node)) continue;
    const relay::MeshNode& mesh = fleet_.node(node).mesh();
    for (relay::LinkId l = 0; l < mesh.link_count(); ++l) check_link(node, mesh.link(l));
  }
}

// L3, L4
void World::check_link(NodeIndex node, const relay::LinkStatus& link) {
  const auto peer = static_cast<NodeIndex>(link.node.value - 1);
  const std::optional<Meeting> meeting = fleet_.meeting(node, peer);
  if (!meeting) return;
  const relay::LinkState wanted =
      *meeting == Meeting::kUp ? relay::LinkState::kUp : relay::LinkState::kIncompatible;
  const std::string named = *meeting == Meeting::kOtherVersion   ? "wire version"
                            : *meeting == Meeting::kOtherSetting ? "wire." + options_.wrong.name
                                                                 : "";
  if (link.state == wanted && std::string(link.text.data()).find(named) != std::string::npos) return;
  fleet_.auditor.violate(
      fleet_.now(), std::string(*meeting == Meeting::kUp ? "L3" : "L4") + ": node " +
                        std::to_string(node + 1) + "'s link to node " + std::to_string(peer + 1) + " is " +
                        relay::link_state_name(link.state) + " and not " + relay::link_state_name(wanted) +
                        " for " + (named.empty() ? "everything agrees" : named) + " (" + link.text.data() +
                        "), " + std::to_string(options_.phases.heal.ms()) + " ms after all was well again");
}

// Who has lost a peer for good, or is INCOMPATIBLE with it now, keeps what is to be released there until it
// can say so.
// So does whoever feeds it: a track is wanted as long as somebody down the way may come back for it.
void World::check_leaks() {
  const bool forgotten = options_.phases.drain >= Phases::kForgetting;
  const bool somebody_is_missed =
      options_.phases.permanent.ns > 0 && options_.phases.permanent < Phases::kLeases;
  for (NodeIndex node = 0; node < fleet_.size(); ++node) {
    if (!fleet_.is_up(node)) continue;
    const auto& peers = options_.links.peers(node);
    const bool all_there = std::all_of(peers.begin(), peers.end(), [&](NodeIndex peer) {
      return fleet_.meeting(node, peer) == Meeting::kUp;
    });
    if (!all_there || somebody_is_missed) continue;
    const std::string leak =
        fleet_.node(node).leak(forgotten, static_cast<uint32_t>(fleet_.hints(node).size()));
    if (!leak.empty()) fleet_.auditor.violate(fleet_.now(), leak);
  }
}

// ---- a whole seed

std::string parted(const World& with, const World& without) {
  if (with.trace_hash() == without.trace_hash()) return {};
  const std::vector<uint64_t>&a = with.checkpoints(), &b = without.checkpoints();
  const auto at = std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin();
  return "S7: a stranger's datagrams had an effect: without them another run begins before " +
         std::to_string(Fleet::kCheckpoint.ms() * at) + " ms";
}

RunResult run_world(const Options& options, const std::vector<FaultEvent>& faults, Report& report,
                    std::FILE* trace) {
  World world(options, faults, report, trace);
  world.run();
  RunResult result{world.violations(), world.trace_hash(), world.now()};
  if (!options.has(Fault::stranger) || !result.violations.empty()) return result;
  Options muted = options;
  muted.muted = true;
  Report unused;
  World twin(muted, faults, unused);
  twin.run();
  if (std::string text = parted(world, twin); !text.empty())
    result.violations.push_back({world.now(), std::move(text)});
  return result;
}

}  // namespace trunkline::sim
