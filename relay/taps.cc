// See relay/taps.h.
#include "relay/taps.h"

#include <algorithm>
#include <bit>

#include "relay/rtcp.h"
#include "relay/rtp.h"

namespace trunkline::relay {

Taps::Taps(const NodeConfig& config, io::Port& port, FlowTable& flows)
    : listen_(config.listen),
      port_(port),
      flows_(flows),
      bucket_mask_(std::bit_ceil(std::max(config.limits.max_egress_per_core, 1u)) - 1),
      egress_(std::min(config.limits.max_egress_per_core, 65'535u)),
      buckets_(bucket_mask_ + 1u) {}

core::Result<UdpAddress> Taps::open_ingest(const IngestOpen& open) {
  if (!flows_.is_open(open.flow)) return core::Error{0, "ingest tap of a track that is not published"};
  close_ingest(open.flow);
  uint32_t number = kUnopened;
  for (uint32_t i = 0; i < endpoints_.size() && number == kUnopened; ++i) {
    const Endpoint& e = endpoints_[i];
    if (e.use == EndpointUse::kNone && e.was_tap && e.listen == open.listen) number = i;
  }
  if (number == kUnopened) {
    const core::Result<uint16_t> opened = port_.open_endpoint({.bind = open.listen});
    if (!opened) return opened.error();
    number = *opened;
  }
  known(number) = {.use = EndpointUse::kIngest, .was_tap = true, .flow = open.flow, .listen = open.listen};
  FlowDetail& detail = flows_.detail(open.flow);
  detail.has_tap = true;
  detail.tap_endpoint = static_cast<uint16_t>(number);
  detail.tap_ssrc = open.ssrc;
  detail.tap_from = open.from;
  detail.tap_vp8 = open.vp8;
  detail.tap_h264 = open.h264;
  detail.tap_source = {};
  return port_.endpoint_address(static_cast<uint16_t>(number));
}

void Taps::close_ingest(FlowId flow) noexcept {
  if (!flows_.is_open(flow) || !flows_.detail(flow).has_tap) return;
  flows_.detail(flow).has_tap = false;
  endpoints_[flows_.detail(flow).tap_endpoint].use = EndpointUse::kNone;
}

core::Result<uint16_t> Taps::egress_endpoint(uint16_t family) {
  uint32_t& opened_before = egress_endpoints_[family == 6 ? 1 : 0];
  if (opened_before == kUnopened) {
    UdpAddress bind{};
    if (listen_.family == family) bind = listen_;
    bind.family = family;
    bind.port = 0;
    const core::Result<uint16_t> opened = port_.open_endpoint({.bind = bind});
    if (!opened) return opened.error();
    opened_before = *opened;
    known(opened_before).use = EndpointUse::kEgress;
  }
  return static_cast<uint16_t>(opened_before);
}

core::Result<void> Taps::open_egress(const EgressOpen& open) {
  if (open.egress >= egress_.size()) return core::Error{0, "egress tap beyond max_egress_per_core"};
  if (open.to.family != 4 && open.to.family != 6) return core::Error{0, "egress tap without an address"};
  close_egress(open.egress);
  const core::Result<uint16_t> endpoint = egress_endpoint(open.to.family);
  if (!endpoint) return endpoint.error();
  uint16_t& bucket = buckets_[bucket_of(open.to)];
  egress_[open.egress] = {.open = true,
                          .endpoint = *endpoint,
                          .next = bucket,
                          .to = open.to,
                          .flow = flows_.none(),
                          .last_ssrc = 0};
  bucket = static_cast<uint16_t>(open.egress + 1);
  return {};
}

bool Taps::close_egress(uint16_t number) noexcept {
  Egress* tap = egress(number);
  if (tap == nullptr) return false;
  uint16_t* link = &buckets_[bucket_of(tap->to)];
  while (*link != number + 1) link = &egress_[*link - 1u].next;
  *link = tap->next;
  tap->open = false;
  return true;
}

void Taps::set_egress_flow(uint16_t number, FlowId flow) noexcept {
  if (Egress* tap = egress(number); tap != nullptr) tap->flow = flow;
}

Egress* Taps::egress_from(const UdpAddress& source, uint32_t media_ssrc) noexcept {
  Egress* any = nullptr;
  for (uint32_t at = buckets_[bucket_of(source)]; at != 0; at = egress_[at - 1].next) {
    Egress& tap = egress_[at - 1];
    if (!(tap.to == source)) continue;
    if (tap.last_ssrc == media_ssrc) return &tap;
    any = &tap;
  }
  return any;
}

namespace {

// RFC 3550 section 6: what a publisher says about itself travels with its media; what it says about others
// (reports, bandwidth) concerns this hop only. Compounds are not taken apart: the sender report decides.
bool goes_downstream(const RtcpView& compound) noexcept {
  const FeedbackSummary sum = summarize(compound);
  if (sum.sender_reports > 0 || sum.goodbyes > 0) return true;
  return sum.source_descriptions > 0 && sum.receiver_reports == 0;
}

}  // namespace

DropReason judge_published(std::span<const uint8_t> bytes, const Flow& flow, const FlowDetail& detail,
                           bool tap, Record& out) noexcept {
  out.payload = bytes.data();
  out.length = static_cast<uint16_t>(bytes.size());
  out.traffic_class = flow.traffic_class;
  switch (classify(bytes)) {
    case EdgeKind::kNeither:
      return DropReason::not_rtp;
    case EdgeKind::kRtcp: {
      const std::optional<RtcpView> compound = RtcpView::parse(bytes);
      if (!compound) return DropReason::bad_rtcp;
      return goes_downstream(*compound) ? DropReason::kCount : DropReason::feedback_ended;
    }
    case EdgeKind::kRtp:
      break;
  }
  const std::optional<RtpView> rtp = RtpView::parse(bytes);
  if (!rtp) return DropReason::bad_rtp;
  out.frame_end = has_frames(flow.traffic_class) && rtp->marker();
  if (tap) {
    if (detail.tap_ssrc != 0 && detail.tap_ssrc != rtp->ssrc()) return DropReason::unknown_source;
    out.keyframe = (detail.tap_vp8 && vp8_keyframe_start(rtp->payload())) ||
                   (detail.tap_h264 && h264_keyframe_start(rtp->payload()));
  }
  return DropReason::kCount;
}

}  // namespace trunkline::relay
