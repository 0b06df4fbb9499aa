// What `path_instructions_test.py` counts: N media packets through a PacketPath, 1 in and 1 out, null suite,
// on a port that has frames as one with a device has, and no device.
//
// The packets are written between the turns of the loop, so that PacketPath::run_once() holds what is counted
// and nothing else: the path, and the port's moving of descriptors. Everything is deterministic: no clock, no
// thread, no address of this machine.
//
// usage: path_instructions 172|1200 PACKETS
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>

#include "core/page_source.h"
#include "core/rng.h"
#include "relay/null_suite.h"
#include "relay/packet_path.h"
#include "tests/support/frame_stack.h"
#include "tests/support/memory_port.h"
#include "tests/support/packet_builder.h"

namespace trunkline::tests {
namespace {

using core::CoreId;

constexpr uint32_t kBurst = 32, kFlows = 64, kFrames = 1'024;
constexpr uint32_t kFrameBytes = 2'048;
constexpr uint32_t kHeaders = 14 + 20 + 8;  // of a frame, in front of the datagram

// Frames, and what arrives in them: the datagrams of `prepare`, each once.
class FramePort final : public MemoryPort {
 public:
  FramePort()
      : memory_(size_t{kFrames} * kFrameBytes),
        frames_(kFrames, kFrameBytes, [this](uint32_t i) { return &memory_[size_t{i} * kFrameBytes]; }) {}

  // Not counted: `datagram` arrives kBurst times, each patched by `finish` first.
  template <class Finish>
  void prepare(const ByteVector& datagram, const core::UdpAddress& from, Finish&& finish) {
    for (uint32_t i = 0; i < kBurst; ++i) {
      core::Packet& packet = arrivals_[i];
      packet = core::Packet{};
      packet.buffer = frames_.take();
      packet.data = packet.buffer->data + kHeaders;
      packet.length = static_cast<uint32_t>(datagram.size());
      packet.address = from;
      std::copy(datagram.begin(), datagram.end(), packet.data);
      finish(packet.data);
    }
    waiting_ = kBurst;
  }

  uint32_t receive_burst(std::span<core::Packet> out, core::Nanos) noexcept override {
    const auto count = static_cast<uint32_t>(std::min<size_t>(out.size(), std::exchange(waiting_, 0)));
    std::copy_n(arrivals_.begin(), count, out.begin());
    return count;
  }
  void give_back(std::span<core::Packet> packets) noexcept override { frames_.give_back(packets); }
  uint32_t transmit_burst(std::span<core::Packet> packets, core::Nanos) noexcept override {
    for (const core::Packet& packet : packets) frames_.sent(packet);
    return static_cast<uint32_t>(packets.size());
  }
  io::FrameSource* frames() noexcept override { return &frames_; }

 private:
  std::vector<uint8_t> memory_;
  FrameStack frames_;
  std::vector<core::Packet> arrivals_{kBurst};
  uint32_t waiting_ = 0;
};

class Counted {
 public:
  explicit Counted(uint32_t payload)
      : datagram_(relay::kLoneRecordOverhead + payload), session_(crypto_.make_session()) {
    relay::SessionKeys theirs = from_.install.keys;
    std::swap(theirs.send_secret, theirs.receive_secret);
    crypto_.key_session(*session_, theirs);
    const auto traffic_class = payload < 400 ? relay::TrafficClass::kAudio : relay::TrafficClass::kVideoBase;
    const ByteVector bytes = record(media({}, traffic_class), rtp({.marker = true, .bytes = payload}));
    std::copy(bytes.begin(), bytes.end(), datagram_.begin() + relay::kHeaderBytes);
    if (!path_.open_mesh(core::UdpAddress::v4(198, 18, 0, 1, 7000))) std::exit(1);
    install(from_, false);
    install(to_, true);
    for (uint32_t flow = 0; flow < kFlows; ++flow) open_flow(flow);
    while (path_.run_once(now_) > 0) {
    }
  }

  void burst() {
    port_.prepare(datagram_, from_.install.peer_address, [this](uint8_t* at) { finish(at); });
    now_ += core::from_us(1);
    path_.run_once(now_);
  }
  uint64_t relayed() const { return path_.counters().value(relay::CoreCounter::media_to_links); }
  uint64_t in_place() const { return path_.counters().value(relay::CoreCounter::media_in_place); }
  uint64_t dropped() const { return path_.drops().total(); }

 private:
  // Counter, label and tag of the next datagram.
  void finish(uint8_t* at) {
    relay::DatagramHeader header;
    header.counter = counter_++;
    header.session_index = from_.install.receive_index;
    relay::encode_header(at, header);
    const auto flow = static_cast<uint32_t>(header.counter % kFlows);
    relay::store_be32(at + relay::kHeaderBytes, relay::flow_label(flow, CoreId{0}, 0, 1).value);
    relay::SealJob job{at, static_cast<uint32_t>(datagram_.size()) - relay::kTagBytes};
    session_->seal(CoreId{0}, CoreId{0}, {&job, 1});
  }
  void push(const relay::CoreCommand& command) {
    if (!rings_.commands.try_push(command)) std::exit(1);
  }
  void install(const Peer& peer, bool active) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kSessionInstall;
    c.session = peer.install;
    push(c);
    c.kind = relay::CoreCommandKind::kSessionActivate;
    c.slot = peer.install.slot;
    if (active) push(c);
  }
  void open_flow(uint32_t flow) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kFlowOpen;
    c.open = {.flow = flow,
              .label = relay::flow_label(flow, CoreId{0}, 0, 1),
              .source = relay::FlowSource::kUpstream,
              .link = from_.install.link};
    push(c);
    c.kind = relay::CoreCommandKind::kOutputAdd;
    c.change = {flow,
                {.kind = relay::OutputKind::kLink,
                 .target = to_.install.link,
                 .label = relay::flow_label(flow, CoreId{0}, 0, 2)}};
    push(c);
  }

  static relay::NodeConfig small() {
    relay::NodeConfig config;
    config.limits.max_peers = 2;
    config.limits.max_flows_per_core = kFlows;
    config.limits.max_outputs_per_core = kFlows;
    return config;
  }

  relay::NodeConfig config_ = small();
  core::Rng rng_{1};
  relay::NullCrypto crypto_{rng_};
  Peer from_{crypto_, 0, 0, core::UdpAddress::v4(198, 18, 0, 2, 7000)};
  Peer to_{crypto_, 1, 1, core::UdpAddress::v4(198, 18, 0, 3, 7000)};
  ByteVector datagram_;
  std::unique_ptr<relay::SessionCrypto> session_;
  uint64_t counter_ = 0;
  core::HeapPageSource pages_;
  FramePort port_;
  relay::CoreRings rings_{config_.limits, 0};
  relay::PacketPath path_{config_, CoreId{0}, port_, crypto_, pages_, rings_};
  core::Nanos now_ = core::from_s(1);
};

int run(uint32_t payload, uint64_t packets) {
  Counted counted(payload);
  for (uint64_t done = 0; done < packets; done += kBurst) counted.burst();
  if (counted.relayed() < packets || counted.dropped() != 0) {
    std::fprintf(stderr, "path_instructions: %lu relayed, %lu dropped of %lu\n", counted.relayed(),
                 counted.dropped(), packets);
    return 1;
  }
  std::printf("%lu relayed, %lu of them in place\n", counted.relayed(), counted.in_place());
  return 0;
}

}  // namespace
}  // namespace trunkline::tests

int main(int count, char** words) {
  const uint32_t payload = count == 3 ? static_cast<uint32_t>(std::atoi(words[1])) : 0;
  if (payload != 172 && payload != 1200) {
    std::fprintf(stderr, "usage: path_instructions 172|1200 PACKETS\n");
    return 2;
  }
  return trunkline::tests::run(payload, std::strtoull(words[2], nullptr, 10));
}
