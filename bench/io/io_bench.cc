// What io's own work per datagram costs, without a device and one thread: the IP host's headers in and out,
// and the Internet checksum beneath them. Frames lie in 64 buffers that fit the first-level cache or nearly
// so: what a device leaves in memory costs its misses on top.
#include <benchmark/benchmark.h>

#include <cstdint>
#include <vector>

#include "io/ip_host.h"

namespace trunkline::io {
namespace {

constexpr uint32_t kBuffers = 64;
constexpr uint32_t kDestinations = 16;
constexpr Nanos kNow = core::from_s(10);

core::UdpAddress address(bool v6, uint8_t last, uint16_t port) {
  core::UdpAddress of = core::UdpAddress::parse(v6 ? "[2001:db8::1]:0" : "192.0.2.1:0").value();
  of.ip[v6 ? 15 : 3] = last;
  of.port = port;
  return of;
}

IpHostOptions options(uint8_t last, bool checksum) {
  IpHostOptions options;
  options.mac = {{2, 0, 0, 0, 0, last}};
  options.addresses = {{address(false, last, 0), 24}, {address(true, last, 0), 64}};
  options.udp_checksum_offload = !checksum;
  return options;
}

// A host, its neighbours, and payloads with room for headers in front.
struct World {
  const bool v6;
  const uint32_t length;
  IpHost host;
  std::vector<std::vector<uint8_t>> buffers;
  std::vector<core::UdpAddress> destinations;
  const core::UdpAddress source;

  World(const benchmark::State& state, bool checksum)
      : v6(state.range(0) == 6),
        length(static_cast<uint32_t>(state.range(1))),
        host(options(1, checksum)),
        buffers(kBuffers, std::vector<uint8_t>(64 + length, 0x5a)),
        source(address(v6, 1, 5000)) {
    for (uint8_t i = 0; i < kDestinations; ++i) {
      destinations.push_back(address(v6, static_cast<uint8_t>(2 + i), 6000));
      host.learn({address(v6, static_cast<uint8_t>(2 + i), 0), {{2, 0, 0, 0, 0, 2}}}, kNow);
    }
  }
  uint8_t* payload(uint32_t i) { return buffers[i % kBuffers].data() + 64; }
};

void BM_IpHost_WriteHeaders(benchmark::State& state) {
  World world(state, state.range(2) != 0);
  uint32_t i = 0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(world.host.write_headers(world.payload(i), world.length, world.source,
                                                      world.destinations[i % kDestinations], kNow));
    ++i;
  }
}

// checksum:0 is a device that has found the checksums right.
void BM_IpHost_Receive(benchmark::State& state) {
  World world(state, true);
  const bool checksum = state.range(2) != 0;
  IpHost receiver(options(2, true));
  uint32_t headers = 0;
  for (uint32_t i = 0; i < kBuffers; ++i)
    headers =
        world.host.write_headers(world.payload(i), world.length, world.source, world.destinations[0], kNow);
  uint32_t i = 0;
  for (auto _ : state) {
    const auto received =
        receiver.receive(world.payload(i++) - headers, headers + world.length, !checksum, kNow);
    benchmark::DoNotOptimize(received.length);
  }
  if (receiver.counters().value(IpHostCounter::rx_datagrams) != i)
    state.SkipWithError("not every datagram came");
}

void BM_Checksum_SumWords(benchmark::State& state) {
  const std::vector<uint8_t> bytes(static_cast<size_t>(state.range(0)), 0x5a);
  for (auto _ : state) benchmark::DoNotOptimize(sum_words(bytes.data(), bytes.size()));
}

void datagrams(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"ip", "bytes", "checksum"})->ArgsProduct({{4, 6}, {172, 1200}, {0, 1}});
}
BENCHMARK(BM_IpHost_WriteHeaders)->Apply(datagrams);
BENCHMARK(BM_IpHost_Receive)->Apply(datagrams);
BENCHMARK(BM_Checksum_SumWords)->ArgName("bytes")->Arg(20)->Arg(172)->Arg(1200);

}  // namespace
}  // namespace trunkline::io

BENCHMARK_MAIN();
