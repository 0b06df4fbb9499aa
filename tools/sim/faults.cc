// How each class of fault is drawn. Every class has a stream of its own, so that leaving one out leaves the
// others as they were.
#include "tools/sim/faults.h"

#include <algorithm>

#include "tools/sim/streams.h"

namespace trunkline::sim {

namespace {

class Schedule {
 public:
  explicit Schedule(const Options& options)
      : options_(options),
        nodes_(static_cast<int64_t>(options.nodes.size())),
        begin_(options.phases.warm_up),
        end_(begin_ + options.phases.faults) {}

  std::vector<FaultEvent> take() {
    paths();
    one_way();
    partitions();
    pauses();
    crashes();
    slow_nodes();
    lies();
    std::stable_sort(events_.begin(), events_.end(),
                     [](const FaultEvent& x, const FaultEvent& y) { return x.time < y.time; });
    return std::move(events_);
  }

 private:
  core::Rng stream_of(const char* name) const { return stream(options_.seed, name); }
  NodeIndex node(core::Rng& rng) const { return static_cast<NodeIndex>(between(rng, 0, nodes_ - 1)); }
  // Somebody else than `but`.
  NodeIndex other(core::Rng& rng, NodeIndex but) const {
    const auto drawn = static_cast<NodeIndex>(between(rng, 0, nodes_ - 2));
    return static_cast<NodeIndex>(drawn < but ? drawn : drawn + 1);
  }
  Nanos moment(core::Rng& rng) const { return {between(rng, begin_.ns, end_.ns - 1)}; }
  void add(const FaultEvent& event) { events_.push_back(event); }

  void paths() {
    constexpr Fault kOfPaths[] = {Fault::loss,      Fault::burst_loss, Fault::jitter,
                                  Fault::duplicate, Fault::reorder,    Fault::corrupt};
    core::Rng rng = stream_of("fault.paths");
    const double share = rng.unit();  // from a single bad path to all of them
    const bool any = std::any_of(std::begin(kOfPaths), std::end(kOfPaths),
                                 [&](Fault fault) { return options_.has(fault); });
    for (NodeIndex from = 0; from < nodes_; ++from) {
      for (NodeIndex to = 0; to < nodes_; ++to) {
        const bool bad = rng.chance(share);
        if (any && bad && from != to) add({begin_, FaultStep::kImpair, from, to, 0, {}});
      }
    }
  }

  void cut_between(Nanos from, Nanos until, NodeIndex a, NodeIndex b) {
    add({from, FaultStep::kCut, a, b, 0, {}});
    add({std::min(until, end_), FaultStep::kMend, a, b, 0, {}});
  }

  void one_way() {
    if (!options_.has(Fault::one_way)) return;
    core::Rng rng = stream_of("fault.one_way");
    for (int64_t left = between(rng, 1, 5); left > 0; --left) {
      const NodeIndex a = node(rng);
      const NodeIndex b = other(rng, a);
      const Nanos from = moment(rng);
      cut_between(from, from + core::from_ms(between(rng, 20, 2'500)), a, b);
    }
  }

  void partitions() {
    if (!options_.has(Fault::partition)) return;
    core::Rng rng = stream_of("fault.partition");
    for (int64_t left = between(rng, 1, 2); left > 0; --left) {
      // A non-empty proper subset of the nodes.
      const auto side = static_cast<uint32_t>(between(rng, 1, (int64_t{1} << nodes_) - 2));
      const Nanos from = moment(rng);
      const Nanos until = from + core::from_ms(between(rng, 50, 3'000));
      for (NodeIndex a = 0; a < nodes_; ++a) {
        for (NodeIndex b = 0; b < nodes_; ++b) {
          if ((side >> a & 1) != (side >> b & 1)) cut_between(from, until, a, b);
        }
      }
    }
  }

  void pauses() {
    if (!options_.has(Fault::pause)) return;
    core::Rng rng = stream_of("fault.pause");
    for (int64_t left = between(rng, 1, 4); left > 0; --left) {
      const NodeIndex a = node(rng);
      const Nanos from = moment(rng);
      const Nanos until = std::min(end_, from + core::from_us(between(rng, 500, 2'000'000)));
      add({from, FaultStep::kPause, a, 0, 0, until});
      add({until, FaultStep::kResume, a, 0, 0, {}});
    }
  }

  void crashes() {
    if (!options_.has(Fault::crash)) return;
    core::Rng rng = stream_of("fault.crash");
    for (int64_t left = between(rng, 1, 2); left > 0; --left) {
      const NodeIndex a = node(rng);
      const Nanos from = moment(rng);
      const Nanos until = std::min(end_, from + core::from_ms(between(rng, 0, 1'500)));
      add({from, FaultStep::kCrash, a, 0, 0, {}});
      add({until, FaultStep::kRestart, a, 0, 0, {}});
    }
  }

  void slow_nodes() {
    if (!options_.has(Fault::slow)) return;
    core::Rng rng = stream_of("fault.slow");
    for (int64_t left = between(rng, 1, 2); left > 0; --left)
      add({begin_, FaultStep::kSlow, node(rng), 0, 0, {}});
  }

  void lies() {
    if (!options_.has(Fault::location)) return;
    core::Rng rng = stream_of("fault.location");
    for (int64_t left = between(rng, 5, 40); left > 0; --left) {
      const NodeIndex a = node(rng);
      const NodeIndex b = other(rng, a);
      const auto track = static_cast<uint32_t>(rng.below(options_.tracks));
      add({moment(rng), FaultStep::kLie, a, b, track, {}});
    }
  }

  const Options& options_;
  int64_t nodes_;
  Nanos begin_, end_;
  std::vector<FaultEvent> events_;
};

}  // namespace

std::vector<FaultEvent> draw_faults(const Options& options) {
  return Schedule(options).take();
}

std::string describe(const FaultEvent& e) {
  const std::string a = std::to_string(e.a + 1), b = std::to_string(e.b + 1);
  switch (e.step) {
    case FaultStep::kImpair:
      return "fault: path " + a + " -> " + b + " misbehaves";
    case FaultStep::kCut:
      return "fault: path " + a + " -> " + b + " is cut";
    case FaultStep::kMend:
      return "fault: path " + a + " -> " + b + " is mended";
    case FaultStep::kPause:
      return "fault: node " + a + " stands still until " + std::to_string(e.until.ms()) + " ms";
    case FaultStep::kResume:
      return "fault: node " + a + " goes on";
    case FaultStep::kCrash:
      return "fault: node " + a + " crashes";
    case FaultStep::kRestart:
      return "fault: node " + a + " restarts";
    case FaultStep::kSlow:
      return "fault: node " + a + " runs late";
    case FaultStep::kLie:
      return "fault: node " + a + " is told that node " + b + " has track " + std::to_string(e.track);
  }
  return "fault";
}

}  // namespace trunkline::sim
