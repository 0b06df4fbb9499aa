// See impaired_port.h. Order of this file: setting up, the way in, the way out.
#include "io/impaired_port.h"

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "io/gso.h"

namespace trunkline::io {

using core::Buffer;
using core::Packet;

bool ImpairedPath::matches(const core::UdpAddress& destination) const noexcept {
  if (destination.family != to.family) return false;
  if (to.port != 0 && destination.port != to.port) return false;
  const uint32_t whole = prefix_bits / 8;
  if (std::memcmp(destination.ip, to.ip, whole) != 0) return false;
  const uint32_t rest = prefix_bits % 8;
  return rest == 0 || ((destination.ip[whole] ^ to.ip[whole]) >> (8 - rest)) == 0;
}

ImpairedPort::ImpairedPort(std::unique_ptr<Port> inner, std::vector<ImpairedPath> paths,
                           const ImpairedOptions& options)
    : inner_(std::move(inner)),
      name_("impaired(" + std::string(inner_->name()) + ")"),
      pool_(options.capacity, options.datagram_bytes, *options.pages),
      packets_(std::make_unique<Packet[]>(pool_.count())) {
  heap_.reserve(pool_.count());
  core::Rng seeds(options.seed);
  for (const ImpairedPath& path : paths) {
    TL_CHECK(path.prefix_bits <= 128);
    paths_.push_back({path, WireModel(path.impairment, seeds.next())});
  }
}

// The inner port may still hold buffers of pool_: it goes first.
ImpairedPort::~ImpairedPort() {
  inner_.reset();
}

core::Result<uint16_t> ImpairedPort::open_endpoint(const EndpointOptions& options) {
  if (pool_.count() == 0)
    return core::Error{
        0, "cannot impair: the page source had no memory for the datagrams on the way; lower capacity"};
  return inner_->open_endpoint(options);
}

std::string ImpairedPort::describe() const {
  return name_ + ": an impaired wire on " + std::to_string(paths_.size()) +
         (paths_.size() == 1 ? " path, " : " paths, ") + std::to_string(pool_.count()) +
         " datagrams on the way at most, around " + inner_->describe();
}

void ImpairedPort::set(size_t path, const Impairment& impairment) noexcept {
  TL_CHECK(path < paths_.size());
  paths_[path].model.set(impairment);
}

// ---- the way in

uint32_t ImpairedPort::transmit_burst(std::span<Packet> packets, Nanos now) noexcept {
  uint32_t taken = 0;
  while (taken < packets.size()) {
    if (Path* path = find(packets[taken].address); path != nullptr) {
      impair(packets[taken], path->model, now);
      if (Buffer* buffer = packets[taken].buffer; buffer != nullptr) buffer->pool->release(buffer);
      ++taken;
      continue;
    }
    uint32_t clean = 1;
    while (taken + clean < packets.size() && find(packets[taken + clean].address) == nullptr) ++clean;
    const uint32_t sent = inner_->transmit_burst(packets.subspan(taken, clean), now);
    taken += sent;
    if (sent < clean) break;
  }
  emit_due(now);
  copy_counters();
  return taken;
}

ImpairedPort::Path* ImpairedPort::find(const core::UdpAddress& destination) noexcept {
  for (Path& path : paths_)
    if (path.match.matches(destination)) return &path;
  return nullptr;
}

// Lets each datagram of the packet meet its fate.
void ImpairedPort::impair(const Packet& packet, WireModel& model, Nanos now) noexcept {
  const uint32_t segment = segment_bytes(packet);
  uint32_t offset = 0;
  do {
    const uint32_t length = std::min(segment, packet.length - offset);
    const WireModel::Fate fate = model.pass(now, length);
    if (fate.copies == 0)
      counters_.add(fate.queue_full ? PortCounter::impaired_overflow : PortCounter::impaired_lost);
    if (fate.copies == 2) counters_.add(PortCounter::impaired_duplicated);
    if (fate.corrupt) counters_.add(PortCounter::impaired_corrupted);
    for (uint32_t copy = 0; copy < fate.copies; ++copy)
      enqueue(packet, packet.data + offset, length, fate, copy);
    offset += length;
  } while (offset < packet.length);
}

void ImpairedPort::enqueue(const Packet& packet, const uint8_t* data, uint32_t length,
                           const WireModel::Fate& fate, uint32_t copy) noexcept {
  Buffer* buffer = pool_.try_alloc();
  if (buffer == nullptr || length > buffer->capacity) {
    if (buffer != nullptr) pool_.release(buffer);
    counters_.add(PortCounter::impaired_overflow);
    return;
  }
  if (length != 0) std::memcpy(buffer->data, data, length);
  if (copy == 0 && fate.corrupt)
    buffer->data[fate.corrupt_bit / 8] ^= static_cast<uint8_t>(1u << (fate.corrupt_bit % 8));
  Packet& waiting = packets_[buffer->index];
  waiting = packet;
  waiting.buffer = buffer;
  waiting.data = buffer->data;
  waiting.length = length;
  waiting.segment_size = 0;
  waiting.time = fate.due[copy];
  heap_.push_back({fate.due[copy], sequence_++, buffer->index});
  std::push_heap(heap_.begin(), heap_.end());
}

// ---- the way out

void ImpairedPort::emit_due(Nanos now) noexcept {
  while (!heap_.empty() && heap_.front().due <= now) {
    Packet burst[kMaxBurst];
    Waiting taken[kMaxBurst];
    uint32_t count = 0;
    while (count < kMaxBurst && !heap_.empty() && heap_.front().due <= now) {
      taken[count] = heap_.front();
      burst[count] = packets_[taken[count].buffer];
      ++count;
      std::pop_heap(heap_.begin(), heap_.end());
      heap_.pop_back();
    }
    const uint32_t sent = inner_->transmit_burst({burst, count}, now);
    if (sent == count) continue;
    for (uint32_t i = sent; i < count; ++i) {  // the inner port is full: they keep their place
      heap_.push_back(taken[i]);
      std::push_heap(heap_.begin(), heap_.end());
    }
    return;
  }
}

uint32_t ImpairedPort::receive_burst(std::span<Packet> out, Nanos now) noexcept {
  const uint32_t got = inner_->receive_burst(out, now);
  copy_counters();
  return got;
}

void ImpairedPort::poll(Nanos now) noexcept {
  emit_due(now);
  inner_->poll(now);
  copy_counters();
}

Nanos ImpairedPort::next_due() const noexcept {
  return heap_.empty() ? inner_->next_due() : std::min(heap_.front().due, inner_->next_due());
}

void ImpairedPort::wait(SleepUntil until, Nanos bound) noexcept {
  inner_->wait(until, bound);
  copy_counters();
}

// The inner port never counts impaired_ ones, and we count nothing else: so the sum is a copy.
void ImpairedPort::copy_counters() noexcept {
  for (uint32_t i = 0; i < static_cast<uint32_t>(PortCounter::impaired_lost); ++i) {
    const auto which = static_cast<PortCounter>(i);
    counters_.add(which, inner_->counters().value(which) - counters_.value(which));
  }
}

}  // namespace trunkline::io
