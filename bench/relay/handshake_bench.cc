// What a sealed handshake costs the mesh thread, message by message, and what a stranger can make it spend:
// with a wrong mac1, with a right one and nothing behind it, and under load.
#include <benchmark/benchmark.h>

#include <array>

#include "tests/support/sealed_harness.h"

namespace trunkline::relay {
namespace {

using Message = std::array<uint8_t, kMaxHandshakeBytes>;

struct Ends {
  Ends() {
    a.expect(test::peer_of(*b_node));
    b.expect(test::peer_of(*a_node));
    a.write(kMsg1, hello, msg1);
    Message copy = msg1;
    if (!b.read(kMsg1, copy).ok) std::abort();
    msg2_length = b.write(kMsg2, hello, msg2);
  }

  test::SealedCluster cluster;
  std::unique_ptr<SealedIdentity> a_node = cluster.node(1), b_node = cluster.node(2);
  SealedHandshake a{*a_node, Suite::kAes128Gcm}, b{*b_node, Suite::kAes128Gcm};
  std::array<uint8_t, 300> hello{};
  Message msg1{}, msg2{};
  size_t msg2_length = 0;
};

void BM_SealedHandshake_WriteMsg1(benchmark::State& state) {
  Ends ends;
  Message out;
  for (auto _ : state) benchmark::DoNotOptimize(ends.a.write(kMsg1, ends.hello, out));
}
void BM_SealedHandshake_ReadMsg1(benchmark::State& state) {
  Ends ends;
  for (auto _ : state) {
    if (!ends.b.read(kMsg1, ends.msg1).ok) state.SkipWithError("refused");
  }
}
void BM_SealedHandshake_WriteMsg2(benchmark::State& state) {
  Ends ends;
  Message out;
  for (auto _ : state) benchmark::DoNotOptimize(ends.b.write(kMsg2, ends.hello, out));
}
void BM_SealedHandshake_ReadMsg2(benchmark::State& state) {
  Ends ends;
  for (auto _ : state) {
    if (!ends.a.read(kMsg2, std::span(ends.msg2).first(ends.msg2_length)).ok) state.SkipWithError("refused");
  }
}
// All that a responder does with a msg1: an object that reads anybody's reads it, and the link's answers it.
void BM_SealedHandshake_AnswerMsg1(benchmark::State& state) {
  Ends ends;
  SealedHandshake stranger(*ends.b_node, Suite::kAes128Gcm);
  Message in, out;
  for (auto _ : state) {
    in = ends.msg1;
    if (!stranger.read(kMsg1, in).ok) state.SkipWithError("refused");
    ends.b.take_over(stranger);
    benchmark::DoNotOptimize(ends.b.write(kMsg2, ends.hello, out));
  }
}
// The same, read a second time by the link's instead.
void BM_SealedHandshake_AnswerMsg1_ReadTwice(benchmark::State& state) {
  Ends ends;
  SealedHandshake stranger(*ends.b_node, Suite::kAes128Gcm);
  Message in, out;
  for (auto _ : state) {
    in = ends.msg1;
    if (!stranger.read(kMsg1, in).ok) state.SkipWithError("refused");
    in = ends.msg1;
    ends.b.begin();
    if (!ends.b.read(kMsg1, in).ok) state.SkipWithError("refused");
    benchmark::DoNotOptimize(ends.b.write(kMsg2, ends.hello, out));
  }
}
// A stranger who does not know the node's public key.
void BM_SealedHandshake_WrongMac1(benchmark::State& state) {
  Ends ends;
  ends.msg1[0] ^= 1;
  for (auto _ : state) benchmark::DoNotOptimize(ends.b.admit(ends.msg1, {}, {}, ends.msg2));
}
// One who does, and is not asked for more.
void BM_SealedHandshake_ForgedMsg1(benchmark::State& state) {
  Ends ends;
  ends.msg1[40] ^= 1;  // in the encrypted static key
  const size_t covered = ends.msg1.size() - kMacsBytes;
  const Mac mac = message_mac(ends.b_node->own_mac1_key(), kMsg1, std::span(ends.msg1).first(covered));
  std::copy(mac.begin(), mac.end(), ends.msg1.begin() + covered);
  for (auto _ : state) {
    if (ends.b.read(kMsg1, ends.msg1).ok) state.SkipWithError("accepted");
  }
}
// The same under load: a cookie, and nothing else.
void BM_SealedHandshake_CookieReply(benchmark::State& state) {
  Ends ends;
  ends.b_node->set_under_load(true);
  for (auto _ : state) benchmark::DoNotOptimize(ends.b.admit(ends.msg1, {}, {}, ends.msg2));
}

BENCHMARK(BM_SealedHandshake_WriteMsg1);
BENCHMARK(BM_SealedHandshake_ReadMsg1);
BENCHMARK(BM_SealedHandshake_WriteMsg2);
BENCHMARK(BM_SealedHandshake_ReadMsg2);
BENCHMARK(BM_SealedHandshake_AnswerMsg1);
BENCHMARK(BM_SealedHandshake_AnswerMsg1_ReadTwice);
BENCHMARK(BM_SealedHandshake_WrongMac1);
BENCHMARK(BM_SealedHandshake_ForgedMsg1);
BENCHMARK(BM_SealedHandshake_CookieReply);

}  // namespace
}  // namespace trunkline::relay

BENCHMARK_MAIN();
