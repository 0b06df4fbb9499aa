// See relay/handover.h.
#include "relay/handover.h"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cstring>

#include "core/check.h"

namespace trunkline::relay {

// ---- a lane

void HandoverLane::push(const core::Packet& packet) noexcept {
  if (filled_ == slots_.size()) {
    flush();
    slots_ = ring_.claim(kBurst);
    TL_CHECK(!slots_.empty());  // I2
  }
  slots_[filled_++] = packet;
  const bool lent = home_.try_lend(packet.buffer);
  TL_CHECK(lent);
}

void HandoverLane::flush() noexcept {
  if (filled_ == 0) return;
  ring_.commit(filled_);
  slots_ = {};
  filled_ = 0;
}

void HandoverLane::give_back(std::span<const core::Packet> packets) noexcept {
  std::array<core::Buffer*, kBurst> buffers;
  const auto count = static_cast<uint32_t>(packets.size());
  for (uint32_t i = 0; i < count; ++i) buffers[i] = packets[i].buffer;
  ring_.release(count);  // before the buffers: I2
  for (uint32_t i = 0; i < count; ++i) home_.give_back(buffers[i]);
  home_.flush();
}

// ---- sizes

uint32_t Handover::share(const NodeConfig& config) noexcept {
  if (config.data_cores < 2) return 0;
  return std::bit_floor(config.limits.handover_buffers / (config.data_cores - 1));
}

// A peer may send the longest datagram of any MTU that is accepted; IPv4 leaves it the most.
uint32_t Handover::buffer_bytes(const NodeConfig& config) noexcept {
  constexpr uint32_t kIpAndUdp = 28;
  uint32_t mtu = config.mtu;
  if (const WireSetting* const setting = config.find_setting("mtu"); setting != nullptr) {
    for (const std::string& text : setting->accepted) {
      uint32_t accepted = 0;  // validated: a number
      std::from_chars(text.data(), text.data() + text.size(), accepted);
      mtu = std::max(mtu, accepted);
    }
  }
  const auto line = static_cast<uint32_t>(core::kCacheLine);
  return (mtu - kIpAndUdp + line - 1) / line * line;
}

// ---- start and end

Handover::Handover(const NodeConfig& config, core::CoreId self, core::PageSource& pages)
    : self_(self), pool_(share(config) * (config.data_cores - 1), buffer_bytes(config), pages) {
  TL_CHECK(pool_.count() > 0);
  for (uint32_t core = 0; core < config.data_cores; ++core) {
    to_.push_back(core == self.value ? nullptr : std::make_unique<HandoverLane>(pool_, share(config)));
  }
}

std::vector<std::unique_ptr<Handover>> Handover::make(const NodeConfig& config, core::PageSource& pages) {
  std::vector<std::unique_ptr<Handover>> all;
  if (config.data_cores < 2) return all;
  for (uint32_t core = 0; core < config.data_cores; ++core) {
    all.push_back(std::make_unique<Handover>(config, core::CoreId{static_cast<uint8_t>(core)}, pages));
  }
  for (const auto& giver : all) {
    for (uint32_t taker = 0; taker < all.size(); ++taker) {
      if (giver->to_[taker]) all[taker]->incoming_.push_back(giver->to_[taker].get());
    }
  }
  return all;
}

Handover::~Handover() {
  uint32_t held = 0;
  for (const auto& lane : to_) {
    if (!lane) continue;
    collect(*lane);
    TL_CHECK(lane->loans().held == lane->waiting());
    held += lane->waiting();
  }
  TL_CHECK(pool_.whereabouts() == (core::PacketPool::Whereabouts{pool_.count() - held, 0, held}));
}

// ---- the giver

bool Handover::try_give(core::CoreId to, const core::Packet& received,
                        std::span<const uint8_t> datagram) noexcept {
  HandoverLane& lane = *to_[to.value];
  if (datagram.size() > pool_.stride()) return false;
  if (lane.credit() == 0) collect(lane);
  if (lane.credit() == 0) return false;
  core::Buffer* const buffer = pool_.try_alloc();
  TL_CHECK(buffer != nullptr);  // the shares of all lanes are no more than the pool
  std::memcpy(buffer->data, datagram.data(), datagram.size());
  core::Packet packet;
  packet.data = buffer->data;
  packet.buffer = buffer;
  packet.length = static_cast<uint32_t>(datagram.size());
  packet.owner_port = received.owner_port;
  packet.owner_core = self_.value;
  packet.address = received.address;
  packet.time = received.time;
  lane.push(packet);
  unflushed_ |= 1u << to.value;
  return true;
}

void Handover::finish() noexcept {
  for (uint32_t bits = unflushed_; bits != 0; bits &= bits - 1) {
    to_[static_cast<size_t>(std::countr_zero(bits))]->flush();
  }
  lent_ |= unflushed_;
  touched_ |= unflushed_;
  unflushed_ = 0;
  for (uint32_t bits = lent_; bits != 0; bits &= bits - 1) {
    HandoverLane& lane = *to_[static_cast<size_t>(std::countr_zero(bits))];
    collect(lane);
    if (lane.loans() == core::PacketReturn<>::Loans{}) lent_ &= ~(bits & (0u - bits));
  }
}

uint64_t Handover::waiting() const noexcept {
  uint64_t waiting = 0;
  for (const auto& lane : to_) waiting += lane ? lane->waiting() : 0;
  return waiting;
}

}  // namespace trunkline::relay
