// Taps: plain RTP/UDP at the edge of the mesh. An ingest tap is a bound address whose packets are one flow;
// an egress tap is an address that a flow is sent to, and whose RTCP comes back as feedback.
//
// An edge is where packets are judged: relay/rtp.h and rtcp.h prove lengths here, and frame ends and key
// frames are read here, once, so that no later node looks into a payload.
//
// Ports cannot close an endpoint, so one whose tap ended stays bound, counts what arrives as unknown_source,
// and serves the next tap that asks for the same address.
//
// Owned by one data core. open_*() are control path: they may allocate in the port.
#pragma once

#include <span>
#include <vector>

#include "core/result.h"
#include "io/port.h"
#include "relay/config.h"
#include "relay/drop_reason.h"
#include "relay/flow_table.h"
#include "relay/lazy_array.h"

namespace trunkline::relay {

// What an endpoint of the port is for.
enum class EndpointUse : uint8_t { kNone, kMesh, kIngest, kEgress };

struct Endpoint {
  EndpointUse use;
  bool was_tap;       // bound for an ingest tap, perhaps an earlier one
  FlowId flow;        // kIngest
  UdpAddress listen;  // as asked for
};

struct Egress {
  bool open;
  uint16_t endpoint;
  uint16_t next;  // + 1, in the chain of its address's bucket
  UdpAddress to;
  FlowId flow;         // which it is an output of; FlowTable::none() until then
  uint32_t last_ssrc;  // tells two taps to one address apart when RTCP comes back
};

class Taps {
 public:
  Taps(const NodeConfig& config, io::Port& port, FlowTable& flows);

  void use_for_mesh(uint16_t endpoint) { known(endpoint).use = EndpointUse::kMesh; }
  // One that is for nothing, where the port has more than are known here.
  const Endpoint& endpoint(uint16_t number) const noexcept {
    return number < endpoints_.size() ? endpoints_[number] : kUnused;
  }

  core::Result<UdpAddress> open_ingest(const IngestOpen& open);
  void close_ingest(FlowId flow) noexcept;
  core::Result<void> open_egress(const EgressOpen& open);
  bool close_egress(uint16_t egress) noexcept;
  // An output was added or removed: RTCP from the tap belongs to `flow` (none(): to nobody).
  void set_egress_flow(uint16_t egress, FlowId flow) noexcept;

  // nullptr: not open.
  Egress* egress(uint16_t number) noexcept {
    return number < egress_.size() && egress_[number].open ? &egress_[number] : nullptr;
  }
  // The tap that RTCP from `source` about `media_ssrc` comes from; nullptr: nobody configured that address.
  Egress* egress_from(const UdpAddress& source, uint32_t media_ssrc) noexcept;

 private:
  core::Result<uint16_t> egress_endpoint(uint16_t family);
  Endpoint& known(uint32_t number) {
    if (number >= endpoints_.size()) endpoints_.resize(number + 1, kUnused);
    return endpoints_[number];
  }
  uint32_t bucket_of(const UdpAddress& address) const noexcept {
    return static_cast<uint32_t>(address.hash()) & bucket_mask_;
  }

  UdpAddress listen_;  // of the node: egress leaves from the same host address
  io::Port& port_;
  FlowTable& flows_;
  uint32_t bucket_mask_;
  static constexpr Endpoint kUnused{};
  std::vector<Endpoint> endpoints_;  // by the port's number; grows when one is opened
  LazyArray<Egress> egress_;
  LazyArray<uint16_t> buckets_;
  uint32_t egress_endpoints_[2] = {kUnopened, kUnopened};
  static constexpr uint32_t kUnopened = 0xffffffff;
};

// Judges one packet of a publisher: fills payload, length, class, frame end, keyframe and returns kCount, or
// says why it goes no further. `tap`: came in by UDP, so the detail's SSRC and codec count.
DropReason judge_published(std::span<const uint8_t> bytes, const Flow& flow, const FlowDetail& detail,
                           bool tap, Record& out) noexcept;

}  // namespace trunkline::relay
