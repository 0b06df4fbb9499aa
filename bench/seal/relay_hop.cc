// The relay step as a hop: one data core, its commands put into the ring by hand. Its clock moves by what a
// burst takes.
#include <array>
#include <utility>
#include <vector>

#include "bench/seal/frame_port.h"
#include "bench/seal/hop.h"
#include "io/page_source.h"
#include "io/thread.h"
#include "relay/packet_path.h"
#include "tests/support/sealed_sessions.h"

namespace trunkline::bench {
namespace {

using core::CoreId;
using relay::CoreCommand;
using relay::CoreCommandKind;

constexpr CoreId kCore{0};
constexpr uint16_t kFirstPort = 7000;  // of link i: kFirstPort + i

// One end's keys of a link; the other end has them the other way round.
relay::SessionKeys keys_of(uint32_t link, bool ours) {
  relay::SessionKeys keys{relay::Suite::kAes128Gcm, {}, {}};
  keys.send_secret.fill(static_cast<uint8_t>(1 + link));
  keys.receive_secret.fill(static_cast<uint8_t>(101 + link));
  if (!ours) std::swap(keys.send_secret, keys.receive_secret);
  return keys;
}

class RelayHop final : public Hop {
 public:
  RelayHop(uint32_t payload, uint32_t outputs, uint32_t slice)
      : payload_(payload),
        outputs_(outputs),
        slice_(slice),
        config_(config_for(outputs)),
        // Twice what can be in use: a class leaves some to its betters.
        port_(2 * (slice + kHopBurst * outputs + 2 * io::kMaxBurst), pages_),
        rings_(config_.limits, 0),
        path_(config_, kCore, port_, crypto_, pages_, rings_) {
    port_.swallow = true;
    if (auto open = path_.open_mesh(core::UdpAddress::v4(198, 18, 0, 1, 7000)); !open)
      give_up(open.error().text);
    for (uint16_t link = 0; link <= outputs; ++link) {
      open_session(link);
      peers_.push_back(crypto_.make_session());
      crypto_.key_session(*peers_.back(), keys_of(link, false));
    }
    for (uint32_t flow = 0; flow < kHopFlows; ++flow) open_flow(flow);
    while (rings_.commands.size_approx() != 0) path_.run_once(now_);
  }

  uint32_t slice() const override { return slice_; }

  void prepare() override {
    std::array<relay::SealJob, kHopBurst> jobs;
    for (uint32_t i = 0; i < slice_; ++i) {
      core::Packet& packet = port_.arrive();
      packet.length = relay::kLoneRecordOverhead + payload_;
      packet.address = address_of(0);
      write(packet.data);
      jobs[i % kHopBurst] = {packet.data, packet.length - relay::kTagBytes};
      if (i % kHopBurst == kHopBurst - 1) peers_[0]->seal(kCore, kCore, jobs);
    }
  }

  void run() override {
    for (uint32_t done = 0; done < slice_; done += kHopBurst) {
      now_ += kBurstTakes;
      path_.run_once(now_);
    }
  }

  // Every packet was opened and is on its way to every output, and what left opens there.
  void check() override {
    using relay::CoreCounter;
    port_.swallow = false;
    prepare();
    run();
    port_.swallow = true;
    uint32_t arrived = 0;
    for (tests::SentRun& sent : port_.sent) arrived += media_in(sent);
    port_.sent.clear();
    for (uint32_t i = 0; i < static_cast<uint32_t>(relay::DropReason::kCount); ++i) {
      const auto reason = static_cast<relay::DropReason>(i);
      if (path_.drops().value(reason) != 0)
        give_up("the relay dropped " + std::to_string(path_.drops().value(reason)) + " x " +
                relay::drop_reason_text(reason));
    }
    const auto count = [this](CoreCounter counter) { return path_.counters().value(counter); };
    if (count(CoreCounter::datagrams_opened) != counter_ || count(CoreCounter::media_in) != counter_ ||
        count(CoreCounter::media_to_links) != counter_ * outputs_)
      give_up("the relay opened " + std::to_string(count(CoreCounter::datagrams_opened)) + " and sent on " +
              std::to_string(count(CoreCounter::media_to_links)) + " of " + std::to_string(counter_) +
              " packets");
    if (arrived != slice_ * outputs_)
      give_up("of " + std::to_string(slice_ * outputs_) + " packets " + std::to_string(arrived) +
              " could be opened where they were sent");
  }

 private:
  static constexpr core::Nanos kBurstTakes = core::from_us(4);

  static relay::NodeConfig config_for(uint32_t outputs) {
    relay::NodeConfig config;
    config.limits.max_peers = outputs + 1;
    config.limits.max_flows_per_core = kHopFlows;
    config.limits.max_outputs_per_core = kHopFlows * outputs;
    return config;
  }
  static core::UdpAddress address_of(uint32_t link) {
    return core::UdpAddress::v4(198, 18, 0, 2, static_cast<uint16_t>(kFirstPort + link));
  }
  static uint32_t index_of(uint32_t link) { return relay::SessionIndex::make(kCore, link, 77); }

  void push(const CoreCommand& command) {
    while (!rings_.commands.try_push(command)) path_.run_once(now_);
  }
  void open_session(uint16_t link) {
    CoreCommand c;
    c.kind = CoreCommandKind::kSessionInstall;
    c.session.slot = link;
    c.session.link = link;
    c.session.receive_index = index_of(link);
    c.session.keys = keys_of(link, true);
    c.session.peer_address = address_of(link);
    c.session.peer_cores = 1;
    c.session.peer_ports[0] = c.session.peer_address.port;
    c.session.peer_indexes[0] = index_of(link);
    push(c);
    c.kind = CoreCommandKind::kSessionActivate;
    c.slot = link;
    if (link != 0) push(c);
  }
  void open_flow(uint32_t flow) {
    CoreCommand c;
    c.kind = CoreCommandKind::kFlowOpen;
    c.open = {.flow = flow,
              .label = relay::flow_label(flow, kCore, 0, 1),
              .source = relay::FlowSource::kUpstream,
              .link = 0};
    push(c);
    c.kind = CoreCommandKind::kOutputAdd;
    for (uint16_t link = 1; link <= outputs_; ++link) {
      c.change = {
          flow,
          {.kind = relay::OutputKind::kLink, .target = link, .label = relay::flow_label(flow, kCore, 0, 2)}};
      push(c);
    }
  }

  // The next datagram, but for its tag. What lies behind the RTP header stays as it is.
  void write(uint8_t* datagram) {
    const auto flow = static_cast<uint32_t>(counter_ % kHopFlows);
    relay::encode_header(datagram, {.counter = counter_, .session_index = index_of(0)});
    relay::RecordHeader record;
    record.label = relay::flow_label(flow, kCore, 0, 1);
    record.kind = relay::RecordKind::kMedia;
    record.traffic_class = payload_ < 400 ? relay::TrafficClass::kAudio : relay::TrafficClass::kVideoBase;
    record.frame_end = true;
    record.ttl = 3;
    record.length = static_cast<uint16_t>(payload_);
    relay::encode_record(datagram + relay::kHeaderBytes, record);
    uint8_t* const rtp = datagram + relay::kHeaderBytes + relay::kRecordHeaderBytes;
    rtp[0] = 0x80;
    rtp[1] = 96;
    relay::store_be16(rtp + 2, static_cast<uint16_t>(counter_ / kHopFlows));
    relay::store_be32(rtp + 4, static_cast<uint32_t>(counter_ / kHopFlows));
    relay::store_be32(rtp + 8, flow + 1);
    ++counter_;
  }

  // Media records in it that its receiver can read.
  uint32_t media_in(tests::SentRun& sent) {
    uint32_t media = 0;
    relay::OpenJob job{sent.bytes.data(), static_cast<uint32_t>(sent.bytes.size()), false};
    peers_[sent.to.port - kFirstPort]->open(kCore, kCore, {&job, 1});
    if (!job.authentic) give_up("a datagram left that is not authentic");
    const uint8_t* const end = job.data + job.length - relay::kTagBytes;
    for (const uint8_t* at = job.data + relay::kHeaderBytes; at + relay::kRecordHeaderBytes <= end;) {
      const relay::RecordHeader record = relay::decode_record(at);
      const uint32_t flow = relay::load_be32(at + relay::kRecordHeaderBytes + 8) - 1;
      media += record.kind == relay::RecordKind::kMedia && record.length == payload_ &&
               record.label == relay::flow_label(flow, kCore, 0, 2);
      at += relay::kRecordHeaderBytes + record.length;
    }
    return media;
  }

  uint32_t payload_, outputs_, slice_;
  relay::NodeConfig config_;
  tests::SealedSessions crypto_{relay::Suite::kAes128Gcm};
  std::vector<std::unique_ptr<relay::SessionCrypto>> peers_;  // by link: 0 sends
  io::MmapPageSource pages_;
  FramePort port_;
  relay::CoreRings rings_;
  relay::PacketPath path_;
  core::Nanos now_ = io::monotonic_now();
  uint64_t counter_ = 0;
};

}  // namespace

std::unique_ptr<Hop> make_relay_hop(uint32_t payload, uint32_t outputs, uint32_t slice) {
  return std::make_unique<RelayHop>(payload, outputs, slice);
}

}  // namespace trunkline::bench
