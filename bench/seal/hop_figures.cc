// Whole hops, ours beside what they would be of nothing but cryptography, and beside SRTP.
#include "bench/seal/hop_figures.h"

#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include "bench/seal/hop.h"

namespace trunkline::bench {

void give_up(const std::string& why) {
  std::fprintf(stderr, "bench: %s\n", why.c_str());
  std::exit(1);
}

namespace {

constexpr uint32_t kFan = 16;
// A burst's copies for so many outputs are as much as the second-level cache holds.
constexpr uint32_t kFanSlice = 2 * kHopBurst;

using Make = std::function<std::unique_ptr<Hop>()>;

uint64_t packets_of(const CoreOptions& options, uint32_t payload) {
  return options.scaled(payload < 500 ? 500'000 : 250'000);
}

// One after the other on this thread, each warm before it counts.
void hops(const CoreOptions& options, const Figure& figure, uint32_t payload, const Make& ours,
          const Make& peers) {
  if (!options.wants(figure.name)) return;
  const std::unique_ptr<Hop> us = ours(), them = peers();
  if (them == nullptr) return;
  const uint64_t packets = packets_of(options, payload);
  ns_per_packet(*us, packets / 8);
  ns_per_packet(*them, packets / 8);
  contest(
      options, figure, [&] { return ns_per_packet(*us, packets); },
      [&] { return ns_per_packet(*them, packets); });
}

void steps(const CoreOptions& options, uint32_t payload) {
  const std::string size = std::to_string(payload);
  const std::string port = "a port in memory, with frames; 4096 flows, bursts of 32, opened and sealed: ";
  const std::string note =
      port + (payload < 400 ? "audio, leaves several to a datagram" : "video, leaves in its frame");
  const auto ours = [payload] { return make_relay_hop(payload, 1, kHopSlice); };
  hops(options,
       {.name = "seal.step." + size,
        .unit = "ns/packet",
        .peer = "Intel's library: the same datagrams opened and sealed",
        .goal = 1.25,
        .note = note},
       payload, ours, [payload] { return make_bare_hop(payload); });
  if (payload < 400) return;
  hops(options,
       {.name = "seal.step.srtp." + size,
        .unit = "ns/packet",
        .peer = "libsrtp2: srtp_unprotect and srtp_protect, AEAD_AES_128_GCM",
        .goal = 0.25,
        .note = note + "; libsrtp as Debian builds it, on NSS, of 16 streams"},
       payload, ours, [payload] { return make_libsrtp_hop(payload); });
  hops(options,
       {.name = "seal.step.srtpmb." + size,
        .unit = "ns/packet",
        .peer = "an SRTP hop on Intel's library, AEAD_AES_128_GCM",
        .goal = 1.0,
        .note = note},
       payload, ours, [payload] { return make_srtp_hop(payload); });
}

// What one more output costs, at 16 of them: the difference between 16 and 1, by 15.
void fan_out(const CoreOptions& options) {
  constexpr uint32_t kPayload = 1200;
  const Figure figure{.name = "seal.fanout",
                      .unit = "ns/output",
                      .peer = "Intel's library: a run of 32 sealed in place",
                      .goal = 1.15,
                      .note = "1200 bytes; each output owns its bytes, the copy included"};
  if (!options.wants(figure.name)) return;
  const std::unique_ptr<Hop> one = make_relay_hop(kPayload, 1, kFanSlice);
  const std::unique_ptr<Hop> all = make_relay_hop(kPayload, kFan, kFanSlice);
  const std::unique_ptr<Hop> bare = make_bare_sealer(kPayload);
  const uint64_t packets = packets_of(options, kPayload);
  const auto cost = [&] {
    const double single = ns_per_packet(*one, packets);
    return (ns_per_packet(*all, packets / 4) - single) / (kFan - 1);
  };
  cost();
  ns_per_packet(*bare, packets / 8);
  contest(options, figure, cost, [&] { return ns_per_packet(*bare, packets); });
}

}  // namespace

void hop_figures(const CoreOptions& options) {
  steps(options, 172);
  steps(options, 1200);
  fan_out(options);
}

}  // namespace trunkline::bench
