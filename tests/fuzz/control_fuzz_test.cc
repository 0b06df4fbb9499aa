// A million inputs each for what a peer's control traffic and handshakes can contain: messages, HELLO and
// refusals, control segments. Nothing may read outside its input, whatever decodes must encode to the very
// bytes it came from (the encoding is canonical), and rubbish never moves a stream's numbers out of its
// window.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "relay/crc32c.h"
#include "relay/mesh/control_stream.h"
#include "relay/mesh/hello.h"
#include "relay/mesh/messages.h"
#include "relay/null_suite.h"
#include "relay/wire.h"
#include "tests/fuzz/exact_copy.h"
#include "tests/fuzz/mutator.h"

namespace trunkline::relay {
namespace {

using fuzz::ExactCopy;
using fuzz::Mutator;
using Bytes = std::vector<uint8_t>;

constexpr int kInputs = 1'000'000;
constexpr uint64_t kSeed = 20261122;

template <class T>
Bytes encoded(const T& value) {
  Bytes out(2 * kMaxFrameBytes);
  out.resize(encode(value, out));
  EXPECT_FALSE(out.empty());
  return out;
}

std::vector<Bytes> message_seeds() {
  static constexpr uint8_t kDescriptor[20] = {1, 2, 3};
  core::TrackId track;
  track.bytes.fill(7);
  Acquire acquire;
  acquire.request_id = 5;
  acquire.track = track;
  acquire.label = {1025};
  acquire.path = {core::NodeId{1}, core::NodeId{2}, core::NodeId{3}};
  acquire.path_length = 3;
  Answer answer;
  answer.request_id = 5;
  answer.text = "wire.mtu: mine '1', theirs '2'";
  answer.descriptor = kDescriptor;
  std::vector<Bytes> seeds = {encoded(Announce{track, 1, true, TrafficClass::kAudio}),
                              encoded(Withdraw{track, 1}),
                              encoded(SnapshotEnd{}),
                              encoded(acquire),
                              encoded(answer),
                              encoded(Release{5, {1025}, track}),
                              encoded(Ended{5, track, {1025}, Outcome::gone, 1})};
  Bytes all;
  for (const Bytes& seed : seeds) all.insert(all.end(), seed.begin(), seed.end());
  seeds.push_back(all);
  return seeds;
}

// A mutation of one of `seeds`, or, one time in eight, random bytes.
Bytes input(Mutator& mutator, const std::vector<Bytes>& seeds) {
  if (mutator.below(8) == 0) return mutator.random(kMaxFrameBytes);
  return mutator.mutate(seeds[mutator.below(seeds.size())]);
}

// Every message that reads is written back and must be where it was read. Returns how many.
uint32_t read_back(std::span<const uint8_t> bytes) {
  MessageReader reader(bytes);
  Bytes again(kMaxMessageBytes);
  uint32_t read = 0;
  for (size_t steps = 0; steps <= bytes.size(); ++steps) {
    const auto item = reader.next();
    if (item == MessageReader::Item::kEnd) return read;
    if (item != MessageReader::Item::kMessage) continue;
    ++read;
    const size_t length = std::visit([&](const auto& m) { return encode(m, again); }, reader.message());
    EXPECT_GT(length, 0u);
    const auto written = again.begin() + static_cast<std::ptrdiff_t>(length);
    EXPECT_NE(std::search(bytes.begin(), bytes.end(), again.begin(), written), bytes.end());
  }
  ADD_FAILURE() << "the reader does not end";
  return read;
}

TEST(ControlFuzz, MessagesThatReadAreCanonical) {
  Mutator mutator(kSeed);
  ExactCopy copy;
  const auto seeds = message_seeds();
  uint64_t read = 0;
  for (int i = 0; i < kInputs && !testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE(i);
    read += read_back(copy.of(input(mutator, seeds)));
  }
  EXPECT_GT(read, uint64_t{kInputs} / 10) << "mutations should leave a share of messages whole";
}

TEST(ControlFuzz, HellosAndRefusalsThatReadAreCanonical) {
  NodeConfig config;
  config.id = {7};
  config.cluster = "lab-one";
  config.name = "ams-1";
  config.wire = {
      {"mtu", "1500", {"1500", "9000"}}, {"suite", "null", {"null"}}, {"track_namespace", "a", {"a"}}};
  Hello hello = make_hello(config, 1);
  hello.cores[0] = {7000, 0x10002};
  const std::vector<Bytes> seeds = {encoded(hello),
                                    encoded(Refusal{RefusalCode::kSetting, "wire.mtu", "1500", "9000"})};
  Mutator mutator(kSeed + 1);
  ExactCopy copy;
  Bytes again(2 * kMaxFrameBytes);
  uint64_t hellos = 0, refusals = 0;
  for (int i = 0; i < kInputs && !testing::Test::HasFailure(); ++i) {
    SCOPED_TRACE(i);
    const auto bytes = copy.of(input(mutator, seeds));
    if (const auto read = decode_hello(bytes)) {
      ++hellos;
      (void)judge(hello, *read, Rules{});
      // Unknown fields are skipped, so what is written back may be shorter, and must then read the same.
      again.resize(2 * kMaxFrameBytes);
      again.resize(encode(*read, again));
      EXPECT_FALSE(again.empty());
      EXPECT_LE(again.size(), bytes.size());
      EXPECT_TRUE(decode_hello(again).has_value());
    }
    if (const auto read = decode_refusal(bytes)) {
      ++refusals;
      Refusal swapped = *read;
      std::swap(swapped.mine, swapped.theirs);
      again.resize(2 * kMaxFrameBytes);
      again.resize(encode(swapped, again));
      EXPECT_TRUE(std::equal(bytes.begin(), bytes.end(), again.begin(), again.end()));
      EXPECT_EQ(read->text().back(), '\0');
    }
  }
  EXPECT_GT(hellos, uint64_t{kInputs} / 100);
  EXPECT_GT(refusals, uint64_t{kInputs} / 100);
}

TEST(ControlFuzz, HandshakesNeverReadBeyondTheirInput) {
  core::Rng rng(1);
  NullHandshake initiator(rng, Suite::kNull);
  Bytes msg1(kMaxHandshakeBytes);
  ASSERT_EQ(initiator.write(kMsg1, {}, msg1), msg1.size());
  Mutator mutator(kSeed + 2);
  for (int i = 0; i < kInputs / 10; ++i) {
    const Bytes mutated = mutator.mutate(msg1);
    const bool whole = mutated == msg1;
    Bytes bytes(mutated);  // a copy's block ends where it ends, which AddressSanitizer sees
    NullHandshake responder(rng, Suite::kNull);
    ASSERT_EQ(responder.read(kMsg1, bytes).ok, whole) << i;
  }
}

// One end is fed mutated segments, half of them with a correct CRC: its numbers stay within their window, and
// what it emits stays a frame.
TEST(ControlFuzz, SegmentsNeverHarmTheStream) {
  Mutator mutator(kSeed + 3);
  ExactCopy copy;
  const auto messages = message_seeds();
  ControlStream sender(16), receiver(16);
  Nanos now{};
  uint64_t delivered = 0, rejected = 0;
  for (int i = 0; i < kInputs / 4; ++i) {
    if (i % 64 == 0) {
      sender.reset();
      receiver.reset();
    }
    now += core::from_ms(1);
    (void)sender.try_append(messages[mutator.below(messages.size())]);
    (void)receiver.try_append(messages[mutator.below(messages.size())]);
    std::vector<Bytes> segments;
    const auto keep = [&](std::span<const uint8_t> s) {
      ASSERT_LE(s.size(), kMaxFrameBytes);
      segments.emplace_back(s.begin(), s.end());
    };
    sender.flush(now, core::from_ms(50), keep);
    for (const Bytes& segment : segments) {
      Bytes bytes = mutator.mutate(segment);
      if (bytes.size() >= 4 && mutator.below(2) == 0) {
        store_be32(bytes.data() + bytes.size() - 4, crc32c({bytes.data(), bytes.size() - 4}));
      }
      const auto result = receiver.receive(now, copy.of(bytes), [&](std::span<const uint8_t> m) {
        ++delivered;
        MessageReader reader(m);
        for (size_t n = 0; n <= m.size() && reader.next() != MessageReader::Item::kEnd; ++n) {
        }
      });
      rejected += result == ControlStream::Received::kRejected ? 1 : 0;
    }
    receiver.flush(now, core::from_ms(50),
                   [](std::span<const uint8_t> s) { ASSERT_LE(s.size(), kMaxFrameBytes); });
    ASSERT_LE(receiver.acked_position(), receiver.append_position());
    ASSERT_LE(receiver.append_position() - receiver.acked_position(), 16u + 1);
  }
  EXPECT_GT(delivered, 1'000u);
  EXPECT_GT(rejected, 1'000u);
}

}  // namespace
}  // namespace trunkline::relay
