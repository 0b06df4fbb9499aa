// What the tests of the IP host share: its usual options, addresses and peers, and what it sends as a list of
// frames.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "io/ip_host.h"
#include "tests/io/ip_frames_by_hand.h"

namespace trunkline::io::by_hand {

inline const core::UdpAddress kOurs4 = address("192.0.2.1:5000");
inline const core::UdpAddress kPeer4 = address("192.0.2.2:6000");
inline const core::UdpAddress kOther4 = address("192.0.2.3:6000");
inline const core::UdpAddress kGateway4 = address("192.0.2.254:0");
inline const core::UdpAddress kFar4 = address("198.51.100.7:6000");
inline const core::UdpAddress kOurs6 = address("[2001:db8::1]:5000");
inline const core::UdpAddress kPeer6 = address("[2001:db8::2]:6000");
inline const core::UdpAddress kGateway6 = address("[fe80::fe]:0");
inline const core::UdpAddress kFar6 = address("[2001:db8:1::7]:6000");
// ff02::1:ff00:1, where kOurs6 is asked for, and its Ethernet group.
inline const core::UdpAddress kOurGroup6 = address("[ff02::1:ff00:1]:0");
inline constexpr MacAddress kOurGroupMac{{0x33, 0x33, 0xff, 0, 0, 1}};
inline const core::UdpAddress kAllNodes6 = address("[ff02::1]:0");
inline constexpr MacAddress kAllNodesMac{{0x33, 0x33, 0, 0, 0, 1}};

inline core::UdpAddress without_port(core::UdpAddress of) {
  of.port = 0;
  return of;
}

inline IpHostOptions usual_options() {
  IpHostOptions options;
  options.mac = kOurMac;
  options.addresses = {{without_port(kOurs4), 24}, {without_port(kOurs6), 64}};
  options.gateway_v4 = kGateway4;
  options.gateway_v6 = kGateway6;
  return options;
}

inline uint64_t count(const IpHost& host, IpHostCounter which) {
  return host.counters().value(which);
}

// Every frame the host has to send now.
inline std::vector<Bytes> frames_of(IpHost& host, Nanos now) {
  std::vector<Bytes> frames;
  Bytes frame(host.max_frame_bytes());
  while (const uint32_t length = host.take_frame(frame, now)) {
    frames.emplace_back(frame.begin(), frame.begin() + length);
    if (frames.size() > 10'000) {
      ADD_FAILURE() << "the host never stops sending";
      break;
    }
  }
  return frames;
}

inline IpHost::Received receive(IpHost& host, Bytes& frame, Nanos now = {}, bool device_checked = false) {
  return host.receive(frame.data(), static_cast<uint32_t>(frame.size()), device_checked, now);
}

// A datagram as the host sends it; empty when write_headers() says 0.
inline Bytes datagram(IpHost& host, const core::UdpAddress& from, const core::UdpAddress& to,
                      const Bytes& payload, Nanos now) {
  constexpr uint32_t kRoom = IpHost::kMaxHeaderBytes;
  Bytes buffer(kRoom + payload.size());
  std::copy(payload.begin(), payload.end(), buffer.begin() + kRoom);
  const uint32_t headers =
      host.write_headers(buffer.data() + kRoom, static_cast<uint32_t>(payload.size()), from, to, now);
  if (headers == 0) return {};
  for (uint32_t i = 0; i < kRoom - headers; ++i) EXPECT_EQ(buffer[i], 0) << "written in front of the headers";
  return Bytes(buffer.begin() + (kRoom - headers), buffer.end());
}

// The drops of receive(), as the list of counters names them.
inline uint64_t received_drops(const IpHost& host) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < static_cast<uint32_t>(IpHostCounter::kCount); ++i) {
    const auto which = static_cast<IpHostCounter>(i);
    const std::string name = ip_host_counter_name(which);
    if (name.starts_with("rx_") && which != IpHostCounter::rx_datagrams && which != IpHostCounter::rx_handled)
      sum += count(host, which);
  }
  return sum;
}

}  // namespace trunkline::io::by_hand
