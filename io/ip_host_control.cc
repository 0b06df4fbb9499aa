// What comes in for the host itself: ARP, ICMP echo, neighbour discovery. Each frame is judged whole before
// it has any effect; answers are built at once and wait in a small ring for take_frame(). They go back to the
// station that the question came from, without asking for its address: it is on this link, and a question
// from further away came through its router.
#include <cstring>

#include "io/ip_host.h"

namespace trunkline::io {

using namespace frame;

// --- ARP (RFC 826)
// --------------------------------------------------------------------------------------------

IpHost::Received IpHost::receive_arp(const uint8_t* frame, uint32_t length, Nanos now) noexcept {
  if (length < kEthernetBytes + kArpBytes) return dropped(IpHostCounter::rx_short);
  const uint8_t* const arp = frame + kEthernetBytes;
  const uint16_t operation = load_be16(arp + kArpOperation);
  const MacAddress sender = MacAddress::at(arp + kArpSenderMac);
  if (std::memcmp(arp, kArpPrefix, sizeof kArpPrefix) != 0 || !sender.is_station() || sender == mac_ ||
      (operation != kArpRequest && operation != kArpReply))
    return dropped(IpHostCounter::rx_bad_arp);
  // RFC 5227 section 2.4. The address stays ours: giving it up would end everybody's media at a stranger's
  // word; the operator is told by the counter.
  if (is_ours4(arp + kArpSenderIp)) return dropped(IpHostCounter::rx_address_conflict);

  const bool for_us = is_ours4(arp + kArpTargetIp);
  const core::UdpAddress address = address4(arp + kArpSenderIp);
  // A probe (RFC 5227 section 2.1.1) comes from 0.0.0.0, which is on no link: answered, and not learnt from.
  if (is_on_link(address)) {
    const bool to_us = MacAddress::at(frame) == mac_;
    const bool announced = std::memcmp(arp + kArpSenderIp, arp + kArpTargetIp, 4) == 0;
    const NeighbourTable::Evidence evidence{operation == kArpReply && for_us && to_us, true};
    // "If the pair is already in my table, update it; if I am the target, add it": but what did not ask for
    // us is no reason to know it, and no stranger takes a place that is in use.
    const bool may_add = operation == kArpRequest && for_us;
    neighbours_.hear(address, &sender, evidence,
                     may_add ? NeighbourTable::Create::kIfFree : NeighbourTable::Create::kNo, now);
    if (evidence.answer || announced) tell(address, sender, evidence.answer);
  }
  if (operation == kArpRequest && for_us) answer_arp(arp);
  return handled();
}

void IpHost::answer_arp(const uint8_t* arp) noexcept {
  uint8_t* const out = answer_slot(kEthernetBytes + kArpBytes);
  if (out == nullptr) return;
  const MacAddress asker = MacAddress::at(arp + kArpSenderMac);
  write_arp(write_ethernet(out, asker, mac_, kTypeArp), kArpReply, mac_, arp + kArpTargetIp, asker,
            arp + kArpSenderIp);
  counters_.add(IpHostCounter::arp_answers);
}

// --- ICMP (RFC 792)
// -------------------------------------------------------------------------------------------

IpHost::Received IpHost::receive_icmp(const uint8_t* frame, const uint8_t* icmp, uint32_t length) noexcept {
  if (length < kIcmpBytes || !checksum_is_right(sum_words(icmp, length)) ||
      !MacAddress::at(frame + 6).is_station())
    return dropped(IpHostCounter::rx_bad_icmp);
  switch (icmp[0]) {
    case kIcmpEcho:
      answer_echo4(frame, icmp, length);
      return handled();
    case kIcmpUnreachable:
      // RFC 1191 section 3. Datagrams are as long as the configuration says: nothing is adapted here.
      return dropped(icmp[1] == kIcmpCodeTooBig ? IpHostCounter::rx_too_big : IpHostCounter::rx_unreachable);
    default:
      return dropped(IpHostCounter::rx_other_icmp);
  }
}

// The same bytes with the type changed, from the address that was asked (RFC 1122 section 3.2.2.6).
void IpHost::answer_echo4(const uint8_t* frame, const uint8_t* icmp, uint32_t length) noexcept {
  uint8_t* const out = answer_slot(kEthernetBytes + kIpv4Bytes + length);
  if (out == nullptr) return;
  const uint8_t* const asked = frame + kEthernetBytes;
  uint8_t* const ip = write_ethernet(out, MacAddress::at(frame + 6), mac_, kTypeIpv4);
  uint8_t* const reply = write_ipv4(ip, length, kProtocolIcmp, asked + kIpv4Destination, asked + kIpv4Source);
  std::memcpy(reply, icmp, length);
  reply[0] = kIcmpEchoReply;
  store_raw16(reply + kIcmpChecksum, 0);
  store_raw16(reply + kIcmpChecksum, checksum_of(sum_words(reply, length)));
  counters_.add(IpHostCounter::echo_answers);
}

// --- ICMPv6 (RFC 4443) and neighbour discovery (RFC 4861)
// -----------------------------------------------------

namespace {

enum class Option : uint8_t { kAbsent, kPresent, kMalformed };

// The link-layer address option of the given type. Options are read to their end: one of length zero makes
// the whole message invalid (RFC 4861 section 4.6).
Option find_option(const uint8_t* nd, uint32_t length, uint8_t type, MacAddress& mac) noexcept {
  Option found = Option::kAbsent;
  for (uint32_t at = kNdBytes; at < length;) {
    if (length - at < 2) return Option::kMalformed;
    const uint32_t bytes = nd[at + 1] * 8u;
    if (bytes == 0 || bytes > length - at) return Option::kMalformed;
    if (nd[at] == type && found == Option::kAbsent) {
      mac = MacAddress::at(nd + at + 2);
      if (!mac.is_station()) return Option::kMalformed;
      found = Option::kPresent;
    }
    at += bytes;
  }
  return found;
}

}  // namespace

IpHost::Received IpHost::receive_icmpv6(const uint8_t* frame, const uint8_t* icmp, uint32_t length,
                                        bool to_us, Nanos now) noexcept {
  const uint8_t* const ip = frame + kEthernetBytes;
  const uint8_t* const destination = ip + kIpv6Destination;
  const bool for_us = is_ours6(destination);
  if (!for_us && !is_group_of_ours6(destination)) return dropped(IpHostCounter::rx_other_address);
  if (length < kIcmpBytes ||
      !checksum_is_right(pseudo_sum6(ip, kProtocolIcmpv6, length) + sum_words(icmp, length)) ||
      !MacAddress::at(frame + 6).is_station())
    return dropped(IpHostCounter::rx_bad_icmp);
  switch (icmp[0]) {
    case kIcmpv6Echo:
      // RFC 4443 section 4.2 leaves it to the node whether it answers what was sent to a group.
      if (!for_us || !to_us || is_zero16(ip + kIpv6Source)) return dropped(IpHostCounter::rx_other_icmp);
      answer_echo6(frame, icmp, length);
      return handled();
    case kIcmpv6Unreachable:
      return dropped(IpHostCounter::rx_unreachable);
    case kIcmpv6TooBig:
      return dropped(IpHostCounter::rx_too_big);
    case kIcmpv6RouterAdvertisement:
      return dropped(IpHostCounter::rx_router_advertisement);
    case kIcmpv6Solicitation:
    case kIcmpv6Advertisement:
      // RFC 4861 sections 7.1.1 and 7.1.2: a hop limit of 255 proves that no router has forwarded it.
      if (ip[kIpv6HopLimit] != kNeighbourHopLimit || icmp[1] != 0 || length < kNdBytes ||
          icmp[kNdTarget] == 0xff)
        return dropped(IpHostCounter::rx_bad_icmp);
      return icmp[0] == kIcmpv6Solicitation ? receive_solicitation(frame, icmp, length, now)
                                            : receive_advertisement(frame, icmp, length, now);
    default:
      return dropped(IpHostCounter::rx_other_icmp);
  }
}

void IpHost::answer_echo6(const uint8_t* frame, const uint8_t* icmp, uint32_t length) noexcept {
  uint8_t* const out = answer_slot(kEthernetBytes + kIpv6Bytes + length);
  if (out == nullptr) return;
  const uint8_t* const asked = frame + kEthernetBytes;
  uint8_t* const ip = write_ethernet(out, MacAddress::at(frame + 6), mac_, kTypeIpv6);
  uint8_t* const reply =
      write_ipv6(ip, length, kProtocolIcmpv6, kHopLimit, asked + kIpv6Destination, asked + kIpv6Source);
  std::memcpy(reply, icmp, length);
  reply[0] = kIcmpv6EchoReply;
  store_raw16(reply + kIcmpChecksum, 0);
  store_raw16(reply + kIcmpChecksum,
              checksum_of(pseudo_sum6(ip, kProtocolIcmpv6, length) + sum_words(reply, length)));
  counters_.add(IpHostCounter::echo_answers);
}

// RFC 4861 section 7.2.3.
IpHost::Received IpHost::receive_solicitation(const uint8_t* frame, const uint8_t* nd, uint32_t length,
                                              Nanos now) noexcept {
  const uint8_t* const ip = frame + kEthernetBytes;
  const uint8_t* const source = ip + kIpv6Source;
  MacAddress mac = MacAddress::at(frame + 6);
  const Option option = find_option(nd, length, kNdSourceMac, mac);
  // Who has no address yet asks whether ours is free (RFC 4862 section 5.4): in its group, saying nothing of
  // itself.
  const bool nameless = is_zero16(source);
  const bool to_group = std::memcmp(ip + kIpv6Destination, kSolicitedNode, sizeof kSolicitedNode) == 0;
  if (option == Option::kMalformed || (nameless && (option == Option::kPresent || !to_group)))
    return dropped(IpHostCounter::rx_bad_icmp);
  if (!is_ours6(nd + kNdTarget)) return dropped(IpHostCounter::rx_other_address);
  const core::UdpAddress address = address6(source);
  if (option == Option::kPresent && is_on_link(address))
    neighbours_.hear(address, &mac, {false, true}, NeighbourTable::Create::kIfFree, now);
  answer_solicitation(frame, nd + kNdTarget, mac);
  return handled();
}

// RFC 4861 section 7.2.4: to the asker, solicited; to all nodes, if it has no address.
void IpHost::answer_solicitation(const uint8_t* frame, const uint8_t* target,
                                 const MacAddress& mac) noexcept {
  uint8_t* const out = answer_slot(kNeighbourFrameBytes);
  if (out == nullptr) return;
  const uint8_t* const asker = frame + kEthernetBytes + kIpv6Source;
  const bool nameless = is_zero16(asker);
  write_advertisement(out, mac_, target, nameless ? kAllNodes : asker, nameless ? group_mac(kAllNodes) : mac,
                      nameless ? 0 : kNdSolicited);
  counters_.add(IpHostCounter::nd_answers);
}

// RFC 4861 section 7.2.5.
IpHost::Received IpHost::receive_advertisement(const uint8_t* frame, const uint8_t* nd, uint32_t length,
                                               Nanos now) noexcept {
  const uint8_t* const target = nd + kNdTarget;
  MacAddress mac;
  const Option option = find_option(nd, length, kNdTargetMac, mac);
  const bool solicited = (nd[kNdFlags] & kNdSolicited) != 0;
  const bool overrides = (nd[kNdFlags] & kNdOverride) != 0;
  if (option == Option::kMalformed || (solicited && frame[kEthernetBytes + kIpv6Destination] == 0xff))
    return dropped(IpHostCounter::rx_bad_icmp);
  if (is_ours6(target)) return dropped(IpHostCounter::rx_address_conflict);
  const core::UdpAddress address = address6(target);
  if (!is_on_link(address)) return dropped(IpHostCounter::rx_other_address);
  neighbours_.hear(address, option == Option::kPresent ? &mac : nullptr, {solicited, overrides},
                   NeighbourTable::Create::kNo, now);
  // An answer to a request that another queue sent to this neighbour alone need not say where it is: we may
  // know, and it has just spoken from there.
  if (solicited) {
    const uint32_t index = neighbours_.find(address);
    if (option == Option::kAbsent) mac = MacAddress::at(frame + 6);
    if (index != NeighbourTable::kNone && neighbours_.at(index).usable()) mac = neighbours_.at(index).mac;
  }
  if (solicited || (overrides && option == Option::kPresent)) tell(address, mac, solicited);
  return handled();
}

// --- neighbours, for us and for other queues
// ------------------------------------------------------------------

void IpHost::tell(const core::UdpAddress& address, const MacAddress& mac, bool answered) noexcept {
  if (!share_neighbours_) return;
  if (news_tail_ - news_head_ == kNews) {
    counters_.add(IpHostCounter::news_dropped);
    return;
  }
  news_[news_tail_++ % kNews] = {address, mac, answered};
}

bool IpHost::take_learnt(Neighbour& neighbour) noexcept {
  if (news_head_ == news_tail_) return false;
  neighbour = news_[news_head_++ % kNews];
  return true;
}

void IpHost::learn(const Neighbour& neighbour, Nanos now) noexcept {
  if (!neighbour.mac.is_station() || !is_on_link(neighbour.address)) return;
  neighbours_.hear(neighbour.address, &neighbour.mac, {neighbour.answered, true},
                   NeighbourTable::Create::kIfFree, now);
}

// Room for an answer, which is then to be written; nullptr: counted.
uint8_t* IpHost::answer_slot(uint32_t length) noexcept {
  if (answers_tail_ - answers_head_ == kAnswers || length > frame_bytes_) {
    counters_.add(IpHostCounter::answers_dropped);
    return nullptr;
  }
  const uint32_t slot = answers_tail_++ % kAnswers;
  answer_bytes_[slot] = length;
  return answers_.get() + size_t{slot} * frame_bytes_;
}

}  // namespace trunkline::io
