// `tools/dev figures seal`: what it costs to seal and to open a datagram, beside OpenSSL, and beside Intel's
// library in a bare loop; and what the whole relay step costs with both (bench/seal/hop_figures.cc). Runs of
// 32 datagrams of one lane; the packet's size is in the figure's name.
//
// usage: figures_seal [--repeat N] [--scale S] [name prefix]...
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "bench/core/contest.h"
#include "bench/seal/hop_figures.h"
#include "bench/seal/sealers.h"
#include "core/check.h"

namespace trunkline::bench {
namespace {

using relay::Suite;

constexpr const char* kOpenssl = "OpenSSL EVP, context kept, nonce set per datagram";

// ns per datagram of so many runs, after some that are not counted.
template <class Once>
double ns_per_datagram(uint64_t runs, Once once) {
  for (uint64_t i = 0; i < runs / 8 + 1; ++i) once();
  const double begin = now_ns();
  for (uint64_t i = 0; i < runs; ++i) once();
  return (now_ns() - begin) / static_cast<double>(runs * SealRun::kDatagrams);
}

// Some 40 ms of ours at either size.
uint64_t runs_of(const CoreOptions& options, uint32_t packet) {
  return options.scaled(packet < 500 ? 40'000 : 15'000);
}

Figure figure(std::string name, const char* peer, double goal, const char* note) {
  return {.name = std::move(name), .unit = "ns/datagram", .peer = peer, .goal = goal, .note = note};
}

void against_openssl(const CoreOptions& options, const std::string& name, Suite suite, uint32_t packet,
                     double goal) {
  SealRun run(packet);
  OurSeal ours(suite);
  OpensslSeal openssl(suite);
  const uint64_t runs = runs_of(options, packet);
  contest(
      options,
      figure(name + std::to_string(packet), kOpenssl, goal, "runs of 32, the next counters included"),
      [&] { return ns_per_datagram(runs, [&] { ours.seal(run); }); },
      [&] { return ns_per_datagram(runs, [&] { openssl.seal(run); }); });
}

// Opening is in place, so each side copies what it opens first, and is charged for it.
void opening(const CoreOptions& options, uint32_t packet) {
  SealRun run(packet), our_sealed(packet), their_sealed(packet);
  OurSeal ours(Suite::kAes128Gcm);
  OpensslSeal openssl(Suite::kAes128Gcm);
  ours.seal(our_sealed);
  openssl.seal(their_sealed);
  const uint64_t runs = runs_of(options, packet);
  contest(
      options,
      figure("seal.open." + std::to_string(packet), kOpenssl, 0, "to open; a copy of the datagram included"),
      [&] { return ns_per_datagram(runs, [&] { TL_CHECK(ours.open(run, our_sealed)); }); },
      [&] { return ns_per_datagram(runs, [&] { TL_CHECK(openssl.open(run, their_sealed)); }); });
}

// What lanes, counters and limits add to the cipher.
void bare(const CoreOptions& options, uint32_t packet) {
  SealRun run(packet);
  OurSeal ours(Suite::kAes128Gcm);
  BareSeal library;
  const uint64_t runs = runs_of(options, packet);
  contest(
      options,
      figure("seal.bare." + std::to_string(packet), "Intel's library in a bare loop, one nonce for all", 0,
             "ours writes headers and nonces too"),
      [&] { return ns_per_datagram(runs, [&] { ours.seal(run); }); },
      [&] { return ns_per_datagram(runs, [&] { library.seal(run); }); });
}

// One core's cost while another seals as well: they share nothing, and so it is the same (relay/ipsec_mb.h).
void two_cores(const CoreOptions& options, uint32_t packet) {
  if (!options.wants("seal.cores2." + std::to_string(packet)) || std::thread::hardware_concurrency() < 2)
    return;
  const uint64_t runs = runs_of(options, packet);
  const auto seal_on = [&](int cpu) {
    pin(cpu);
    SealRun run(packet);
    OurSeal ours(Suite::kAes128Gcm, 0, 2);
    return ns_per_datagram(runs, [&] { ours.seal(run); });
  };
  const auto alone = [&] {
    double ns = 0;
    std::thread([&] { ns = seal_on(0); }).join();
    return ns;
  };
  const auto beside = [&] {
    std::atomic<bool> ready = false, done = false;
    std::thread other([&] {
      pin(1);
      SealRun run(packet);
      OurSeal ours(Suite::kAes128Gcm, 1, 2);
      while (!done.load(std::memory_order_relaxed)) {
        ours.seal(run);
        ready.store(true, std::memory_order_release);
      }
    });
    while (!ready.load(std::memory_order_acquire)) std::this_thread::yield();
    const double ns = alone();
    done.store(true, std::memory_order_relaxed);
    other.join();
    return ns;
  };
  contest(options,
          figure("seal.cores2." + std::to_string(packet), "the same with the other core idle", 1.1,
                 "two cores seal at once"),
          beside, alone);
}

void figures(const CoreOptions& options) {
  against_openssl(options, "seal.", Suite::kAes128Gcm, 172, 0.15);
  against_openssl(options, "seal.", Suite::kAes128Gcm, 1200, 0.25);
  against_openssl(options, "seal.aes256.", Suite::kAes256Gcm, 172, 0);
  against_openssl(options, "seal.aes256.", Suite::kAes256Gcm, 1200, 0);
  against_openssl(options, "seal.chacha.", Suite::kChaCha20Poly1305, 172, 0);
  against_openssl(options, "seal.chacha.", Suite::kChaCha20Poly1305, 1200, 0);
  opening(options, 172);
  opening(options, 1200);
  bare(options, 172);
  bare(options, 1200);
  two_cores(options, 172);
  two_cores(options, 1200);
  hop_figures(options);
}

}  // namespace
}  // namespace trunkline::bench

int main(int count, char** words) {
  trunkline::bench::CoreOptions options;
  options.repeat = 7;
  for (int i = 1; i < count; ++i) {
    if (std::strcmp(words[i], "--repeat") == 0 && i + 1 < count) {
      options.repeat = std::atoi(words[++i]);
    } else if (std::strcmp(words[i], "--scale") == 0 && i + 1 < count) {
      options.scale = std::atof(words[++i]);
    } else if (words[i][0] == '-') {
      std::fprintf(stderr, "usage: figures_seal [--repeat N] [--scale S] [name prefix]...\n");
      return 2;
    } else {
      options.only.push_back(words[i]);
    }
  }
  trunkline::bench::figures(options);
  return 0;
}
