// See replay.h.
#include "tools/sim/replay.h"

#include <algorithm>
#include <cstdarg>
#include <cstring>
#include <utility>

namespace trunkline::sim {

using relay::Outcome;

namespace {

constexpr uint64_t kSeed = 20'231'102;
constexpr Region kRegionOf[] = {Region::kWashington, Region::kWashington, Region::kLondon, Region::kLondon,
                                Region::kTokyo};

}  // namespace

Variant minus(const char* rule, Ground ground) {
  Variant variant;
  variant.ground = ground;
  variant.name = std::string("minus ") + rule;
  bool known = false;
#define X(rule_name, rule_text)                    \
  if (std::strcmp(rule, #rule_name) == 0) {        \
    variant.rules.rule_name = false, known = true; \
  }
  TRUNKLINE_RULES(X)
#undef X
  TL_CHECK(known);
  return variant;
}

std::string text(const char* format, ...) {
  char line[600];
  va_list values;
  va_start(values, format);
  std::vsnprintf(line, sizeof line, format, values);
  va_end(values);
  return line;
}

Options Replay::options_of(const Variant& variant) {
  std::vector<Region> regions(std::begin(kRegionOf), std::end(kRegionOf));
  if (variant.ground != Ground::kThreeRegions) regions.assign(regions.size(), Region::kWashington);
  Options options = plain_options(kSeed, std::move(regions));
  options.rules = variant.rules;
  return options;
}

Replay::Replay(const Variant& variant)
    : variant_(variant), options_(options_of(variant)), fleet(options_, report_, nullptr) {
  for (NodeIndex node = 0; node < fleet.size(); ++node) impair(node);
}

Replay::Replay(Options options) : options_(std::move(options)), fleet(options_, report_, nullptr) {}

// The rest of the way that it would be to the others.
void Replay::impair(NodeIndex node) {
  if (variant_.ground != Ground::kVirtualWan) return;
  for (NodeIndex other = 0; other < fleet.size(); ++other) {
    if (other == node) continue;
    const Nanos way = one_way_delay(kRegionOf[node], kRegionOf[other]);
    const Nanos there = one_way_delay(Region::kWashington, Region::kWashington);
    relay::ImpairmentConfig wire;
    wire.to = node_address(other);
    wire.delay_ms = ms(way - there);
    fleet.config(node).impairments.push_back(wire);
  }
}

void Replay::rebuild(NodeIndex node, const Build& build) {
  fleet.rebuild(node, build);
  impair(node);
}

Nanos Replay::round_trip(NodeIndex a, NodeIndex b) const {
  if (variant_.ground != Ground::kVirtualWan) return fleet.round_trip(a, b);
  return one_way_delay(kRegionOf[a], kRegionOf[b]) + one_way_delay(kRegionOf[b], kRegionOf[a]);
}

Nanos Replay::largest_round_trip() const {
  Nanos largest{};
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    for (NodeIndex other = 0; other < node; ++other) largest = std::max(largest, round_trip(node, other));
  }
  return largest;
}

core::TrackId Replay::id_of(uint32_t track, const char* track_namespace) {
  return relay::track_id(track_namespace, "camera-" + std::to_string(track));
}

void Replay::start() {
  for (NodeIndex node = 0; node < fleet.size(); ++node) fleet.start(node);
  run_until(kWarmUp);
}

// ---- time

void Replay::run_until(Nanos time) {
  // Media first, so that a script that stops at a moment has seen all that is due then.
  while (fleet.now() < time) {
    const int64_t ticks = fleet.now().ns / kPacketEvery.ns + 1;
    const Nanos tick{ticks * kPacketEvery.ns};
    fleet.run_until(std::min(tick, time));
    if (fleet.now() != tick) continue;
    watch_media();
    send_media();
  }
}

Nanos Replay::run_until(const std::function<bool()>& done, Nanos most) {
  const Nanos begin = fleet.now();
  while (!done()) {
    if (fleet.now() - begin >= most) return core::kNever;
    run_for(core::from_ms(1));
  }
  return fleet.now() - begin;
}

// ---- hosts

uint64_t Replay::publish(NodeIndex node, uint32_t track, const core::TrackId& id, uint64_t generation) {
  Publication p;
  p.node = node;
  p.track = track;
  p.id = id;
  p.generation = generation;
  p.from = fleet.now();
  const uint64_t handle = fleet.auditor.publish(p);
  fleet.acting(node)->publish(handle, p, fleet.now());
  fleet.touch(node);
  return handle;
}

uint64_t Replay::publish(NodeIndex node, uint32_t track, uint64_t generation, bool muted) {
  const uint64_t handle = publish(node, track, id_of(track), generation);
  if (!muted) publishing_.push_back(handle);
  return handle;
}

void Replay::unpublish(uint64_t handle) {
  const Publication& p = fleet.auditor.publication(handle);
  fleet.auditor.unpublish(handle, fleet.now());
  std::erase(publishing_, handle);
  fleet.acting(p.node)->unpublish(handle, p, fleet.now());
  fleet.touch(p.node);
}

uint64_t Replay::acquire(NodeIndex node, uint32_t track, Nanos deadline) {
  Acquisition a;
  a.node = node;
  a.track = track;
  a.id = id_of(track);
  a.submitted = fleet.now();
  a.deadline = deadline;
  const uint64_t handle = fleet.auditor.acquire(a);
  handles_.push_back(handle);
  fed_.push_back({handle, UINT32_MAX, 0, fleet.now(), {}});
  fleet.acting(node)->acquire(handle, a, Nanos{0}, fleet.now());
  fleet.touch(node);
  return handle;
}

void Replay::release(uint64_t handle) {
  const Acquisition a = fleet.auditor.acquisition(handle);
  const bool open = a.state == Acquisition::State::kAsked || a.state == Acquisition::State::kOk;
  if (!open || a.released) return;
  fleet.auditor.release(handle, fleet.now());
  fleet.acting(a.node)->release(handle, a, fleet.now());
  fleet.touch(a.node);
}

// ---- figures

uint32_t Replay::count(Outcome outcome) {
  return static_cast<uint32_t>(
      std::count_if(handles_.begin() + static_cast<std::ptrdiff_t>(group_), handles_.end(), [&](uint64_t h) {
        const Acquisition& a = fleet.auditor.acquisition(h);
        return a.state != Acquisition::State::kAsked && a.outcome == outcome;
      }));
}

uint32_t Replay::fed() {
  return static_cast<uint32_t>(std::count_if(
      handles_.begin() + static_cast<std::ptrdiff_t>(group_), handles_.end(),
      [&](uint64_t h) { return fleet.auditor.acquisition(h).state == Acquisition::State::kOk; }));
}

uint32_t Replay::without_media() {
  return static_cast<uint32_t>(
      std::count_if(handles_.begin() + static_cast<std::ptrdiff_t>(group_), handles_.end(), [&](uint64_t h) {
        const Acquisition& a = fleet.auditor.acquisition(h);
        return a.state == Acquisition::State::kOk && a.publication == UINT32_MAX;
      }));
}

uint32_t Replay::unresolved() {
  return static_cast<uint32_t>(std::count_if(
      handles_.begin() + static_cast<std::ptrdiff_t>(group_), handles_.end(),
      [&](uint64_t h) { return fleet.auditor.acquisition(h).state == Acquisition::State::kAsked; }));
}

Nanos Replay::longest() {
  Nanos longest{};
  for (size_t i = group_; i < handles_.size(); ++i) {
    const Acquisition& a = fleet.auditor.acquisition(handles_[i]);
    if (a.state != Acquisition::State::kAsked) longest = std::max(longest, a.ended - a.submitted);
  }
  return longest;
}

// ---- media

// A publisher's host sends for as long as it believes to publish: whoever stands still sends nothing.
// All its packets of a tick are one burst.
void Replay::send_media() {
  for (const uint64_t handle : publishing_) {
    Publication& p = fleet.auditor.publication(handle);
    SimNode* node = p.confirmed && !p.closed ? fleet.acting(p.node) : nullptr;
    if (node != nullptr && node->send(handle, p, p.sent)) ++p.sent;
  }
  for (NodeIndex node = 0; node < fleet.size(); ++node) fleet.touch(node);
}

void Replay::watch_media() {
  for (Fed& f : fed_) {
    const Acquisition& a = fleet.auditor.acquisition(f.handle);
    const bool progress = a.publication != f.publication || a.highest != f.highest;
    f.publication = a.publication;
    f.highest = a.highest;
    if (a.publication == UINT32_MAX || progress) f.since = fleet.now();
    f.longest = std::max(f.longest, fleet.now() - f.since);
  }
}

void Replay::reset_gaps() {
  for (Fed& f : fed_) {
    f.longest = Nanos{};
    f.since = fleet.now();
  }
}

Nanos Replay::longest_gap(NodeIndex node) {
  Nanos longest{};
  for (const Fed& f : fed_) {
    const Acquisition& a = fleet.auditor.acquisition(f.handle);
    if (a.node == node && a.publication != UINT32_MAX) longest = std::max(longest, f.longest);
  }
  return longest + kPacketEvery;
}

Nanos Replay::longest_gap() {
  Nanos longest{};
  for (NodeIndex node = 0; node < fleet.size(); ++node) longest = std::max(longest, longest_gap(node));
  return longest;
}

// ---- links

uint32_t Replay::link_ends(relay::LinkState state) const {
  uint32_t ends = 0;
  for (NodeIndex node = 0; node < fleet.size(); ++node) {
    if (!fleet.is_up(node)) continue;
    const relay::MeshNode& mesh = fleet.node(node).mesh();
    for (relay::LinkId l = 0; l < mesh.link_count(); ++l) ends += mesh.link(l).state == state ? 1 : 0;
  }
  return ends;
}

void Replay::cut_off(NodeIndex node, bool cut) {
  for (NodeIndex other = 0; other < fleet.size(); ++other) {
    if (other == node) continue;
    fleet.network.cut(node, other, cut);
    fleet.network.cut(other, node, cut);
  }
}

// ---- the row

ScenarioRow Replay::row(const char* situation, std::string happened, bool kept, bool failed) {
  ScenarioRow row{situation, variant_.name, std::move(happened), variant_.ours() ? kept : failed};
  if (variant_.ours() && fleet.auditor.failed()) {
    row.as_stated = false;
    row.happened += "; BROKEN: " + fleet.auditor.violations().front().text;
  }
  return row;
}

}  // namespace trunkline::sim
