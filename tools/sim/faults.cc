// How each class of fault is drawn. Every class has a stream of its own, so that leaving one out leaves the
// others as they were. One draw per full expression: the order of arguments is the compiler's choice.
#include "tools/sim/faults.h"

#include <algorithm>

#include "tools/sim/streams.h"

namespace trunkline::sim {

namespace {

class Schedule {
 public:
  explicit Schedule(const Options& options)
      : options_(options),
        nodes_(static_cast<NodeIndex>(options.nodes.size())),
        begin_(options.phases.warm_up),
        end_(begin_ + options.phases.faults) {}

  std::vector<FaultEvent> take() {
    paths();
    one_way();
    partitions();
    swizzles();
    gray_paths();
    pauses();
    crashes();
    clones();
    clocks();
    late_nodes();
    lies();
    drains();
    rollouts();
    settings();
    permanent();
    std::stable_sort(events_.begin(), events_.end(),
                     [](const FaultEvent& x, const FaultEvent& y) { return x.time < y.time; });
    return std::move(events_);
  }

 private:
  struct Path {
    NodeIndex from, to;
  };

  core::Rng stream_of(const char* name) const { return stream(options_.seed, name); }
  NodeIndex node(core::Rng& rng) const { return static_cast<NodeIndex>(rng.below(nodes_)); }
  // Somebody else than `but`.
  NodeIndex other(core::Rng& rng, NodeIndex but) const {
    const auto drawn = static_cast<NodeIndex>(rng.below(nodes_ - 1u));
    return static_cast<NodeIndex>(drawn < but ? drawn : drawn + 1);
  }
  Path path(core::Rng& rng) const {
    const NodeIndex a = node(rng);
    const auto& peers = options_.links.peers(a);
    return {a, peers[rng.below(peers.size())]};
  }
  Nanos moment(core::Rng& rng) const { return {between(rng, begin_.ns, end_.ns - 1)}; }
  // Before the heal, which comes at end_: what is simultaneous happens in any order.
  Nanos within(Nanos until) const { return std::min(until, end_ - core::from_ns(1)); }
  FaultEvent& add(Nanos time, FaultStep step, NodeIndex a, NodeIndex b = 0) {
    FaultEvent& event = events_.emplace_back();
    event.time = time;
    event.step = step;
    event.a = a;
    event.b = b;
    return event;
  }
  template <class Each>
  void for_each_path(Each&& each) const {
    for (NodeIndex from = 0; from < nodes_; ++from) {
      for (const NodeIndex to : options_.links.peers(from)) each(Path{from, to});
    }
  }

  void paths() {
    constexpr Fault kOfPaths[] = {Fault::loss,    Fault::burst_loss, Fault::jitter, Fault::duplicate,
                                  Fault::reorder, Fault::corrupt,    Fault::replay, Fault::bandwidth};
    core::Rng rng = stream_of("fault.paths");
    const double share = rng.unit();  // from a single bad path to all of them
    const bool any = std::any_of(std::begin(kOfPaths), std::end(kOfPaths),
                                 [&](Fault fault) { return options_.has(fault); });
    for_each_path([&](Path p) {
      const bool bad = rng.chance(share);
      if (any && bad) add(begin_, FaultStep::kImpair, p.from, p.to);
    });
  }

  void cut_between(Nanos from, Nanos until, NodeIndex a, NodeIndex b) {
    add(from, FaultStep::kCut, a, b);
    add(within(until), FaultStep::kMend, a, b);
  }

  void one_way() {
    if (!options_.has(Fault::one_way)) return;
    core::Rng rng = stream_of("fault.one_way");
    for (int64_t left = between(rng, 1, 5); left > 0; --left) {
      const Path p = path(rng);
      const Nanos from = moment(rng);
      cut_between(from, from + core::from_ms(between(rng, 20, 2'500)), p.from, p.to);
    }
  }

  // A non-empty proper subset of the nodes, a bit each.
  uint32_t side(core::Rng& rng) const {
    return static_cast<uint32_t>(between(rng, 1, (int64_t{1} << nodes_) - 2));
  }

  void partitions() {
    if (!options_.has(Fault::partition)) return;
    core::Rng rng = stream_of("fault.partition");
    for (int64_t left = between(rng, 1, 2); left > 0; --left) {
      const uint32_t here = side(rng);
      const Nanos from = moment(rng);
      const Nanos until = from + core::from_ms(between(rng, 50, 3'000));
      for_each_path([&](Path p) {
        if ((here >> p.from & 1) != (here >> p.to & 1)) cut_between(from, until, p.from, p.to);
      });
    }
  }

  // FoundationDB's swizzle-clog: a random subset, one by one, and back in another order.
  void swizzles() {
    if (!options_.has(Fault::swizzle)) return;
    core::Rng rng = stream_of("fault.swizzle");
    std::vector<Path> subset;
    const double share = 0.1 + 0.6 * rng.unit();
    for_each_path([&](Path p) {
      if (rng.chance(share)) subset.push_back(p);
    });
    const Nanos step = core::from_ms(between(rng, 5, 150));
    Nanos at = moment(rng);
    const auto shuffle = [&] {
      for (size_t i = subset.size(); i > 1; --i) std::swap(subset[i - 1], subset[rng.below(i)]);
    };
    shuffle();
    for (const Path p : subset) add(within(at += step), FaultStep::kCut, p.from, p.to);
    shuffle();
    for (const Path p : subset) add(within(at += step), FaultStep::kMend, p.from, p.to);
  }

  void gray_paths() {
    if (!options_.has(Fault::gray)) return;
    core::Rng rng = stream_of("fault.gray");
    for (int64_t left = between(rng, 1, 4); left > 0; --left) {
      const Path p = path(rng);
      const auto what = static_cast<Gray>(rng.below(6));
      const auto size = static_cast<uint32_t>(between(rng, 100, 600));
      const Nanos from = moment(rng);
      const Nanos until = within(from + core::from_ms(between(rng, 200, 6'000)));
      const bool both_ways = rng.chance(0.4);
      for (const Path way : {p, Path{p.to, p.from}}) {
        if (way.from != p.from && !both_ways) continue;
        FaultEvent& event = add(from, FaultStep::kGray, way.from, way.to);
        event.gray = what;
        event.size = size;
        add(until, FaultStep::kClear, way.from, way.to);
      }
    }
  }

  void pauses() {
    if (!options_.has(Fault::pause)) return;
    core::Rng rng = stream_of("fault.pause");
    for (int64_t left = between(rng, 1, 4); left > 0; --left) {
      const NodeIndex a = node(rng);
      const Nanos from = moment(rng);
      const Nanos until = within(from + core::from_us(between(rng, 500, 2'000'000)));
      add(from, FaultStep::kPause, a).until = until;
      add(until, FaultStep::kResume, a);
    }
  }

  void down_and_up(core::Rng& rng, NodeIndex a, Nanos from, FaultStep up) {
    add(from, FaultStep::kCrash, a);
    add(within(from + core::from_ms(between(rng, 0, 1'500))), up, a);
  }

  void crashes() {
    if (!options_.has(Fault::crash)) return;
    core::Rng rng = stream_of("fault.crash");
    for (int64_t left = between(rng, 1, 2); left > 0; --left) {
      const NodeIndex a = node(rng);
      down_and_up(rng, a, moment(rng), FaultStep::kRestart);
    }
  }

  void clones() {
    if (!options_.has(Fault::clone)) return;
    core::Rng rng = stream_of("fault.clone");
    for (int64_t left = between(rng, 1, 2); left > 0; --left) {
      const NodeIndex a = node(rng);
      down_and_up(rng, a, moment(rng), FaultStep::kRestore);
    }
  }

  // A clock that is wrong harms nobody until it is read. So each step comes with a restart; and a later
  // restart finds it right again, which is a step back for whoever remembers the wrong one.
  void clocks() {
    if (!options_.has(Fault::clock)) return;
    core::Rng rng = stream_of("fault.clock");
    for (int64_t left = between(rng, 1, 2); left > 0; --left) {
      const NodeIndex a = node(rng);
      const Nanos from = moment(rng);
      add(from, FaultStep::kClock, a).by = core::from_s(between(rng, -36'000, 36'000));
      down_and_up(rng, a, from, FaultStep::kRestart);
      if (!rng.chance(0.6)) continue;
      const Nanos again = within(from + core::from_ms(between(rng, 1'500, 5'000)));
      add(again, FaultStep::kClock, a);
      down_and_up(rng, a, again, FaultStep::kRestart);
    }
  }

  void late_nodes() {
    if (options_.has(Fault::slow)) {
      core::Rng rng = stream_of("fault.slow");
      for (int64_t left = between(rng, 1, 2); left > 0; --left) add(begin_, FaultStep::kSlow, node(rng));
    }
    if (options_.has(Fault::late_timer)) {
      core::Rng rng = stream_of("fault.late_timer");
      for (int64_t left = between(rng, 1, 3); left > 0; --left) add(begin_, FaultStep::kTimers, node(rng));
    }
  }

  uint32_t track(core::Rng& rng) const { return static_cast<uint32_t>(rng.below(options_.tracks)); }

  void lies() {
    if (options_.has(Fault::location)) {
      core::Rng rng = stream_of("fault.location");
      for (int64_t left = between(rng, 5, 40); left > 0; --left) {
        const Path p = path(rng);
        add(moment(rng), FaultStep::kLie, p.from, p.to).track = track(rng);
      }
    }
    if (options_.has(Fault::stale)) {
      core::Rng rng = stream_of("fault.stale");
      for (int64_t left = between(rng, 5, 40); left > 0; --left) {
        const NodeIndex a = node(rng);
        const uint32_t about = track(rng);
        add(moment(rng), FaultStep::kStale, a).track = about;
      }
    }
    if (!options_.has(Fault::split)) return;
    core::Rng rng = stream_of("fault.split");
    for (int64_t left = between(rng, 1, 6); left > 0; --left) {
      const NodeIndex one = node(rng), another = other(rng, one);
      const uint32_t here = side(rng), about = track(rng);
      const Nanos at = moment(rng);
      for (NodeIndex a = 0; a < nodes_; ++a) {
        const NodeIndex named = (here >> a & 1) != 0 ? one : another;
        if (a != named) add(at, FaultStep::kLie, a, named).track = about;
      }
    }
  }

  void drains() {
    if (!options_.has(Fault::drain)) return;
    core::Rng rng = stream_of("fault.drain");
    for (int64_t left = between(rng, 1, 2); left > 0; --left) {
      const NodeIndex a = node(rng);
      const Nanos from = moment(rng);
      add(from, FaultStep::kDrain, a, other(rng, a));
      add(within(from + core::from_ms(between(rng, 100, 5'000))), FaultStep::kUndrain, a);
    }
  }

  void deploy(core::Rng& rng, Nanos at, FaultStep how, NodeIndex a, const Build& build) {
    add(within(at), how, a).build = build;
    add(within(at + core::from_ms(between(rng, 0, 400))), FaultStep::kRestart, a);
  }

  // A prefix of the nodes, in random order, goes over to another build; then, perhaps, some come back.
  void rollouts() {
    if (!options_.has(Fault::version)) return;
    core::Rng rng = stream_of("fault.version");
    std::vector<NodeIndex> order;
    for (NodeIndex a = 0; a < nodes_; ++a) order.push_back(a);
    for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[rng.below(i)]);
    const auto next = static_cast<uint8_t>((options_.builds[0].profile + 1 + rng.below(2)) % 3);
    const auto prefix = static_cast<size_t>(between(rng, 0, nodes_));
    // So that all of it fits the phase, there and back.
    Nanos at{between(rng, begin_.ns, begin_.ns + (end_ - begin_).ns / 2)};
    const Nanos step{between(rng, (end_ - begin_).ns / 200, (end_ - at).ns / (2 * nodes_ + 1))};
    for (size_t i = 0; i < prefix; ++i) deploy(rng, at += step, FaultStep::kRollOut, order[i], {next, false});
    if (rng.chance(0.5)) return;
    const auto back = static_cast<size_t>(between(rng, 0, static_cast<int64_t>(prefix)));
    for (size_t i = 0; i < back; ++i)
      deploy(rng, at += step, FaultStep::kRollOut, order[i], options_.builds[0]);
  }

  void settings() {
    const WrongSetting& w = options_.wrong;
    if (w.where == WrongSetting::Where::kNowhere) return;
    core::Rng rng = stream_of("fault.setting");
    const Nanos wrong_at = moment(rng), repaired_at = {between(rng, wrong_at.ns, end_.ns - 1)};
    const Nanos step = core::from_ms(between(rng, 0, 300));
    const auto give_all = [&](Nanos at, bool wrong_here) {
      for (NodeIndex a = 0; a < nodes_; ++a) {
        if (w.nodes[a] == 0) continue;
        deploy(rng, at, FaultStep::kConfigure, a, {0, wrong_here});
        at += step;
      }
    };
    if (!w.from_start) give_all(wrong_at, true);
    if (w.repaired) give_all(w.from_start ? wrong_at : repaired_at, false);
  }

  // What never heals. It begins when all is well and everything was asked for once.
  void permanent() {
    if (!options_.has(Fault::permanent)) return;
    core::Rng rng = stream_of("fault.permanent");
    const Nanos at = end_ + options_.phases.heal + options_.phases.liveness;
    const uint64_t kind = rng.below(4);
    if (kind == 0) {
      add(at, FaultStep::kCrash, node(rng));
    } else if (kind == 1) {
      const uint32_t here = side(rng);
      for_each_path([&](Path p) {
        if ((here >> p.from & 1) != (here >> p.to & 1)) add(at, FaultStep::kCut, p.from, p.to);
      });
    } else {
      for (int64_t left = between(rng, 1, 3); left > 0; --left) {
        const Path p = path(rng);
        add(at, FaultStep::kCut, p.from, p.to);
        if (kind == 2) add(at, FaultStep::kCut, p.to, p.from);
      }
    }
  }

  const Options& options_;
  NodeIndex nodes_;
  Nanos begin_, end_;
  std::vector<FaultEvent> events_;
};

}  // namespace

std::vector<FaultEvent> draw_faults(const Options& options) {
  return Schedule(options).take();
}

namespace {

std::string describe_path(const FaultEvent& e) {
  constexpr const char* kGray[] = {"media",      "control",    "all but heartbeats",
                                   "heartbeats", "handshakes", "datagrams above "};
  switch (e.step) {
    case FaultStep::kImpair:
      return " misbehaves";
    case FaultStep::kCut:
      return " is cut";
    case FaultStep::kMend:
      return " is mended";
    case FaultStep::kClear:
      return " loses nothing any more";
    default:
      return std::string(" loses ") + kGray[static_cast<size_t>(e.gray)] +
             (e.gray == Gray::kLarge ? std::to_string(e.size) + " bytes" : "");
  }
}

std::string describe_node(const FaultEvent& e) {
  const std::string b = std::to_string(e.b + 1), track = std::to_string(e.track);
  switch (e.step) {
    case FaultStep::kPause:
      return " stands still until " + std::to_string(e.until.ms()) + " ms";
    case FaultStep::kResume:
      return " goes on";
    case FaultStep::kCrash:
      return " crashes";
    case FaultStep::kRollOut:
      return " is stopped for profile " + std::to_string(e.build.profile);
    case FaultStep::kConfigure:
      return e.build.wrong_here ? " is stopped for the wrong setting" : " is stopped for the right setting";
    case FaultStep::kRestart:
      return " restarts";
    case FaultStep::kRestore:
      return " comes back from a snapshot";
    case FaultStep::kClock:
      return " has a wall clock that is off by " + std::to_string(e.by.ms() / 1'000) + " s";
    case FaultStep::kSlow:
      return " runs late";
    case FaultStep::kTimers:
      return " has late timers";
    case FaultStep::kLie:
      return " is told that node " + b + " has track " + track;
    case FaultStep::kStale:
      return " is told where track " + track + " was before";
    case FaultStep::kDrain:
      return " drains, node " + b + " takes over";
    default:
      return " takes requests again";
  }
}

}  // namespace

std::string describe(const FaultEvent& e) {
  const std::string a = std::to_string(e.a + 1);
  switch (e.step) {
    case FaultStep::kImpair:
    case FaultStep::kCut:
    case FaultStep::kMend:
    case FaultStep::kGray:
    case FaultStep::kClear:
      return "fault: path " + a + " -> " + std::to_string(e.b + 1) + describe_path(e);
    default:
      return "fault: node " + a + describe_node(e);
  }
}

}  // namespace trunkline::sim
