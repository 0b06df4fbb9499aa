// IpHost: an IP host for a network device that the process owns itself. What a kernel would do between the
// device and a UDP socket, and nothing more: Ethernet, ARP, IPv4, IPv6, neighbour discovery, ICMP echo, UDP.
//
// The idea: sans-IO. Frames and time come in as arguments, frames go out into the caller's memory; there is
// no device, clock, thread or blocking call inside, and nothing is allocated after construction. Whatever
// bytes come, each frame is a datagram for us, was handled here, or is a drop with a counter that says why.
//
// Sending is prepared once per pair of addresses: source, route, neighbour and checksums' constant parts are
// kept as ready-made headers, and a datagram's are a copy with four fields filled in. What makes them wrong
// (a neighbour that moved, or does not answer) changes its entry's generation in the table
// (neighbour_table.h).
//
// What it does not do, on purpose: fragments (the wire has none), routing between links, DHCP, router
// discovery and duplicate address detection (addresses and gateways are configured; somebody else with an
// address of ours is counted), port unreachable messages (the port counts), VLAN tags, multicast listener
// reports (RFC 3810: a switch that forwards groups only where they were reported must know ours otherwise).
//
// One data core owns it, on its thread; counters() may be read from any. Cost per datagram, whatever its
// length, on Zen 4 at 2.6 GHz: 7 ns out, 10 ns in (BM_IpHost_WriteHeaders, BM_IpHost_Receive, checksum:0);
// where no device does checksums, some 4 ns per 100 bytes more (checksum:1).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/hash.h"
#include "core/result.h"
#include "core/time.h"
#include "core/udp_address.h"
#include "io/interface_address.h"
#include "io/ip_frames.h"
#include "io/ip_host_counters.h"
#include "io/neighbour_table.h"

namespace trunkline::io {

struct IpHostOptions {
  MacAddress mac;
  std::vector<InterfaceAddress> addresses;  // at least one, at most IpHost::kMaxAddresses
  core::UdpAddress gateway_v4;              // family 0: none; port 0
  core::UdpAddress gateway_v6;              // may be link-local
  uint32_t mtu = 1500;                      // bytes of the longest IP packet
  uint32_t max_neighbours = 256;            // 64 bytes each
  uint32_t max_held = 32;                   // datagrams that wait for neighbours; one MTU of memory each
  core::HashKey hash_key;                   // secret: strangers choose neighbours' addresses
  bool share_neighbours = false;            // somebody calls take_learnt()
  // A kernel beside us asks for neighbours and speaks for our addresses: no frame of the host's own but held
  // datagrams. Whom it wants to know take_wanted() says, and learn() is told.
  bool resolved_elsewhere = false;
  // False where a sender leaves checksums to an offload that nobody does, as with veth.
  bool verify_udp_checksum = true;
  // False: datagrams over IPv4 carry none, which RFC 768 allows. Over IPv6 they always do (RFC 8200 section
  // 8.1).
  bool udp_checksum_ipv4 = true;
  // The device fills them in. UDP's field then holds the pseudo-header's sum, not complemented, and IPv4's
  // zero, as network devices expect.
  bool udp_checksum_offload = false;
  bool ip_checksum_offload = false;
};

class IpHost {
 public:
  static constexpr uint32_t kMaxHeaderBytes = frame::kV6Headers;  // 62: written in front of a payload
  static constexpr uint32_t kMaxAddresses = 8;
  // IPv6 asks 1280 of every link (RFC 8200 section 5); frames longer than 9216 no device takes.
  static constexpr uint32_t kMinMtu = 1280;
  static constexpr uint32_t kMaxMtu = 9216;
  static constexpr uint32_t kMaxNeighbours = 1u << 16;
  static constexpr uint32_t kMaxHeld = 1024;

  struct Received {
    enum class Kind : uint8_t {
      kDatagram,  // the other fields say which
      kHandled,   // was for the host itself; the frame is not needed any more
      kDropped,   // counted
    };
    Kind kind = Kind::kDropped;
    uint8_t* payload = nullptr;  // within the frame
    uint32_t length = 0;         // bytes at payload; zero is a datagram too
    core::UdpAddress source{};
    core::UdpAddress
        destination{};  // an address of ours; whether anybody has the port is the caller's business
  };

  struct Neighbour {
    core::UdpAddress address;  // port 0
    MacAddress mac;
    bool answered = true;  // it answered a question, so it is there; false: it only spoke of itself
  };

  // What is wrong with the options, naming the one; for whoever reads a configuration.
  static core::Result<void> check(const IpHostOptions& options);
  // Allocates everything. Contract: check(options) finds nothing.
  explicit IpHost(const IpHostOptions& options);
  IpHost(const IpHost&) = delete;
  IpHost& operator=(const IpHost&) = delete;

  // One Ethernet frame from the device, without its check sequence, `length` bytes at any alignment; any
  // bytes may come. device_checked: the device has found the IPv4 and UDP checksums right. The frame stays
  // the caller's and is not written to.
  Received receive(uint8_t* frame, uint32_t length, bool device_checked, Nanos now) noexcept;

  // As receive(), where a frame's headers are those of a datagram that receive() gave lately, but for
  // lengths, checksums and what routers change on the way. Most are; it takes a fifth of the time. payload
  // nullptr: this one is not, or is not whole; receive() judges it. What is given is counted by
  // count_repeats(), once a burst. IPv4 without options.
  struct Repeat {
    uint8_t* payload = nullptr;
    uint32_t length = 0;
    uint32_t place = 0;  // the one that remember() gave for the earlier one: who sent it, to whom
  };
  static constexpr uint32_t kPlaces = 16;  // senders that take turns; more of them throw each other out
  Repeat receive_repeat(uint8_t* frame, uint32_t length, bool device_checked) const noexcept;
  // The frame of a datagram that receive() gave. Returns its place, kPlaces if it is not of a kind that is
  // remembered.
  uint32_t remember(const uint8_t* frame) noexcept;
  void count_repeats(uint32_t count) noexcept { counters_.add(IpHostCounter::rx_datagrams, count); }

  // Writes Ethernet, IP and UDP headers directly in front of a UDP payload, into at most kMaxHeaderBytes
  // there; returns their bytes (42 or 62). 0: not now, or not at all, and the counter says why; then hold()
  // keeps what only its neighbour is missing for. `from` is an address of ours, or unspecified (0.0.0.0, ::)
  // with a port: the host chooses. Both are of one family.
  uint32_t write_headers(uint8_t* payload, uint32_t length, const core::UdpAddress& from,
                         const core::UdpAddress& to, Nanos now) noexcept;
  // The same in two steps, for several datagrams that go from one address to another: find_path(), and for
  // each of them write_headers(). nullptr is 0. A path is good until the next call of anything but
  // write_headers().
  struct Path;
  Path* find_path(const core::UdpAddress& from, const core::UdpAddress& to, Nanos now) noexcept;
  uint32_t write_headers(const Path& path, uint8_t* payload, uint32_t length) noexcept;
  // After 0 from write_headers(): keeps a copy, to be sent by take_frame() when the neighbour answers; one
  // per neighbour, the newest (RFC 1122 section 2.3.2.2). False: not kept, counted.
  bool hold(const uint8_t* payload, uint32_t length, const core::UdpAddress& from,
            const core::UdpAddress& to) noexcept;

  // The next frame that the host itself sends: announcements and requests, held datagrams, answers. Returns
  // its bytes, 0 when there is none (left). To be called until then, after poll() and whatever was received.
  // Their checksums are complete: no offload is asked of the device. Contract: `into` has max_frame_bytes().
  uint32_t take_frame(std::span<uint8_t> into, Nanos now) noexcept;
  uint32_t max_frame_bytes() const noexcept { return frame_bytes_; }
  // Work that is due: announcing, asking again, giving up. Once per run of the loop; next_due() says when it
  // is needed without traffic.
  void poll(Nanos now) noexcept;
  Nanos next_due() const noexcept;

  // Where several queues of one device have an IpHost each, answers come to one of them: what it learns is
  // taken here and told to the others by learn(), which also serves a kernel that resolves for us. learn()
  // updates and completes neighbours; one that is not known takes a free place at most.
  bool take_learnt(Neighbour& neighbour) noexcept;
  void learn(const Neighbour& neighbour, Nanos now) noexcept;

  // With resolved_elsewhere: the next neighbour (port 0) that is to be asked for, again each second up to
  // three times; false: none.
  bool take_wanted(core::UdpAddress& neighbour) noexcept;

  const IpHostCounters& counters() const noexcept { return counters_; }

 private:
  // 256 places for the destinations of one core, which are tens, so that few share one; only those in use
  // take room in the caches.
  static constexpr uint32_t kPathBits = 8;

  // An address of ours as bytes, with the groups that IPv6 has for it.
  struct Own {
    core::UdpAddress address;
    uint8_t prefix_length = 0;
    uint8_t group[16]{};   // IPv6: its solicited-node group (RFC 4291 section 2.7.1)
    MacAddress group_mac;  // and that group's
  };
  // A datagram that waits. Its bytes lie in held_bytes_.
  struct Held {
    core::UdpAddress next_hop;  // family 0: the place is free
    core::UdpAddress from;
    core::UdpAddress to;
    uint32_t length = 0;
  };
  // Where a datagram goes next, and which address of ours it leaves from.
  struct Route {
    core::UdpAddress next_hop;  // port 0
    uint8_t source = 0;         // number of an address of ours
  };
  enum class UdpChecksum : uint8_t { kNone, kPseudoHeader, kFull };

  // Answers that wait for take_frame(): a burst's worth (port.h, kMaxBurst) would be more than a device's
  // queue likes to lose its place to.
  static constexpr uint32_t kAnswers = 32;
  // News for other queues: one burst cannot bring more.
  static constexpr uint32_t kNews = 64;
  // RFC 5227 section 2.3, ANNOUNCE_NUM and ANNOUNCE_INTERVAL; RFC 4861 section 7.2.6 allows three.
  static constexpr uint32_t kAnnouncements = 2;
  static constexpr Nanos kAnnounceInterval = core::from_s(2);

  // --- ip_host.cc: datagrams
  Received dropped(IpHostCounter reason) noexcept;
  Received handled() noexcept;
  Received receive_ipv4(uint8_t* frame, uint32_t length, bool device_checked) noexcept;
  Received receive_ipv6(uint8_t* frame, uint32_t length, bool to_us, bool device_checked, Nanos now) noexcept;
  bool udp_is_whole(const uint8_t* udp, uint32_t length, const uint8_t* addresses, uint32_t address_bytes,
                    bool device_checked) noexcept;
  static bool udp_sum_is_right(const uint8_t* udp, uint32_t length, const uint8_t* addresses,
                               uint32_t address_bytes) noexcept;
  Received receive_other(uint8_t* frame, uint32_t length, bool to_us, Nanos now) noexcept;
  Received hand_up(const uint8_t* ip, uint8_t* udp) noexcept;
  static IpHostCounter refusal_of(uint8_t next_header) noexcept;
  // What is the same in all frames of one sender to one of our ports.
  struct Sender {
    // Ethernet, and IPv4 up to the protocol, without what changes. At first that of no frame.
    uint64_t head[3]{0, ~uint64_t{0}, 0};
    uint64_t addresses = 0;  // as they lie in the frame
    uint32_t ports = 0;
  };
  static Sender sender_of(const uint8_t* frame) noexcept;
  static uint32_t place_of(const Sender& sender) noexcept;
  uint32_t max_payload(const core::UdpAddress& to) const noexcept {
    return mtu_ + frame::kEthernetBytes - (to.family == 4 ? frame::kV4Headers : frame::kV6Headers);
  }
  Path& path_of(const core::UdpAddress& from, const core::UdpAddress& to) noexcept;
  uint32_t fill_in(const Path& path, uint8_t* payload, uint32_t length, UdpChecksum udp,
                   bool ip_checksum) noexcept;
  bool make_path(Path& path, const core::UdpAddress& from, const core::UdpAddress& to, Nanos now) noexcept;
  void make_header(Path& path, const core::UdpAddress& source, const MacAddress& mac) noexcept;

  // --- ip_routes.cc: addresses and routes
  bool is_ours4(const uint8_t* ip) const noexcept;
  bool is_ours6(const uint8_t* ip) const noexcept;
  bool is_group_of_ours6(const uint8_t* ip) const noexcept;
  bool is_group_of_ours(const MacAddress& mac) const noexcept;
  bool is_on_link(const core::UdpAddress& address) const noexcept;
  bool find_route(const core::UdpAddress& from, const core::UdpAddress& to, Route& route,
                  IpHostCounter& refusal) const noexcept;
  bool choose_source(const core::UdpAddress& from, const core::UdpAddress& next_hop,
                     uint8_t& source) const noexcept;
  bool next_hop_of(const core::UdpAddress& to, core::UdpAddress& next_hop) const noexcept;

  // --- ip_host_control.cc: what is for the host itself
  Received receive_arp(const uint8_t* frame, uint32_t length, Nanos now) noexcept;
  Received receive_icmp(const uint8_t* frame, const uint8_t* icmp, uint32_t length) noexcept;
  Received receive_icmpv6(const uint8_t* frame, const uint8_t* icmp, uint32_t length, bool to_us,
                          Nanos now) noexcept;
  Received receive_solicitation(const uint8_t* frame, const uint8_t* nd, uint32_t length, Nanos now) noexcept;
  Received receive_advertisement(const uint8_t* frame, const uint8_t* nd, uint32_t length,
                                 Nanos now) noexcept;
  void tell(const core::UdpAddress& address, const MacAddress& mac, bool answered) noexcept;
  void answer_arp(const uint8_t* arp) noexcept;
  void answer_solicitation(const uint8_t* frame, const uint8_t* target, const MacAddress& mac) noexcept;
  void answer_echo4(const uint8_t* frame, const uint8_t* icmp, uint32_t length) noexcept;
  void answer_echo6(const uint8_t* frame, const uint8_t* icmp, uint32_t length) noexcept;
  uint8_t* answer_slot(uint32_t length) noexcept;

  // --- ip_host_output.cc: what the host itself sends
  uint32_t take_announcement(uint8_t* into) noexcept;
  uint32_t take_request(uint8_t* into) noexcept;
  uint32_t take_held(uint8_t* into, Nanos now) noexcept;
  uint32_t take_answer(uint8_t* into) noexcept;
  Held* held_place(const core::UdpAddress& next_hop) noexcept;
  uint8_t* bytes_of(const Held& held) noexcept;
  uint32_t send_held(const Held& held, uint32_t neighbour, uint8_t* into, Nanos now) noexcept;

  MacAddress mac_;
  UdpChecksum udp_v4_;
  UdpChecksum udp_v6_;
  bool verify_udp_;
  bool resolved_elsewhere_;
  bool ip_checksum_;
  uint32_t mtu_;
  uint32_t frame_bytes_;
  uint32_t own_count_ = 0;
  uint32_t own4_count_ = 0;
  std::array<uint32_t, kMaxAddresses> own4_{};  // IPv4 addresses of ours as they lie in memory
  std::array<Own, kMaxAddresses> own_{};
  core::UdpAddress gateway_v4_;
  core::UdpAddress gateway_v6_;

  IpHostCounters counters_;
  NeighbourTable neighbours_;
  std::unique_ptr<Path[]> paths_;
  std::array<Sender, kPlaces> senders_{};

  std::unique_ptr<Held[]> held_;
  std::unique_ptr<uint8_t[]> held_bytes_;  // mtu_ for each
  uint32_t max_held_;
  uint32_t held_count_ = 0;
  uint32_t held_seen_ = 0;  // neighbours_.changes() when none of them could be sent

  std::unique_ptr<uint8_t[]> answers_;  // a ring of kAnswers frames of frame_bytes_
  std::array<uint32_t, kAnswers> answer_bytes_{};
  uint32_t answers_head_ = 0;
  uint32_t answers_tail_ = 0;

  bool share_neighbours_;
  std::array<Neighbour, kNews> news_{};
  uint32_t news_head_ = 0;
  uint32_t news_tail_ = 0;

  uint32_t announce_rounds_ = kAnnouncements;  // still to be begun
  uint32_t announce_next_ = kMaxAddresses;     // the address that is next; own_count_ and more: none
  Nanos announce_due_{};                       // the first at once
};

// Ready-made headers for one pair of addresses: two lines.
struct alignas(core::kCacheLine) IpHost::Path {
  core::UdpAddress from{};
  core::UdpAddress to{};
  uint32_t neighbour = 0;
  uint32_t generation = 0;  // of the neighbour; 0 is none's
  uint16_t pseudo_sum = 0;  // of UDP's pseudo-header without the length
  uint16_t udp_sum = 0;     // and with the ports
  uint16_t ip_sum = 0;      // of the IPv4 header without length and checksum
  uint32_t max_payload = 0;
  uint8_t headers = 0;  // bytes of `header`
  uint8_t reserved = 0;
  uint8_t header[frame::kV6Headers]{};
};
static_assert(sizeof(IpHost::Path) == 2 * core::kCacheLine);

// --- what is done for each datagram, in the caller's loop

inline IpHost::Sender IpHost::sender_of(const uint8_t* frame) noexcept {
  using namespace frame;
  static_assert(kEthernetBytes == 14 && kIpv4Source == 12 && kIpv4Fragment == 6 && kIpv4Protocol == 9);
  static_assert(std::endian::native == std::endian::little);
  // Bytes 8 to 15: all but the type of service. 16 to 23: the fragment's offset and the protocol, without
  // length, identification, "don't fragment" and time to live.
  constexpr uint64_t kSecond = 0x00ff'ffff'ffff'ffffu, kThird = 0xff00'ffbf'0000'0000u;
  return {{load_raw64(frame), load_raw64(frame + 8) & kSecond, load_raw64(frame + 16) & kThird},
          load_raw64(frame + kEthernetBytes + kIpv4Source),
          load_raw32(frame + kEthernetBytes + kIpv4Bytes)};
}

// As path_of().
inline uint32_t IpHost::place_of(const Sender& sender) noexcept {
  static_assert(kPlaces == 1u << 4);
  const uint64_t mixed = (sender.addresses ^ uint64_t{sender.ports} << 16) * 0x9e3779b97f4a7c15u;
  return static_cast<uint32_t>(mixed >> 60);
}

inline IpHost::Repeat IpHost::receive_repeat(uint8_t* frame, uint32_t length,
                                             bool device_checked) const noexcept {
  using namespace frame;
  if (length < kV4Headers) return {};
  const Sender sender = sender_of(frame);
  const uint32_t place = place_of(sender);
  const Sender& known = senders_[place];
  const uint64_t differs = (sender.head[0] ^ known.head[0]) | (sender.head[1] ^ known.head[1]) |
                           (sender.head[2] ^ known.head[2]) | (sender.addresses ^ known.addresses) |
                           (sender.ports ^ known.ports);
  if (differs != 0) return {};
  const uint8_t* const ip = frame + kEthernetBytes;
  uint8_t* const udp = frame + kEthernetBytes + kIpv4Bytes;
  const uint32_t total = load_be16(ip + kIpv4TotalLength);
  const uint32_t udp_length = load_be16(udp + kUdpLength);
  if (udp_length < kUdpBytes || udp_length + kIpv4Bytes > total || total > length - kEthernetBytes) return {};
  if (!device_checked && !checksum_is_right(sum_ipv4_header(ip))) return {};
  const bool has_sum = load_raw16(udp + kUdpChecksum) != 0;
  if (has_sum && verify_udp_ && !device_checked && !udp_sum_is_right(udp, udp_length, ip + kIpv4Source, 8))
    return {};
  return {udp + kUdpBytes, udp_length - kUdpBytes, place};
}

inline uint32_t IpHost::write_headers(const Path& path, uint8_t* payload, uint32_t length) noexcept {
  if (length > path.max_payload) [[unlikely]] {
    counters_.add(IpHostCounter::tx_too_long);
    return 0;
  }
  counters_.add(IpHostCounter::tx_datagrams);
  return fill_in(path, payload, length, path.to.family == 4 ? udp_v4_ : udp_v6_, ip_checksum_);
}

}  // namespace trunkline::io
