// A data core's path under everything that its neighbours can hand it: datagrams of strangers and of peers,
// commands of the mesh with numbers inside and outside of the limits, packets of hosts, a port that refuses
// and keeps. Every unit has one fate after every turn (the harness asks), and peers can open all that is sent
// to them.
#include "tests/fuzz/target.h"
#include "tests/support/frame_port.h"
#include "tests/support/path_harness.h"

using namespace trunkline::tests;
namespace relay = trunkline::relay;

namespace {

template <class Harness>
class Story {
 public:
  explicit Story(trunkline::fuzz::Input in) : in_(in) {
    for (LinkId link = 0; link < kLinks; ++link) h_.link_up(link, 2);
    h_.upstream_flow(1, 0, TrafficClass::kVideoBase);
    h_.local_flow(2, TrafficClass::kAudio);
    h_.output(1, Harness::to_link(1));
    h_.output(2, Harness::to_link(0));
    h_.output(1, Harness::to_queue(0));
    h_.run();
  }

  void run() {
    for (int steps = 0; !in_.empty() && steps < 200; ++steps) {
      const uint8_t what = in_.u8();
      switch (what % 16) {
        case 0:
          stranger();
          break;
        case 1:
        case 2:
        case 3:
          peer();
          break;
        case 4:
          run_of_many();
          break;
        case 5:
          host();
          break;
        case 6:
          flow();
          break;
        case 7:
        case 8:
          output();
          break;
        case 9:
          session();
          break;
        case 10:
          tap();
          break;
        case 11:
          frame();
          break;
        case 12:
          h_.port.accept_runs = in_.flag() ? UINT64_MAX : in_.u8();
          h_.port.keep_buffers = in_.flag();
          if (in_.flag()) h_.port.release_kept();
          break;
        case 13:
          look();
          break;
        default:
          h_.run(Nanos{int64_t{in_.u16()} << in_.below(20)});
          break;
      }
    }
    h_.port.accept_runs = UINT64_MAX;
    h_.port.release_kept();
    h_.run(trunkline::core::from_ms(1));
    look();
  }

 private:
  static constexpr LinkId kLinks = 3;

  LinkId link() { return static_cast<LinkId>(in_.below(kLinks)); }
  FlowId a_flow() { return in_.below(16) == 15 ? in_.u32() : in_.below(6); }
  UdpAddress address() { return UdpAddress::v4(198, 18, in_.u8(), in_.u8(), in_.u16()); }

  void stranger() {
    ByteVector bytes = trunkline::fuzz::copy_of(in_.counted16());
    if (!bytes.empty() && in_.flag()) bytes[0] = static_cast<uint8_t>(0x20 | (bytes[0] & 0x1c));
    h_.port.put(0, in_.flag() ? peer_address(link()) : address(), bytes, in_.flag() ? in_.u8() : 0);
  }
  ByteVector some_record() {
    relay::RecordHeader header;
    header.label = in_.flag() ? h_.label(in_.below(6), in_.below(2) + 1) : Label{in_.u32()};
    header.kind = static_cast<relay::RecordKind>(in_.below(7));
    header.traffic_class = static_cast<TrafficClass>(in_.below(4));
    header.keyframe = in_.flag();
    header.frame_end = in_.flag();
    header.ttl = static_cast<uint8_t>(in_.below(5));
    header.layer = static_cast<uint8_t>(in_.below(2));
    switch (in_.below(6)) {
      case 0:
        return record(header, rtp({.sequence = in_.u16(), .marker = in_.flag(), .bytes = 12u + in_.u8()}));
      case 1:
        return record(header, pli(in_.u8()));
      case 2:
        return record(header, nack(in_.u8(), {in_.u16(), in_.u16()}));
      case 3:
        return record(header, rtp({.sequence = in_.u16(), .bytes = 1'300}));
      default:
        return record(header, trunkline::fuzz::copy_of(in_.counted()));
    }
  }
  void peer() {
    const LinkId from = link();
    if (peers_gone_[from]) return;
    std::vector<ByteVector> records;
    for (uint32_t n = in_.below(4); n > 0; --n) records.push_back(some_record());
    if (in_.below(8) == 0) records.push_back(trunkline::fuzz::copy_of(in_.counted()));
    if (concat(records).size() > 1'400) records.resize(1);
    Peer& peer = *h_.peers[from];
    peer.lane = static_cast<uint8_t>(in_.below(3));
    if (in_.below(8) == 0) {  // again, or far ahead
      h_.port.put(0, peer_address(from), peer.seal_as(concat(records), in_.u16()));
    } else {
      h_.arrive(peer, records);
    }
  }
  // As GRO hands them over: one packet, several datagrams of one size.
  void run_of_many() {
    const LinkId from = link();
    if (peers_gone_[from]) return;
    ByteVector all;
    const uint32_t length = 12u + in_.u8();
    relay::RecordHeader header = media(h_.label(in_.below(3)), static_cast<TrafficClass>(in_.below(3)));
    header.frame_end = in_.flag();
    uint16_t size = 0;
    for (uint32_t n = 1 + in_.below(40); n > 0; --n) {
      const ByteVector one =
          h_.peers[from]->seal(record(header, rtp({.sequence = sequence_++, .bytes = length})));
      size = static_cast<uint16_t>(one.size());
      all.insert(all.end(), one.begin(), one.end());
    }
    h_.port.put(0, peer_address(from), all, size);
  }
  void host() {
    const auto kind = static_cast<relay::HostPacketKind>(in_.below(2));
    const FlowId flow = a_flow();
    const uint64_t handle = in_.flag() ? 900 : in_.u8();
    ByteVector bytes = in_.flag() ? rtp({.sequence = sequence_++, .bytes = 12u + in_.u16() % 1'500})
                                  : trunkline::fuzz::copy_of(in_.counted());
    if (in_.below(8) == 0) bytes = pli(1);
    bytes.resize(std::min<size_t>(bytes.size(), relay::HostPacket::kMaxBytes));
    const auto queue = static_cast<uint16_t>(in_.below(2));
    if (h_.rings.queues[queue]->to_core.claim(1).empty()) return;
    h_.host_packet(queue, kind, flow, handle, bytes);
  }
  void flow() {
    relay::CoreCommand c;
    const FlowId flow = a_flow();
    switch (in_.below(4)) {
      case 0:
        c.kind = relay::CoreCommandKind::kFlowClose;
        c.flow = flow;
        break;
      case 1:
        c.kind = relay::CoreCommandKind::kFlowQuery;
        c.flow = flow;
        break;
      case 2:
        c.kind = relay::CoreCommandKind::kFlowRedirect;
        c.redirect = {flow, in_.below(5) == 4 ? LinkId{500} : link(), Label{in_.u32()}, CoreId{0},
                      Nanos{in_.u16()}};
        break;
      default:
        c.kind = relay::CoreCommandKind::kFlowOpen;
        c.open.flow = flow;
        c.open.label = h_.label(flow & 0xff, in_.below(2) + 1);
        c.open.source = static_cast<relay::FlowSource>(in_.below(2));
        c.open.traffic_class = static_cast<TrafficClass>(in_.below(4));
        c.open.link = link();
        c.open.queue = static_cast<uint16_t>(in_.below(3));
        c.open.handle = 900;
        c.open.upstream_label = Label{in_.u32()};
        c.open.keyframe_interval = Nanos{in_.u16()};
        break;
    }
    send(c);
  }
  void output() {
    relay::CoreCommand c;
    c.kind = in_.below(3) == 0 ? relay::CoreCommandKind::kOutputRemove : relay::CoreCommandKind::kOutputAdd;
    c.change.flow = a_flow();
    switch (in_.below(4)) {
      case 0:
        c.change.output = Harness::to_queue(static_cast<uint16_t>(in_.below(3)), in_.below(4));
        break;
      case 1:
        c.change.output = Harness::to_egress(static_cast<uint16_t>(in_.below(66)));
        break;
      default:
        c.change.output = Harness::to_link(in_.below(9) == 8 ? LinkId{9} : link(), 0x5000u + in_.below(4),
                                           static_cast<uint8_t>(in_.below(3)));
        break;
    }
    send(c);
  }
  void session() {
    relay::CoreCommand c;
    const LinkId of = link();
    c.slot = in_.below(18);
    switch (in_.below(4)) {
      case 0:
        c.kind = relay::CoreCommandKind::kSessionRemove;
        if (c.slot == h_.peers[of]->install.slot || c.slot < 2 * kLinks) peers_gone_.fill(true);
        break;
      case 1:
        c.kind = relay::CoreCommandKind::kSessionActivate;
        break;
      case 2:
        c.kind = relay::CoreCommandKind::kLinkPace;
        c.pace = {in_.below(8) == 7 ? LinkId{8} : of, trunkline::core::from_ms(1 + in_.below(200))};
        break;
      default:
        c.kind = relay::CoreCommandKind::kSessionInstall;
        c.session = h_.peers[of]->install;
        c.session.peer_cores = static_cast<uint8_t>(in_.below(18));
        if (in_.flag()) c.session.slot = c.slot;
        c.session.receive_index ^= in_.flag() ? 1u : 0u;
        peers_gone_.fill(true);  // whose counters begin again, and whose records this test no longer opens
        break;
    }
    send(c);
  }
  void tap() {
    relay::CoreCommand c;
    switch (in_.below(3)) {
      case 0:
        c.kind = relay::CoreCommandKind::kIngestOpen;
        c.ingest = {.flow = a_flow(),
                    .listen = UdpAddress::v4(127, 0, 0, 1, in_.u16()),
                    .ssrc = in_.flag() ? in_.u32() : 0,
                    .vp8 = in_.flag(),
                    .h264 = in_.flag()};
        break;
      case 1:
        c.kind = relay::CoreCommandKind::kEgressOpen;
        c.egress = {static_cast<uint16_t>(in_.below(66)), in_.flag() ? address() : peer_address(link())};
        break;
      default:
        c.kind = relay::CoreCommandKind::kEgressClose;
        c.egress.egress = static_cast<uint16_t>(in_.below(66));
        break;
    }
    send(c);
    if (in_.flag())
      h_.port.put(static_cast<uint16_t>(in_.below(3)), address(), rtp({.sequence = sequence_++}));
  }
  void frame() {
    relay::Frame* const slot = claim_frame();
    if (slot == nullptr) return;
    slot->kind = static_cast<relay::FrameKind>(in_.below(2));
    slot->link = in_.below(8) == 7 ? LinkId{8} : link();
    slot->session_index = in_.flag() ? h_.peers[link()]->install.receive_index : in_.u32();
    slot->address = address();
    const auto bytes = in_.counted16();
    slot->length = static_cast<uint16_t>(std::min<size_t>(bytes.size(), relay::kMaxFrameBytes));
    std::copy_n(bytes.begin(), slot->length, slot->bytes.begin());
    h_.rings.frames_in.commit(1);
  }
  relay::Frame* claim_frame() {
    const auto slots = h_.rings.frames_in.claim(1);
    return slots.empty() ? nullptr : &slots[0];
  }
  void send(const relay::CoreCommand& command) {
    if (!h_.rings.commands.try_push(command)) h_.run();
  }
  void look() {
    for (LinkId of = 0; of < kLinks; ++of) {
      for (uint8_t core = 0; core < 2 && !peers_gone_[of]; ++core) (void)h_.sent_to(of, core);
    }
    h_.port.sent.clear();
    for (uint16_t queue = 0; queue < 2; ++queue) (void)h_.delivered(queue);
    (void)h_.events();
    for (auto got = h_.rings.frames_out.peek(64); !got.empty(); got = h_.rings.frames_out.peek(64))
      h_.rings.frames_out.release(static_cast<uint32_t>(got.size()));
  }

  trunkline::fuzz::Input in_;
  Harness h_;
  std::array<bool, kLinks> peers_gone_{};
  uint16_t sequence_ = 1;
};

}  // namespace

TRUNKLINE_FUZZ_TARGET(packet_path) {
  trunkline::fuzz::Input in(input);
  if (in.flag()) {
    Story<PathHarnessOn<FramePort>>(in).run();
  } else {
    Story<PathHarness>(in).run();
  }
}
