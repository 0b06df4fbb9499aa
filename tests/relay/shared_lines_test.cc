// No cache line is written by two data cores on the steady path. Two cores of one node run by turns in this
// one thread, on memory ports; before and after each turn every writable byte of the process is compared,
// line by line, and each line that changed is put down to the core whose turn it was. A line that both have
// changed must be on the list of exceptions, each with its reason.
//
// All memory is looked at, not what somebody thought of: rings, pools, tables, what malloc happened to lay
// side by side, globals. Several configurations shift what lies beside what.
//
// What it cannot see: a write of the value that was there before; what happens outside PacketPath::run_once
// (the loop's wake words, written by whoever wakes a sleeper and once a burst, and the ports); another
// allocator's layout than this one's; and lines that one core writes and another reads, which is what a ring
// is for. The stack is left out: in a node each core has its own.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <cinttypes>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tests/support/cores_harness.h"

namespace trunkline::tests {
namespace {

// ---- who wrote which line

class WrittenLines {
 public:
  static constexpr std::size_t kLine = core::kCacheLine;

  // Looks at everything that is mapped now. Nothing may be mapped, or given back, while it is in use.
  WrittenLines() {
    std::FILE* const maps = std::fopen("/proc/self/maps", "r");
    char line[512];
    while (maps != nullptr && std::fgets(line, sizeof line, maps) != nullptr) {
      uintptr_t from = 0, to = 0;
      char mode[8] = "";
      if (std::sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %7s", &from, &to, mode) != 3) continue;
      if (std::strcmp(mode, "rw-p") != 0 || std::strstr(line, "[stack") != nullptr) continue;
      if (count_ == std::size(regions_)) break;
      regions_[count_++] = {reinterpret_cast<uint8_t*>(from), to - from, nullptr, nullptr};
    }
    if (maps != nullptr) std::fclose(maps);
    // Mapped after the list was made, so it does not look at itself.
    for (std::size_t i = 0; i < count_; ++i) {
      regions_[i].before = map(regions_[i].bytes);
      regions_[i].writers = map(regions_[i].bytes / kLine);
    }
  }
  ~WrittenLines() {
    for (std::size_t i = 0; i < count_; ++i) {
      munmap(regions_[i].before, regions_[i].bytes);
      munmap(regions_[i].writers, regions_[i].bytes / kLine);
    }
  }
  WrittenLines(const WrittenLines&) = delete;
  WrittenLines& operator=(const WrittenLines&) = delete;

  void before_turn() {
    for (std::size_t i = 0; i < count_; ++i) {
      std::memcpy(regions_[i].before, regions_[i].at, regions_[i].bytes);
    }
  }
  void after_turn(uint32_t core) {
    constexpr std::size_t kBlock = 4096;
    for (std::size_t i = 0; i < count_; ++i) {
      const Region& region = regions_[i];
      for (std::size_t block = 0; block < region.bytes; block += kBlock) {
        if (std::memcmp(region.at + block, region.before + block, kBlock) == 0) continue;
        for (std::size_t at = block; at < block + kBlock; at += kLine) {
          if (std::memcmp(region.at + at, region.before + at, kLine) == 0) continue;
          region.writers[at / kLine] = static_cast<uint8_t>(region.writers[at / kLine] | 1u << core);
        }
      }
    }
  }

  // Calls each(const uint8_t* line, uint32_t writers) for every line that changed.
  template <class Each>
  void for_each(Each&& each) const {
    for (std::size_t i = 0; i < count_; ++i) {
      for (std::size_t line = 0; line < regions_[i].bytes / kLine; ++line) {
        if (regions_[i].writers[line] != 0)
          each(regions_[i].at + line * kLine, uint32_t{regions_[i].writers[line]});
      }
    }
  }

 private:
  struct Region {
    uint8_t* at;
    std::size_t bytes;
    uint8_t* before;
    uint8_t* writers;
  };
  static uint8_t* map(std::size_t bytes) {
    void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    TL_CHECK(at != MAP_FAILED);
    return static_cast<uint8_t*>(at);
  }

  std::size_t count_ = 0;
  Region regions_[256];
};

// ---- the steady path of two cores

// Receives what was laid down before the turn, from memory that does not move, and takes what is sent.
class alignas(core::kSharingDistance) StillPort final : public MemoryPort {
 public:
  StillPort() { swallow = true; }
  void lay_down(const UdpAddress& from, const ByteVector& bytes) {
    ASSERT_LT(count_, std::size(slots_));
    ASSERT_LE(bytes.size(), sizeof slots_[0].bytes);
    Slot& slot = slots_[count_++];
    slot.from = from;
    slot.length = static_cast<uint32_t>(bytes.size());
    std::memcpy(slot.bytes, bytes.data(), bytes.size());
  }
  uint32_t receive_burst(std::span<core::Packet> out, Nanos) noexcept override {
    const uint32_t count = std::min(count_, static_cast<uint32_t>(out.size()));
    for (uint32_t i = 0; i < count; ++i) {
      out[i] = core::Packet{};
      out[i].data = slots_[i].bytes;
      out[i].length = slots_[i].length;
      out[i].address = slots_[i].from;
    }
    return count;
  }
  void give_back(std::span<core::Packet>) noexcept override { count_ = 0; }

 private:
  struct alignas(core::kSharingDistance) Slot {
    uint8_t bytes[1500];
    uint32_t length;
    UdpAddress from;
  };
  Slot slots_[32];
  uint32_t count_ = 0;
};

constexpr uint32_t kCores = 2;
constexpr FlowId kUpstream = 1, kLocal = 2;

// Two cores, each with everything that a packet may meet: a flow from link 0 to link 1 and to a host queue,
// one from a host queue to link 1, feedback, heartbeats, control; and each gets what is for the other one.
class Steady {
 public:
  explicit Steady(const relay::NodeConfig& with) : config(with), rings(config, pages) {
    for (uint32_t k = 0; k < kCores; ++k) {
      ports.push_back(std::make_unique<StillPort>());
      const CoreId id{static_cast<uint8_t>(k)};
      paths.push_back(
          std::make_unique<relay::PacketPath>(config, id, *ports[k], crypto, pages, *rings.cores[k]));
      times.push_back(std::make_unique<relay::StageTimes>());
      paths[k]->time_stages(times[k].get());
      EXPECT_TRUE(paths[k]->open_mesh(config.listen));
      for (LinkId link = 0; link < 2; ++link) {
        peers[k][link] =
            std::make_unique<Peer>(crypto, link, 2u * link, peer_address(link), uint8_t{kCores}, id);
        install(k, peers[k][link]->install);
      }
      open_flow(k, kUpstream, relay::FlowSource::kUpstream);
      open_flow(k, kLocal, relay::FlowSource::kLocal);
    }
  }

  // What the world does between two turns.
  void feed(uint32_t turn) {
    for (uint32_t at = 0; at < kCores; ++at) {
      // Lane `at` of the peer arrives here, for this core and for the other one.
      for (uint32_t to = 0; to < kCores; ++to) {
        Peer& from = *peers[to][0];
        from.lane = static_cast<uint8_t>(at);
        from.counter = turn * 8 + 1;
        for (uint16_t i = 0; i < 3; ++i) {
          const auto sequence = static_cast<uint16_t>(turn * 3 + i);
          ports[at]->lay_down(peer_address(0),
                              from.seal(record(media(label(to, kUpstream)), rtp({.sequence = sequence}))));
        }
      }
      Peer& subscriber = *peers[at][1];
      relay::RecordHeader feedback = media(label(at, kUpstream));
      feedback.kind = relay::RecordKind::kFeedback;
      ports[at]->lay_down(peer_address(1), subscriber.seal(record(feedback, pli(0x11111111))));
      relay::RecordHeader control;
      control.kind = relay::RecordKind::kControl;
      ports[at]->lay_down(peer_address(1), subscriber.seal(record(control, ByteVector(100, 7))));
      publish(at, static_cast<uint16_t>(turn));
    }
  }
  void run(uint32_t core) { paths[core]->run_once(now); }
  // What hosts and mesh thread do: take what is theirs.
  void drain() {
    for (uint32_t k = 0; k < kCores; ++k) {
      for (relay::CoreEvent event; rings.cores[k]->events.try_pop(event);) {
      }
      relay::Frame frame;
      while (rings.cores[k]->frames_out.try_pop(frame)) {
      }
      for (const auto& queue : rings.cores[k]->queues) {
        while (!queue->to_host.peek(64).empty())
          queue->to_host.release(static_cast<uint32_t>(queue->to_host.peek(64).size()));
      }
    }
  }

  relay::NodeConfig config;
  core::Rng rng{1};
  relay::ModelCrypto crypto{rng};
  core::HeapPageSource pages;
  relay::NodeRings rings;
  std::vector<std::unique_ptr<StillPort>> ports;
  std::vector<std::unique_ptr<relay::StageTimes>> times;
  std::vector<std::unique_ptr<relay::PacketPath>> paths;
  std::unique_ptr<Peer> peers[kCores][2];
  Nanos now = core::from_s(1);

 private:
  Label label(uint32_t core, FlowId flow) const {
    return relay::flow_label(flow, CoreId{static_cast<uint8_t>(core)}, 1, 1);
  }
  void command(uint32_t core, const relay::CoreCommand& command) {
    EXPECT_TRUE(rings.cores[core]->commands.try_push(command));
  }
  void install(uint32_t core, const relay::SessionInstall& session) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kSessionInstall;
    c.session = session;
    command(core, c);
    c.kind = relay::CoreCommandKind::kSessionActivate;
    c.slot = session.slot;
    command(core, c);
  }
  void open_flow(uint32_t core, FlowId flow, relay::FlowSource source) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kFlowOpen;
    c.open = {.flow = flow,
              .label = label(core, flow),
              .source = source,
              .traffic_class = TrafficClass::kVideoBase,
              .link = 0};
    c.open.upstream_label = Label{0xabc00 + flow};
    c.open.queue = 0;
    c.open.handle = 900;
    command(core, c);
    c.kind = relay::CoreCommandKind::kOutputAdd;
    c.change = {flow, {.kind = relay::OutputKind::kLink, .target = 1, .label = Label{0x5000}}};
    command(core, c);
    c.change = {flow, {.kind = relay::OutputKind::kQueue, .target = 1, .handle = 500}};
    command(core, c);
  }
  void publish(uint32_t core, uint16_t sequence) {
    std::span<relay::HostPacket> slot = rings.cores[core]->queues[0]->to_core.claim(1);
    ASSERT_FALSE(slot.empty());
    const ByteVector bytes = rtp({.sequence = sequence});
    slot[0].kind = relay::HostPacketKind::kMedia;
    slot[0].flow = kLocal;
    slot[0].handle = 900;
    slot[0].traffic_class = relay::kClassOfTrack;
    slot[0].length = static_cast<uint16_t>(bytes.size());
    std::memcpy(slot[0].bytes, bytes.data(), bytes.size());
    rings.cores[core]->queues[0]->to_core.commit(1);
  }
};

// ---- what two cores may write, and why

struct Exception {
  const char* why;
  bool (*is)(const Steady&, const uint8_t* line);
};
const Exception kExceptions[] = {
    {"a hand-over buffer: copied into by the core that received it, then the other's to open in place, if "
     "its "
     "suite decrypts, until it gives it back",
     [](const Steady& steady, const uint8_t* line) {
       for (const auto& handover : steady.rings.handovers) {
         const std::span<uint8_t> pool = handover->pool().memory();
         if (line >= pool.data() && line < pool.data() + pool.size()) return true;
       }
       return false;
     }},
};

TEST(SharedLines, NoneIsWrittenByTwoDataCoresOnTheSteadyPath) {
  for (uint32_t shift = 0; shift < 4; ++shift) {
    relay::NodeConfig config = cores_config(kCores);
    config.limits.max_peers = 2 + shift;  // sizes that are no multiple of a line
    config.limits.max_flows_per_core = 33 + 7 * shift;
    config.limits.max_outputs_per_core = 65 + 5 * shift;
    config.limits.max_egress_per_core = 3 + shift;
    config.limits.transmit_buffers = 16;
    config.link.heartbeat = core::from_ms(5);
    Steady steady(config);
    for (uint32_t turn = 0; turn < 20; ++turn) {  // everything has been touched once
      steady.feed(turn);
      for (uint32_t k = 0; k < kCores; ++k) steady.run(k);
      steady.drain();
    }
    auto lines = std::make_unique<WrittenLines>();
    for (uint32_t turn = 20; turn < 60; ++turn) {
      steady.now += core::from_us(1'700);
      steady.feed(turn);
      for (uint32_t k = 0; k < kCores; ++k) {
        lines->before_turn();
        steady.run(k);
        lines->after_turn(k);
      }
      steady.drain();
    }
    uint32_t written[4] = {}, neighbours = 0;
    const uint8_t* last = nullptr;
    uint32_t last_writers = 0;
    lines->for_each([&](const uint8_t* line, uint32_t writers) {
      ++written[writers];
      const bool pair = (reinterpret_cast<uintptr_t>(line) & core::kCacheLine) != 0 && line - last == 64;
      neighbours += pair && last_writers != writers ? 1 : 0;
      last = line;
      last_writers = writers;
      if (writers != 3) return;
      for (const Exception& exception : kExceptions) {
        if (exception.is(steady, line)) return;
      }
      ADD_FAILURE() << "line " << static_cast<const void*>(line) << " is written by both cores (shift "
                    << shift << ")";
    });
    // It has seen what it is to see: packets moved, in every way.
    EXPECT_GT(written[1], 100u);
    EXPECT_GT(written[2], 100u);
    for (const auto& path : steady.paths) {
      const auto count = [&](relay::CoreCounter which) { return path->counters().value(which); };
      EXPECT_EQ(count(CoreCounter::handed_over), 180u);
      EXPECT_GE(count(CoreCounter::taken_over), 177u) << "the last ones wait";
      EXPECT_GT(count(CoreCounter::media_to_links), 300u);
      EXPECT_GT(count(CoreCounter::media_to_queues), 300u);
      EXPECT_GT(count(CoreCounter::heartbeats_sent), 10u);
      EXPECT_GT(count(CoreCounter::feedback_in), 50u);
    }
    // Neighbours of one pair of lines, which some processors fetch together, are no fault and good to know
    // of.
    std::printf("lines written by core 0: %u, by core 1: %u, by both: %u; pairs with one of each: %u\n",
                written[1], written[2], written[3], neighbours);
  }
}

// The test of the test: two counters on one line are found.
TEST(SharedLines, ALineThatTwoWriteIsSeen) {
  alignas(core::kCacheLine) static uint64_t shared[8];
  alignas(core::kCacheLine) static uint64_t apart[16];
  auto lines = std::make_unique<WrittenLines>();
  for (uint32_t core = 0; core < 2; ++core) {
    lines->before_turn();
    shared[core] += 1;
    apart[8 * core] += 1;
    lines->after_turn(core);
  }
  const auto writers_of = [&](const void* at) {
    uint32_t found = 0;
    lines->for_each([&](const uint8_t* line, uint32_t writers) { found = line == at ? writers : found; });
    return found;
  };
  EXPECT_EQ(writers_of(&shared[0]), 3u);
  EXPECT_EQ(writers_of(&apart[0]), 1u);
  EXPECT_EQ(writers_of(&apart[8]), 2u);
}

}  // namespace
}  // namespace trunkline::tests
