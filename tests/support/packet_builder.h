// Packets for tests, from the outside in: RTP and RTCP bytes, records, plain datagrams, and a Peer that seals
// and opens them as the other end of a link would.
#pragma once

#include <cstring>
#include <memory>
#include <vector>

#include "core/udp_address.h"
#include "relay/core_link.h"
#include "relay/crypto.h"
#include "relay/rtcp.h"
#include "relay/wire.h"

namespace trunkline::tests {

using ByteVector = std::vector<uint8_t>;

struct RtpSpec {
  uint16_t sequence = 1;
  uint32_t timestamp = 1000;
  uint32_t ssrc = 0x11111111;
  bool marker = false;
  uint8_t payload_type = 96;
  uint32_t bytes = 172;  // the whole packet
};

inline ByteVector rtp(const RtpSpec& spec) {
  ByteVector out(std::max(spec.bytes, 12u));
  out[0] = 0x80;
  out[1] = static_cast<uint8_t>(spec.payload_type | (spec.marker ? 0x80 : 0));
  relay::store_be16(&out[2], spec.sequence);
  relay::store_be32(&out[4], spec.timestamp);
  relay::store_be32(&out[8], spec.ssrc);
  for (std::size_t i = 12; i < out.size(); ++i) out[i] = static_cast<uint8_t>(spec.sequence * 7u + i);
  return out;
}

inline ByteVector pli(uint32_t media_ssrc, uint32_t sender_ssrc = 0x99) {
  ByteVector out(relay::kPliLength);
  relay::build_pli(out, sender_ssrc, media_ssrc);
  return out;
}
inline ByteVector nack(uint32_t media_ssrc, const std::vector<uint16_t>& sequences) {
  ByteVector out(relay::nack_length_bound(sequences.size()));
  out.resize(relay::build_nack(out, 0x99, media_ssrc, sequences));
  return out;
}
// RFC 5104 section 4.3.1: FIR with one entry.
inline ByteVector fir(uint32_t media_ssrc) {
  ByteVector out = {0x84, 206, 0, 4, 0, 0, 0, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0};
  relay::store_be32(&out[12], media_ssrc);
  return out;
}
// RFC 3550 section 6.4: reports without blocks.
inline ByteVector sender_report(uint32_t ssrc) {
  ByteVector out(28);
  out[0] = 0x80;
  out[1] = 200;
  out[3] = 6;
  relay::store_be32(&out[4], ssrc);
  return out;
}
inline ByteVector receiver_report(uint32_t ssrc) {
  ByteVector out = {0x80, 201, 0, 1, 0, 0, 0, 0};
  relay::store_be32(&out[4], ssrc);
  return out;
}

inline ByteVector record(relay::RecordHeader header, const ByteVector& payload) {
  ByteVector out(relay::kRecordHeaderBytes + payload.size());
  header.length = static_cast<uint16_t>(payload.size());
  relay::encode_record(out.data(), header);
  std::copy(payload.begin(), payload.end(), out.begin() + relay::kRecordHeaderBytes);
  return out;
}
inline relay::RecordHeader media(relay::Label label,
                                 relay::TrafficClass traffic_class = relay::TrafficClass::kAudio) {
  relay::RecordHeader header;
  header.label = label;
  header.kind = relay::RecordKind::kMedia;
  header.traffic_class = traffic_class;
  header.ttl = 3;
  return header;
}

struct ReadRecord {
  relay::RecordHeader header;
  ByteVector payload;
};

inline ByteVector concat(const std::vector<ByteVector>& parts) {
  ByteVector out;
  for (const ByteVector& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

// The other end of one link, as it speaks to one of our data cores.
class Peer {
 public:
  Peer(relay::Crypto& crypto, relay::LinkId link, uint32_t slot, core::UdpAddress address, uint8_t cores = 1,
       core::CoreId to = {})
      : to_(to), session_(crypto.make_session()) {
    install.slot = slot;
    install.link = link;
    install.receive_index = relay::SessionIndex::make(to, slot, static_cast<uint16_t>(77 + slot));
    install.keys.suite = relay::Suite::kModel;
    for (uint8_t i = 0; i < 32; ++i) {
      install.keys.send_secret[i] = static_cast<uint8_t>(1 + i + slot);
      install.keys.receive_secret[i] = static_cast<uint8_t>(101 + i + slot);
    }
    install.peer_address = address;
    install.peer_cores = cores;
    for (uint8_t c = 0; c < cores; ++c) {
      install.peer_ports[c] = static_cast<uint16_t>(address.port + c);
      install.peer_indexes[c] = relay::SessionIndex::make(core::CoreId{c}, 5, 0x1234);
    }
    relay::SessionKeys theirs = install.keys;
    std::swap(theirs.send_secret, theirs.receive_secret);
    crypto.key_session(*session_, theirs);
  }

  relay::SessionInstall install;
  uint64_t counter = 0;
  uint8_t lane = 0;

  // header | records | tag, sealed as the peer's core `lane` would.
  ByteVector seal(const ByteVector& records) { return seal_as(records, counter++); }
  ByteVector seal_as(const ByteVector& records, uint64_t with_counter) {
    ByteVector out(relay::kHeaderBytes + records.size() + relay::kTagBytes);
    relay::DatagramHeader header;
    header.version = relay::kWireVersion;
    header.lane = lane;
    header.counter = with_counter;
    header.session_index = install.receive_index;
    relay::encode_header(out.data(), header);
    std::copy(records.begin(), records.end(), out.begin() + relay::kHeaderBytes);
    relay::SealJob job{out.data(), static_cast<uint32_t>(out.size() - relay::kTagBytes)};
    session_->seal(core::CoreId{lane}, to_, {&job, 1});
    return out;
  }

  // Opens what the path sent to our core `to`; `ok` is false when it is not authentic or malformed.
  std::vector<ReadRecord> open(ByteVector datagram, bool& ok, uint8_t to = 0) {
    std::vector<ReadRecord> out;
    ok = false;
    if (datagram.size() < relay::kHeaderBytes + relay::kTagBytes) return out;
    relay::OpenJob job{datagram.data(), static_cast<uint32_t>(datagram.size()), false};
    session_->open(to_, core::CoreId{to}, {&job, 1});
    if (!job.authentic) return out;
    std::size_t at = relay::kHeaderBytes;
    const std::size_t end = datagram.size() - relay::kTagBytes;
    while (at < end) {
      relay::RecordHeader header;
      if (end - at >= relay::kRecordHeaderBytes) header = relay::decode_record(&datagram[at]);
      if (header.kind == relay::RecordKind::kPadding) {
        for (; at < end; ++at) {
          if (datagram[at] != 0) return out;
        }
        break;
      }
      at += relay::kRecordHeaderBytes;
      if (at + header.length > end) return out;
      const auto from = datagram.begin() + static_cast<std::ptrdiff_t>(at);
      out.push_back({header, ByteVector(from, from + header.length)});
      at += header.length;
    }
    ok = true;
    return out;
  }

 private:
  core::CoreId to_;
  std::unique_ptr<relay::SessionCrypto> session_;
};

}  // namespace trunkline::tests
