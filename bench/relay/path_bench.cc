// What the packet path itself costs per media packet: 1 in, 1 out, mesh to mesh, null suite, the copy
// included.
//
// The port is memory: it hands over GRO slabs like those of a socket and swallows what is sent. The
// datagrams' headers and tags are written anew before each turn (counters must grow), outside the measured
// time. 64 labels, one peer in, one peer out. `burst` is the number of slabs per turn: at 32 the received
// bytes (2 MiB) do not stay in the caches between being written and being read, at 4 they do.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "core/page_source.h"
#include "core/rng.h"
#include "relay/null_suite.h"
#include "relay/packet_path.h"
#include "tests/support/memory_port.h"
#include "tests/support/packet_builder.h"

namespace trunkline {
namespace {

using core::CoreId;

// Endless slabs from one peer.
class SlabPort final : public tests::MemoryPort {
 public:
  struct Shape {
    uint32_t payload;                          // bytes of one media packet
    uint32_t records;                          // per datagram
    uint32_t slabs;                            // per turn
    uint32_t datagrams = io::kMaxRunSegments;  // per slab, at most
  };

  SlabPort(const Shape& shape, relay::Crypto& crypto, const tests::Peer& peer)
      : peer_(peer), session_(crypto.make_session()) {
    swallow = true;
    relay::SessionKeys theirs = peer.install.keys;
    std::swap(theirs.send_secret, theirs.receive_secret);
    crypto.key_session(*session_, theirs);
    tests::ByteVector records;
    for (uint32_t r = 0; r < shape.records; ++r) {
      const tests::ByteVector one = tests::record(tests::media(core::Label{}, class_of(shape)),
                                                  tests::rtp({.marker = true, .bytes = shape.payload}));
      records.insert(records.end(), one.begin(), one.end());
    }
    datagram_ = static_cast<uint32_t>(relay::kHeaderBytes + records.size() + relay::kTagBytes);
    per_slab_ = std::min(io::kMaxRunBytes / datagram_, shape.datagrams);
    record_ = static_cast<uint32_t>(records.size() / shape.records);
    slabs_.resize(shape.slabs);
    uint32_t label = 0;
    for (std::vector<uint8_t>& slab : slabs_) {
      slab.resize(std::size_t{per_slab_} * datagram_);
      for (uint32_t d = 0; d < per_slab_; ++d) {
        uint8_t* at = &slab[std::size_t{d} * datagram_ + relay::kHeaderBytes];
        std::copy(records.begin(), records.end(), at);
        for (uint32_t r = 0; r < shape.records; ++r, label = (label + 1) % kLabels) {
          relay::store_be32(at + r * record_, relay::flow_label(label, CoreId{0}, 0, 1).value);
        }
      }
    }
    packets = shape.slabs * per_slab_ * shape.records;
    next_ = slabs_.size();  // nothing to receive before prepare()
  }
  static constexpr uint32_t kLabels = 64;
  static relay::TrafficClass class_of(const Shape& shape) {
    return shape.records > 1 ? relay::TrafficClass::kAudio : relay::TrafficClass::kVideoBase;
  }
  uint32_t packets;  // media packets per turn

  // Untimed: headers and tags for the next turn.
  void prepare() {
    for (std::vector<uint8_t>& slab : slabs_) {
      for (uint32_t d = 0; d < per_slab_; ++d) {
        uint8_t* at = &slab[std::size_t{d} * datagram_];
        relay::DatagramHeader header;
        header.version = relay::kWireVersion;
        header.counter = counter_++;
        header.session_index = peer_.install.receive_index;
        relay::encode_header(at, header);
        relay::SealJob job{at, datagram_ - relay::kTagBytes};
        session_->seal(CoreId{0}, CoreId{0}, {&job, 1});
      }
    }
    next_ = 0;
  }
  uint32_t receive_burst(std::span<core::Packet> out, core::Nanos) noexcept override {
    uint32_t count = 0;
    for (; count < out.size() && next_ < slabs_.size(); ++count, ++next_) {
      core::Packet& packet = out[count];
      packet = core::Packet{};
      packet.data = slabs_[next_].data();
      packet.length = static_cast<uint32_t>(slabs_[next_].size());
      packet.segment_size = static_cast<uint16_t>(datagram_);
      packet.address = peer_.install.peer_address;
    }
    return count;
  }
  void give_back(std::span<core::Packet>) noexcept override {}

 private:
  const tests::Peer& peer_;
  std::unique_ptr<relay::SessionCrypto> session_;
  std::vector<std::vector<uint8_t>> slabs_;
  uint32_t datagram_ = 0, per_slab_ = 0, record_ = 0;
  uint64_t counter_ = 0;
  std::size_t next_ = 0;
};

struct Bench {
  Bench(const SlabPort::Shape& shape, uint32_t outputs)
      : from(crypto, 0, 0, core::UdpAddress::v4(198, 18, 0, 10, 7000)),
        port(shape, crypto, from),
        rings(config.limits, 0),
        path(config, CoreId{0}, port, crypto, pages, rings) {
    (void)path.open_mesh(core::UdpAddress::v4(198, 18, 0, 1, 7000)).has_value();
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kSessionInstall;
    c.session = from.install;
    rings.commands.try_push(c);
    for (uint16_t i = 1; i <= outputs; ++i) {
      const tests::Peer to(crypto, i, i, core::UdpAddress::v4(198, 18, 1, static_cast<uint8_t>(i), 7000));
      c.kind = relay::CoreCommandKind::kSessionInstall;
      c.session = to.install;
      rings.commands.try_push(c);
      c.kind = relay::CoreCommandKind::kSessionActivate;
      c.slot = i;
      rings.commands.try_push(c);
    }
    for (uint32_t flow = 0; flow < SlabPort::kLabels; ++flow) {
      c.kind = relay::CoreCommandKind::kFlowOpen;
      c.open = {.flow = flow,
                .label = relay::flow_label(flow, CoreId{0}, 0, 1),
                .source = relay::FlowSource::kUpstream,
                .link = 0};
      rings.commands.try_push(c);
      c.kind = relay::CoreCommandKind::kOutputAdd;
      for (uint16_t i = 1; i <= outputs; ++i) {
        c.change = {flow,
                    {.kind = relay::OutputKind::kLink, .target = i, .label = core::Label{0x4000 + flow}}};
        rings.commands.try_push(c);
      }
    }
    while (path.run_once(now) > 0) {
    }
    for (int i = 0; i < 16; ++i) turn();
  }

  // One turn of the loop over fresh slabs; the seconds it took.
  double turn() {
    port.prepare();
    now += core::from_us(100);
    const auto begin = std::chrono::steady_clock::now();
    path.run_once(now);
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  }

  relay::NodeConfig config;
  core::Rng rng{1};
  relay::NullCrypto crypto{rng};
  core::HeapPageSource pages;
  tests::Peer from;
  SlabPort port;
  relay::CoreRings rings;
  relay::PacketPath path;
  core::Nanos now = core::from_s(1);
};

void relay_step(benchmark::State& state, uint32_t payload, uint32_t records, uint32_t outputs) {
  Bench bench({payload, records, static_cast<uint32_t>(state.range(0))}, outputs);
  double seconds = 0;
  uint64_t packets = 0;
  for (auto _ : state) {
    const double s = bench.turn();
    state.SetIterationTime(s);
    seconds += s;
    packets += bench.port.packets;
  }
  if (bench.path.drops().total() != 0) state.SkipWithError("packets were dropped");
  state.counters["ns_per_packet"] = seconds * 1e9 / static_cast<double>(packets);
  state.counters["ns_per_output"] = seconds * 1e9 / static_cast<double>(packets * outputs);
  state.counters["datagrams_per_packet"] =
      static_cast<double>(bench.path.counters().value(relay::CoreCounter::datagrams_sealed)) /
      static_cast<double>(bench.path.counters().value(relay::CoreCounter::media_to_links));
}

void BM_PacketPath_Video1200(benchmark::State& state) {
  relay_step(state, 1200, 1, 1);
}
void BM_PacketPath_Audio172x7(benchmark::State& state) {
  relay_step(state, 172, 7, 1);
}
void BM_PacketPath_Video1200_Fanout16(benchmark::State& state) {
  relay_step(state, 1200, 1, 16);
}

// What it costs to know which stage takes how long: blocks of 128 turns with the stage clock and without, by
// turns, on the same path and the same bytes. One turn of each block with it is timed inside. `ratio` is of
// the medians over all blocks.
void BM_PacketPath_StageClock(benchmark::State& state) {
  const auto burst = static_cast<uint32_t>(state.range(0));
  const bool audio = state.range(1) != 0;
  // burst 0: one datagram a turn, which is what a clock costs the most.
  Bench bench({audio ? 172u : 1200u, audio ? 7u : 1u, std::max(burst, 1u), burst == 0 ? 1u : 64u}, 1);
  const auto times = std::make_unique<relay::StageTimes>();
  std::vector<double> with, without;
  const auto block = [&] {
    double seconds = 0;
    for (uint32_t i = 0; i < relay::StageClock::kEvery; ++i) seconds += bench.turn();
    return seconds;
  };
  for (auto _ : state) {
    bench.path.time_stages(times.get());
    with.push_back(block());
    bench.path.time_stages(nullptr);
    without.push_back(block());
    state.SetIterationTime(with.back());
  }
  const auto median = [](std::vector<double>& values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::nth_element(values.begin(), middle, values.end());
    return *middle;
  };
  const double on = median(with), off = median(without);
  state.counters["ratio"] = on / off;
  state.counters["ns_per_packet"] = on * 1e9 / (double{relay::StageClock::kEvery} * bench.port.packets);
  for (uint32_t i = 0; i < relay::kStages; ++i) {
    const auto stage = static_cast<relay::Stage>(i);
    state.counters[relay::stage_name(stage)] = static_cast<double>(times->of(stage).percentile(50)) / 1e3;
  }
}

BENCHMARK(BM_PacketPath_StageClock)
    ->ArgNames({"burst", "audio"})
    ->ArgsProduct({{0, 1, 4, 32}, {0, 1}})
    ->UseManualTime();
BENCHMARK(BM_PacketPath_Video1200)->ArgName("burst")->Arg(1)->Arg(4)->Arg(16)->Arg(32)->UseManualTime();
BENCHMARK(BM_PacketPath_Audio172x7)->ArgName("burst")->Arg(1)->Arg(4)->Arg(16)->Arg(32)->UseManualTime();
BENCHMARK(BM_PacketPath_Video1200_Fanout16)->ArgName("burst")->Arg(1)->Arg(4)->UseManualTime();

}  // namespace
}  // namespace trunkline

BENCHMARK_MAIN();
