// See network.h.
#include "tools/sim/network.h"

#include <algorithm>
#include <cstring>

#include "relay/wire.h"
#include "tools/sim/control_text.h"
#include "tools/sim/streams.h"

namespace trunkline::sim {

namespace {

constexpr uint16_t kPort = 4400;

// Which node listens at an address of node_address(); none: beyond all nodes.
uint32_t node_at(const core::UdpAddress& address) {
  return uint32_t{address.ip[2]} * 256 + address.ip[3] - 1;
}

// Of a data datagram whose contents are readable.
std::span<const uint8_t> records_of(std::span<const uint8_t> datagram) {
  if (datagram.size() < relay::kHeaderBytes + relay::kTagBytes) return {};
  return datagram.subspan(relay::kHeaderBytes, datagram.size() - relay::kHeaderBytes - relay::kTagBytes);
}

// `kinds`: what is in a data datagram; nothing: it is none.
bool loses(Gray what, uint32_t size, size_t bytes, std::optional<RecordKinds> kinds) {
  using enum relay::RecordKind;
  if (what == Gray::kLarge) return bytes > size;
  if (what == Gray::kHandshake || !kinds) return what == Gray::kHandshake && !kinds;
  constexpr RecordKinds kAlive = kinds_bit(kHeartbeat) | kinds_bit(kPathProbe);
  switch (what) {
    case Gray::kMedia:
      return (*kinds & kinds_bit(kMedia)) != 0;
    case Gray::kControl:
      return (*kinds & kinds_bit(kControl)) != 0;
    case Gray::kAlive:
      return (*kinds & kAlive) != 0;
    default:
      return (*kinds & ~kAlive) != 0;
  }
}

// "1 -> 5 data: heartbeat, control 61 bytes; lost".
std::string describe(uint32_t from, uint32_t to, std::span<const uint8_t> datagram,
                     const io::WireModel::Fate& fate, bool readable) {
  std::string text = std::to_string(from + 1) + " -> " + std::to_string(to + 1);
  const auto header = relay::decode_header(datagram.data());
  if (!readable) text += " " + std::to_string(datagram.size());
  constexpr const char* kTypes[] = {" data", " msg1", " msg2", " confirm"};
  text += static_cast<size_t>(header.type) < 4 ? kTypes[static_cast<size_t>(header.type)] : " ?";
  if (header.type == relay::DatagramType::kData) {
    const auto records = readable ? records_of(datagram) : std::span<const uint8_t>{};
    for_each_record(records, [&](const relay::RecordHeader& record, std::span<const uint8_t> payload) {
      constexpr const char* kKinds[] = {"padding", "media", "feedback", "control", "heartbeat", "probe"};
      text +=
          std::string(" ") + kKinds[static_cast<size_t>(record.kind)] + " " + std::to_string(record.length);
      const bool control = record.kind == relay::RecordKind::kControl;
      if (const std::string words = control ? control_text(payload) : ""; !words.empty()) {
        text += " [" + words + "]";
      }
    });
  }
  if (fate.copies == 0) return text + "; lost";
  if (fate.copies == 2) text += "; twice";
  if (fate.corrupt) text += "; corrupted";
  return text + "; due " + std::to_string(fate.due[0].us()) + " us";
}

}  // namespace

core::UdpAddress node_address(NodeIndex node) {
  const uint32_t host = uint32_t{node} + 1;
  return core::UdpAddress::v4(198, 18, static_cast<uint8_t>(host >> 8), static_cast<uint8_t>(host), kPort);
}

Network::Network(const Options& options, EventQueue& events, Trace& trace)
    : options_(options),
      events_(events),
      trace_(trace),
      nodes_(static_cast<uint32_t>(options.nodes.size())),
      replays_(stream(options.seed, "net.replay")) {
  paths_.reserve(size_t{nodes_} * nodes_);
  for (uint32_t from = 0; from < nodes_; ++from) {
    for (uint32_t to = 0; to < nodes_; ++to) {
      io::Impairment base;
      base.delay = one_way_delay(options.nodes[from], options.nodes[to]);
      const uint64_t seed = stream_seed(options.seed, "net", uint64_t{from} * nodes_ + to);
      paths_.push_back({.model = io::WireModel(base, seed), .base = base});
    }
  }
}

void Network::carry(const core::UdpAddress& from, const core::UdpAddress& to,
                    std::span<const uint8_t> datagram, Nanos now) {
  ++sent_;
  const uint32_t source = node_at(from), target = node_at(to);
  if (source >= nodes_ || target >= nodes_) return;
  Path& p = paths_[source * nodes_ + target];
  if (p.gray && loses(p.loses, p.size, datagram.size(), kinds(datagram))) {
    ++swallowed_;
    if (trace_.printing()) trace_.line(now, describe(source, target, datagram, {}, sealed_ == nullptr));
    return;
  }
  const io::WireModel::Fate fate = p.model.pass(now, static_cast<uint32_t>(datagram.size()));
  trace_.fold(uint64_t{source} << 48 | uint64_t{target} << 32 | uint64_t{fate.copies} << 24 |
              datagram.size());
  if (trace_.printing()) trace_.line(now, describe(source, target, datagram, fate, sealed_ == nullptr));
  if (stranger_ != nullptr && fate.copies > 0)
    stranger_->sees(static_cast<NodeIndex>(source), static_cast<NodeIndex>(target), datagram, fate.due[0]);
  for (uint8_t copy = 0; copy < fate.copies; ++copy) {
    const uint32_t bit = fate.corrupt && copy == 0 ? fate.corrupt_bit : kIntact;
    launch(in_line(p, fate.due[copy]), static_cast<NodeIndex>(target), from, datagram, bit);
  }
  // A copy of what arrived; of what did not it would be the first, and news.
  if (p.impaired && options_.path.replay > 0 && fate.copies > 0 && !fate.corrupt) {
    replay(fate.due[0], static_cast<NodeIndex>(target), from, datagram);
  }
}

std::optional<RecordKinds> Network::kinds(std::span<const uint8_t> datagram) const {
  if (relay::decode_header(datagram.data()).type != relay::DatagramType::kData) return std::nullopt;
  return sealed_ != nullptr ? sealed_->kinds_of(datagram) : kinds_in(records_of(datagram));
}

void Network::prefetch(const core::UdpAddress& from, const core::UdpAddress& to) const {
  const uint32_t source = node_at(from), target = node_at(to);
  if (source < nodes_ && target < nodes_) core::prefetch_line(&paths_[source * nodes_ + target]);
}

Nanos Network::in_line(Path& p, Nanos due) {
  p.in_line = due == p.last_due ? p.in_line + 1 : 0;
  p.last_due = due;
  return due + core::from_ns(p.in_line);
}

void Network::replay(Nanos due, NodeIndex to, const core::UdpAddress& from,
                     std::span<const uint8_t> datagram) {
  if (!replays_.chance(options_.path.replay)) return;
  const Nanos late = due + Nanos{between(replays_, core::from_ms(500).ns, options_.path.replay_by.ns)};
  if (late > options_.phases.warm_up + options_.phases.faults) return;  // all is well then: it keeps nothing
  ++replayed_;
  launch(late, to, from, datagram, kIntact);
}

void Network::launch(Nanos due, NodeIndex to, const core::UdpAddress& from, std::span<const uint8_t> datagram,
                     uint32_t corrupt_bit) {
  uint32_t slot;
  if (free_.empty()) {
    slot = static_cast<uint32_t>(flights_.size());
    flights_.emplace_back();
    long_.emplace_back();
    sessions_.push_back(0);
  } else {
    slot = free_.back();
    free_.pop_back();
  }
  Flight& f = flights_[slot];
  f.from = from;
  f.to = to;
  f.length = static_cast<uint16_t>(datagram.size());
  uint8_t* bytes = f.bytes;
  if (datagram.size() > kShort) {
    long_[slot].resize(datagram.size());
    bytes = long_[slot].data();
  }
  std::memcpy(bytes, datagram.data(), datagram.size());
  if (corrupt_bit != kIntact) bytes[corrupt_bit / 8] ^= static_cast<uint8_t>(1u << corrupt_bit % 8);
  sessions_[slot] = static_cast<uint16_t>(
      datagram.size() < relay::kHeaderBytes
          ? 0
          : relay::SessionIndex::slot(relay::decode_header(datagram.data()).session_index));
  events_.push(due, EventKind::kDeliver, to, slot);
}

Network::Arrival Network::arrival(uint32_t slot) const {
  const Flight& f = flights_[slot];
  const uint8_t* bytes = f.length > kShort ? long_[slot].data() : f.bytes;
  return {f.from, node_address(f.to), {bytes, f.length}};
}

// ---- faults

void Network::apply(Path& p) {
  io::Impairment now = p.base;
  if (p.impaired) {
    const PathFaults& f = options_.path;
    now.loss = f.loss;
    now.p_good_to_bad = f.burst_enter;
    now.p_bad_to_good = f.burst_leave;
    now.loss_in_bad = 1;
    now.jitter = f.jitter;
    now.duplicate = f.duplicate;
    now.reorder = f.reorder;
    now.reorder_extra = f.reorder_by;
    now.corrupt = f.corrupt;
    now.rate_bps = f.rate_bps;
    now.queue_bytes = f.queue_bytes;
  } else {
    now.p_bad_to_good = 1;  // a burst that is under way ends
  }
  now.cut = p.cuts > 0;
  if (p.cuts == 0 && p.cut_since != core::kNever) {
    p.cut_since = core::kNever;
    p.whole_since = events_.now();
  }
  if (p.cuts > 0 && p.cut_since == core::kNever) p.cut_since = events_.now();
  p.model.set(now);
}

void Network::impair(NodeIndex from, NodeIndex to, bool on) {
  Path& p = path(from, to);
  p.impaired = on;
  if (!on) p.whole_since = events_.now();
  apply(p);
}

void Network::cut(NodeIndex from, NodeIndex to, bool on) {
  Path& p = path(from, to);
  if (on) {
    ++p.cuts;
  } else if (p.cuts > 0) {
    --p.cuts;
  }
  apply(p);
}

void Network::gray(NodeIndex from, NodeIndex to, Gray what, uint32_t size) {
  Path& p = path(from, to);
  p.gray = true;
  p.loses = what;
  p.size = size;
}

void Network::clear(NodeIndex from, NodeIndex to) {
  path(from, to).gray = false;
  path(from, to).whole_since = events_.now();
}

void Network::heal() {
  for (Path& p : paths_) {
    p.cuts = 0;
    p.gray = false;
    p.impaired = false;
    p.whole_since = events_.now();
    apply(p);
  }
}

io::WireModel::Counters Network::totals() const {
  io::WireModel::Counters sum;
  for (const Path& p : paths_) {
    const io::WireModel::Counters& c = p.model.counters();
    sum.passed += c.passed;
    sum.lost += c.lost;
    sum.duplicated += c.duplicated;
    sum.reordered += c.reordered;
    sum.corrupted += c.corrupted;
  }
  return sum;
}

}  // namespace trunkline::sim
