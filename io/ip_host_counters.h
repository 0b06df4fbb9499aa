// What an IP host has done and refused: one list that makes the fields, their names and the operator's texts.
// Written by the owning core, readable from any thread.
//
// They add up, which tests hold them to. Frames given to receive() = rx_datagrams + rx_handled + the sum of
// the drops whose names begin with rx_. Datagrams taken by hold() = held_sent + held_replaced + held_expired
// + those that still wait.
#pragma once

#include <cstdint>

#include "core/counters.h"

namespace trunkline::io {

#define TRUNKLINE_IP_HOST_COUNTERS(X)                                                             \
  X(rx_datagrams, "UDP datagrams for us")                                                         \
  X(rx_handled, "frames that were for the host itself: ARP, ICMP, neighbour discovery")           \
  X(rx_short, "drop: frame shorter than its headers")                                             \
  X(rx_tagged, "drop: frame with a VLAN tag")                                                     \
  X(rx_other_mac, "drop: frame for another station, or a group we are not in")                    \
  X(rx_other_type, "drop: neither IPv4, IPv6 nor ARP")                                            \
  X(rx_broadcast, "drop: IP packet that was sent to everybody or to a group")                     \
  X(rx_bad_ip, "drop: IP header with a wrong version or length")                                  \
  X(rx_bad_ip_checksum, "drop: IPv4 header checksum wrong")                                       \
  X(rx_fragment, "drop: fragment; nothing is reassembled")                                        \
  X(rx_extension, "drop: IPv6 extension header")                                                  \
  X(rx_other_address, "drop: IP packet for an address that is not ours")                          \
  X(rx_bad_source, "drop: IP packet from an address that cannot be one host's, or is ours")       \
  X(rx_other_protocol, "drop: neither UDP nor ICMP")                                              \
  X(rx_bad_udp_length, "drop: UDP length shorter than its header or longer than the packet")      \
  X(rx_bad_udp_checksum, "drop: UDP checksum wrong, or none over IPv6")                           \
  X(rx_bad_arp, "drop: ARP not for IPv4 over Ethernet, or from no station")                       \
  X(rx_address_conflict, "drop: another station says that an address of ours is its own")         \
  X(rx_bad_icmp, "drop: ICMP or neighbour discovery with a wrong checksum, length, or origin")    \
  X(rx_unreachable, "drop: ICMP, a destination of ours is unreachable")                           \
  X(rx_too_big, "drop: ICMP, a packet of ours was too big for a link on its way: lower the MTU")  \
  X(rx_router_advertisement, "drop: router advertisement; addresses and gateways are configured") \
  X(rx_other_icmp, "drop: ICMP of a kind that is not handled")                                    \
  X(tx_datagrams, "datagrams that were given headers")                                            \
  X(tx_too_long, "drop: datagram longer than the MTU allows")                                     \
  X(tx_bad_source, "drop: datagram from an address that is not ours")                             \
  X(tx_no_route, "drop: destination neither on a link of ours nor behind a gateway")              \
  X(tx_unresolved, "datagrams whose neighbour was being asked for")                               \
  X(tx_neighbour_failed, "drop: the neighbour did not answer a moment ago")                       \
  X(tx_table_full, "drop: no place for another neighbour")                                        \
  X(held, "datagrams kept until their neighbour answers")                                         \
  X(held_sent, "datagrams sent when their neighbour had answered")                                \
  X(held_replaced, "drop: a held datagram gave way to a newer one for the same neighbour")        \
  X(held_expired, "drop: a held datagram whose neighbour did not answer")                         \
  X(hold_refused, "drop: no neighbour to wait for, or no room to hold another datagram")          \
  X(requests, "ARP requests and neighbour solicitations sent")                                    \
  X(resolutions, "neighbours that became known by an answer")                                     \
  X(resolutions_failed, "neighbours that did not answer three requests")                          \
  X(neighbours_lost, "known neighbours that did not answer when asked again")                     \
  X(neighbours_moved, "neighbours that changed their MAC address")                                \
  X(neighbours_replaced, "unused neighbours that gave their place to another")                    \
  X(announcements, "announcements of our own addresses")                                          \
  X(arp_answers, "ARP replies")                                                                   \
  X(nd_answers, "neighbour advertisements that answer")                                           \
  X(echo_answers, "ICMP echo replies")                                                            \
  X(answers_dropped, "drop: answers for which the queue had no room")                             \
  X(news_dropped, "drop: neighbours that other queues could not be told of in time")

enum class IpHostCounter : uint32_t {
#define X(name, text) name,
  TRUNKLINE_IP_HOST_COUNTERS(X)
#undef X
      kCount
};
const char* ip_host_counter_name(IpHostCounter) noexcept;
const char* ip_host_counter_text(IpHostCounter) noexcept;

using IpHostCounters = core::CounterSet<IpHostCounter, static_cast<std::size_t>(IpHostCounter::kCount)>;

}  // namespace trunkline::io
