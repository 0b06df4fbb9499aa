// See scale.h.
#include "tools/sim/scale.h"

#include <sys/resource.h>

#include <chrono>

#include "tools/sim/fleet.h"
#include "tools/sim/peering.h"
#include "tools/sim/streams.h"

namespace trunkline::sim {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint32_t kSpokenPerNode = 3;               // tracks that send packets; the others are muted
constexpr Nanos kMediaEvery = core::from_ms(100);    // of one of them
constexpr Nanos kAcquireEvery = core::from_ms(500);  // of one node
constexpr Nanos kDeadline = core::from_ms(1'000);    // the product's default
constexpr Nanos kHoldLeast = core::from_s(1), kHoldMost = core::from_s(20);
constexpr Nanos kCutEvery = core::from_s(10);  // of one node: one of its links, both ways
constexpr Nanos kCutLeast = core::from_ms(100), kCutMost = core::from_s(3);
constexpr double kLossyPaths = 0.02, kLoss = 0.01;            // as a bad transit provider
constexpr double kNear = 0.9, kSpoken = 0.8, kAbsent = 0.05;  // what is acquired, see act_acquire()
constexpr uint32_t kPublishBatch = 64;                        // commands that a node is given at a time

Options scale_base(const ScaleOptions& scale) {
  std::vector<Region> regions;
  for (uint32_t node = 0; node < scale.nodes; ++node) regions.push_back(static_cast<Region>(node % kRegions));
  Options options = plain_options(scale.seed, std::move(regions));
  options.path.loss = kLoss;
  return options;
}

class Scale {
 public:
  explicit Scale(const ScaleOptions& scale)
      : scale_(scale),
        options_(scale_base(scale)),
        peering(scale.nodes, scale.links),
        rng_(stream(scale.seed, "scale")),
        fleet(options_, report, nullptr) {}

  void build();
  void run();

 private:
  // What is to happen later: kWorkload events with arg >= kLater.
  struct Later {
    enum class What : uint8_t { kRelease, kMend } what = What::kRelease;
    NodeIndex a = 0, b = 0;
    uint64_t handle = 0;
  };
  static constexpr uint32_t kAcquireActor = 0, kCutActor = 1, kLater = 2;

  // Tracks 0 .. tracks-1 exist; track t is published on node t % nodes. Those beyond were never published.
  core::TrackId track_id(uint32_t track) const {
    core::TrackId id;
    for (uint32_t half = 0; half < 2; ++half) {
      const uint64_t word = stream_seed(scale_.seed, "track", uint64_t{track} * 2 + half);
      std::memcpy(id.bytes.data() + size_t{half} * 8, &word, sizeof word);
    }
    return id;
  }
  uint32_t tracks_of(uint32_t node) const {
    return scale_.tracks / scale_.nodes + (node < scale_.tracks % scale_.nodes ? 1 : 0);
  }
  void configure(NodeIndex node);
  void publish_all(NodeIndex node);
  void later(Nanos at, const Later& what);
  void do_later(uint32_t at);
  void again(uint32_t actor, Nanos every_per_node);
  void act_acquire();
  void act_cut();
  void send_media(uint32_t publication);
  uint32_t some(uint64_t below) { return static_cast<uint32_t>(rng_.below(below)); }

  const ScaleOptions scale_;
  const Options options_;
  std::vector<Later> later_;
  std::vector<uint32_t> free_later_;

 public:
  const Peering peering;
  Report report;

 private:
  core::Rng rng_;

 public:
  Fleet fleet;
};

// ---- building

// Room for what the node and its peers publish, and for its subscribers; the rest as in production.
void Scale::configure(NodeIndex node) {
  relay::NodeConfig& config = fleet.config(node);
  config.peers.clear();
  uint32_t known = tracks_of(node);
  for (const uint32_t peer : peering.peers(node)) {
    const auto index = static_cast<NodeIndex>(peer);
    config.peers.push_back(peer_config(index));
    known += tracks_of(peer);
  }
  relay::NodeLimits& limits = config.limits;
  limits.max_peers = peering.degree();
  limits.max_tracks = known + 256;
  limits.max_acquires = tracks_of(node) + 512;
  limits.max_requests = 1'024;
  limits.max_flows_per_core = tracks_of(node) + 1'024;
  limits.max_outputs_per_core = 4'096;
  limits.command_depth = 2 * kPublishBatch;
  limits.transmit_buffers = 32;
  config.host_queues = 1;
}

void Scale::build() {
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    configure(node);
    fleet.start(node);
    publish_all(node);
    for (const uint32_t peer : peering.peers(node)) {
      if (rng_.chance(kLossyPaths)) fleet.network.impair(node, static_cast<NodeIndex>(peer), true);
    }
  }
  again(kAcquireActor, kAcquireEvery);
  again(kCutActor, kCutEvery);
}

void Scale::publish_all(NodeIndex node) {
  for (uint32_t i = 0; i < tracks_of(node); ++i) {
    Publication p;
    p.node = node;
    p.track = i * scale_.nodes + node;
    p.id = track_id(p.track);
    p.generation = 1;
    p.from = fleet.now();
    const uint64_t handle = fleet.auditor.publish(p);
    TL_CHECK(fleet.acting(node)->publish(handle, p, fleet.now()));
    if (i % kPublishBatch == kPublishBatch - 1) fleet.touch(node);
    if (i >= kSpokenPerNode) continue;
    fleet.events.push(fleet.now() + Nanos{between(rng_, 1, kMediaEvery.ns)}, EventKind::kMedia, node,
                      static_cast<uint32_t>(handle >> 1));
  }
  fleet.touch(node);
}

// ---- running

void Scale::run() {
  const Nanos end = core::from_s(scale_.seconds);
  while (fleet.events.next().time <= end) {
    const Event event = fleet.next();
    if (event.kind == EventKind::kMedia) {
      send_media(event.arg);
    } else if (event.kind == EventKind::kWorkload && event.arg == kAcquireActor) {
      act_acquire();
      again(kAcquireActor, kAcquireEvery);
    } else if (event.kind == EventKind::kWorkload && event.arg == kCutActor) {
      act_cut();
      again(kCutActor, kCutEvery);
    } else if (event.kind == EventKind::kWorkload) {
      do_later(event.arg - kLater);
    }
    fleet.auditor.check(fleet.now());
  }
  fleet.collect();
}

void Scale::again(uint32_t actor, Nanos every_per_node) {
  const int64_t mean = every_per_node.ns / scale_.nodes;
  fleet.events.push(fleet.now() + Nanos{between(rng_, 1, 2 * mean)}, EventKind::kWorkload, 0, actor);
}

void Scale::later(Nanos at, const Later& what) {
  uint32_t slot = static_cast<uint32_t>(later_.size());
  if (free_later_.empty()) {
    later_.push_back(what);
  } else {
    slot = free_later_.back();
    free_later_.pop_back();
    later_[slot] = what;
  }
  fleet.events.push(at, EventKind::kWorkload, 0, kLater + slot);
}

void Scale::do_later(uint32_t at) {
  const Later what = later_[at];
  free_later_.push_back(at);
  if (what.what == Later::What::kMend) {
    fleet.network.cut(what.a, what.b, false);
    fleet.network.cut(what.b, what.a, false);
    return;
  }
  const Acquisition a = fleet.auditor.acquisition(what.handle);
  if (a.state != Acquisition::State::kOk) return;  // over by itself
  fleet.auditor.release(what.handle, fleet.now());
  TL_CHECK(fleet.acting(a.node)->release(what.handle, a, fleet.now()));
  fleet.touch(a.node);
}

// Mostly of a node that this one has a link with, else of any; mostly a spoken track; now and then one that
// nobody has.
void Scale::act_acquire() {
  const auto node = static_cast<NodeIndex>(some(scale_.nodes));
  const auto& peers = peering.peers(node);
  const uint32_t owner = rng_.chance(kNear) ? peers[some(peers.size())] : some(scale_.nodes);
  const uint32_t there = tracks_of(owner);
  const bool absent = rng_.chance(kAbsent) || there == 0;
  const uint32_t nth =
      some(rng_.chance(kSpoken) ? std::min(there, kSpokenPerNode) + (there == 0) : std::max(there, 1u));
  Acquisition a;
  a.node = node;
  a.track = nth * scale_.nodes + owner;
  if (absent) a.track += (scale_.tracks / scale_.nodes + 1) * scale_.nodes;
  a.id = track_id(a.track);
  a.submitted = fleet.now();
  a.deadline = kDeadline;
  const uint64_t handle = fleet.auditor.acquire(a);
  TL_CHECK(fleet.acting(node)->acquire(handle, a, Nanos{0}, fleet.now()));
  later(fleet.now() + kDeadline + Nanos{between(rng_, kHoldLeast.ns, kHoldMost.ns)},
        {Later::What::kRelease, node, node, handle});
  fleet.touch(node);
}

void Scale::act_cut() {
  const auto a = static_cast<NodeIndex>(some(scale_.nodes));
  const auto b = static_cast<NodeIndex>(peering.peers(a)[some(peering.peers(a).size())]);
  fleet.network.cut(a, b, true);
  fleet.network.cut(b, a, true);
  later(fleet.now() + Nanos{between(rng_, kCutLeast.ns, kCutMost.ns)}, {Later::What::kMend, a, b, 0});
}

void Scale::send_media(uint32_t publication) {
  const uint64_t handle = Auditor::publication_handle(publication);
  Publication& p = fleet.auditor.publication(handle);
  if (p.confirmed && fleet.acting(p.node)->send(handle, p, p.sent)) {
    ++p.sent;
    ++report.packets_sent;
    fleet.touch(p.node);
  }
  fleet.events.push(fleet.now() + kMediaEvery, EventKind::kMedia, p.node, publication);
}

uint64_t resident_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1'024;
}

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

}  // namespace

ScaleResult run_scale(const ScaleOptions& options, std::FILE* out) {
  ScaleResult result;
  Clock::time_point begin = Clock::now();
  Scale scale(options);
  scale.build();
  result.build_s = since(begin);
  begin = Clock::now();
  scale.run();
  result.run_s = since(begin);
  result.events = scale.report.events;
  result.resident_bytes = resident_bytes();
  result.trace_hash = scale.fleet.trace.hash();
  result.violations = scale.fleet.auditor.violations().size();
  if (out == nullptr) return result;
  for (const Violation& v : scale.fleet.auditor.violations())
    std::fprintf(out, "VIOLATION at %.6f s: %s\n", static_cast<double>(v.time.ns) * 1e-9, v.text.c_str());
  scale.report.print(out);
  std::fprintf(
      out,
      "\n%u nodes in %u regions, %u links each; any two within %u links, %.1f %% of pairs within two; "
      "%u tracks\n%u s simulated: built in %.2f s, run in %.2f s; %.2f M events, %.2f M events/s; "
      "%.2f GiB, %.2f MiB a node\ntrace hash %016llx, %llu violations\n",
      options.nodes, std::min(options.nodes, kRegions), scale.peering.degree(), scale.peering.diameter(),
      100 * scale.peering.within_two(), options.tracks, options.seconds, result.build_s, result.run_s,
      static_cast<double>(result.events) * 1e-6, static_cast<double>(result.events) / result.run_s * 1e-6,
      static_cast<double>(result.resident_bytes) / (1u << 30),
      static_cast<double>(result.resident_bytes) / options.nodes / (1u << 20),
      static_cast<unsigned long long>(result.trace_hash), static_cast<unsigned long long>(result.violations));
  return result;
}

}  // namespace trunkline::sim
