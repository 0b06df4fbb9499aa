// What the host itself sends, in this order: announcements and requests first, since datagrams wait for their
// answers, and no stranger can cause them; then the datagrams that were held; then answers to others.
#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "io/ip_host.h"

namespace trunkline::io {

using namespace frame;

void IpHost::poll(Nanos now) noexcept {
  neighbours_.poll(now);
  if (now < announce_due_) return;
  announce_next_ = 0;
  --announce_rounds_;
  announce_due_ = announce_rounds_ > 0 ? now + kAnnounceInterval : core::kNever;
}

Nanos IpHost::next_due() const noexcept {
  return std::min(neighbours_.next_due(), announce_due_);
}

uint32_t IpHost::take_frame(std::span<uint8_t> into, Nanos now) noexcept {
  TL_CHECK(into.size() >= frame_bytes_);
  if (!resolved_elsewhere_) {
    if (const uint32_t length = take_announcement(into.data())) return length;
    if (const uint32_t length = take_request(into.data())) return length;
  }
  if (const uint32_t length = take_held(into.data(), now)) return length;
  return resolved_elsewhere_ ? 0 : take_answer(into.data());
}

// So that switches and neighbours that knew another station by our address know us: an ARP announcement (RFC
// 5227 section 2.3), an unsolicited advertisement that overrides (RFC 4861 section 7.2.6).
uint32_t IpHost::take_announcement(uint8_t* into) noexcept {
  if (announce_next_ >= own_count_) return 0;
  const core::UdpAddress& own = own_[announce_next_++].address;
  counters_.add(IpHostCounter::announcements);
  if (own.family == 4) {
    write_arp(write_ethernet(into, MacAddress::broadcast(), mac_, kTypeArp), kArpRequest, mac_, own.ip, {},
              own.ip);
    return kEthernetBytes + kArpBytes;
  }
  write_advertisement(into, mac_, own.ip, kAllNodes, group_mac(kAllNodes), 0);
  return kNeighbourFrameBytes;
}

// To everybody for an unknown neighbour (IPv6: to everybody in its group), to a known one alone (RFC 1122
// section 2.3.2.1 (2), RFC 4861 sections 7.2.2 and 7.3.3).
uint32_t IpHost::take_request(uint8_t* into) noexcept {
  const uint32_t index = neighbours_.take_request();
  if (index == NeighbourTable::kNone) return 0;
  const NeighbourTable::Entry& neighbour = neighbours_.at(index);
  const bool known = neighbour.usable();
  const uint8_t* const target = neighbour.address.ip;
  const uint8_t* const source = own_[neighbour.source].address.ip;
  if (neighbour.address.family == 4) {
    const MacAddress to = known ? neighbour.mac : MacAddress::broadcast();
    write_arp(write_ethernet(into, to, mac_, kTypeArp), kArpRequest, mac_, source, {}, target);
    return kEthernetBytes + kArpBytes;
  }
  uint8_t group[16];
  solicited_node(target, group);
  uint8_t* const ip = write_ethernet(into, known ? neighbour.mac : group_mac(group), mac_, kTypeIpv6);
  write_ipv6(ip, kNeighbourBytes, kProtocolIcmpv6, kNeighbourHopLimit, source, known ? target : group);
  write_neighbour_message(ip, kIcmpv6Solicitation, 0, target, mac_);
  return kNeighbourFrameBytes;
}

bool IpHost::take_wanted(core::UdpAddress& neighbour) noexcept {
  if (!resolved_elsewhere_) return false;
  const uint32_t index = neighbours_.take_request();
  if (index == NeighbourTable::kNone) return false;
  neighbour = neighbours_.at(index).address;
  return true;
}

uint32_t IpHost::take_answer(uint8_t* into) noexcept {
  if (answers_head_ == answers_tail_) return 0;
  const uint32_t slot = answers_head_++ % kAnswers;
  std::memcpy(into, answers_.get() + size_t{slot} * frame_bytes_, answer_bytes_[slot]);
  return answer_bytes_[slot];
}

// --- datagrams that wait for their neighbour
// ------------------------------------------------------------------

bool IpHost::hold(const uint8_t* payload, uint32_t length, const core::UdpAddress& from,
                  const core::UdpAddress& to) noexcept {
  Route route;
  IpHostCounter refusal{};
  const bool routed = length <= max_payload(to) && find_route(from, to, route, refusal);
  const uint32_t index = routed ? neighbours_.find(route.next_hop) : NeighbourTable::kNone;
  Held* place = nullptr;
  if (index != NeighbourTable::kNone && neighbours_.at(index).state != NeighbourTable::State::kFailed)
    place = held_place(route.next_hop);
  if (place == nullptr) {
    counters_.add(IpHostCounter::hold_refused);
    return false;
  }
  if (place->next_hop.family != 0) {
    counters_.add(IpHostCounter::held_replaced);
  } else {
    ++held_count_;
  }
  *place = {route.next_hop, from, to, length};
  if (length > 0) std::memcpy(bytes_of(*place), payload, length);
  held_seen_ = 0;
  counters_.add(IpHostCounter::held);
  return true;
}

// The place of what already waits for the same neighbour, else a free one, else nullptr.
IpHost::Held* IpHost::held_place(const core::UdpAddress& next_hop) noexcept {
  Held* free = nullptr;
  for (uint32_t i = 0; i < max_held_; ++i) {
    Held& held = held_[i];
    if (same(held.next_hop, next_hop)) return &held;
    if (free == nullptr && held.next_hop.family == 0) free = &held;
  }
  return free;
}

uint8_t* IpHost::bytes_of(const Held& held) noexcept {
  return held_bytes_.get() + static_cast<size_t>(&held - held_.get()) * mtu_;
}

// Looks at them only when some neighbour has changed since they were last looked at.
uint32_t IpHost::take_held(uint8_t* into, Nanos now) noexcept {
  if (held_count_ == 0 || held_seen_ == neighbours_.changes()) return 0;
  for (uint32_t i = 0; i < max_held_; ++i) {
    Held& held = held_[i];
    if (held.next_hop.family == 0) continue;
    const uint32_t index = neighbours_.find(held.next_hop);
    if (index != NeighbourTable::kNone && neighbours_.at(index).state == NeighbourTable::State::kIncomplete)
      continue;
    held.next_hop.family = 0;
    --held_count_;
    if (const uint32_t length = send_held(held, index, into, now)) return length;
  }
  held_seen_ = neighbours_.changes();
  return 0;
}

// 0: its neighbour did not answer, which is counted. Headers are complete here, whatever the device could do.
uint32_t IpHost::send_held(const Held& held, uint32_t neighbour, uint8_t* into, Nanos now) noexcept {
  Path& path = path_of(held.from, held.to);
  if (neighbour == NeighbourTable::kNone || !neighbours_.at(neighbour).usable() ||
      !make_path(path, held.from, held.to, now)) {
    counters_.add(IpHostCounter::held_expired);
    return 0;
  }
  counters_.add(IpHostCounter::held_sent);
  uint8_t* const payload = into + path.headers;
  if (held.length > 0) std::memcpy(payload, bytes_of(held), held.length);
  const bool none = held.to.family == 4 && udp_v4_ == UdpChecksum::kNone;
  return held.length +
         fill_in(path, payload, held.length, none ? UdpChecksum::kNone : UdpChecksum::kFull, true);
}

}  // namespace trunkline::io
