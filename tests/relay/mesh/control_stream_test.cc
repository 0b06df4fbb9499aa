// The control stream: single steps on a perfect wire, then two ends over a seeded pipe that loses, repeats,
// reorders and corrupts, and every message must arrive exactly once and in order.
#include "relay/mesh/control_stream.h"

#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <vector>

#include "core/rng.h"
#include "relay/crc32c.h"
#include "relay/wire.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_us;
using Bytes = std::vector<uint8_t>;
using Received = ControlStream::Received;

constexpr Nanos kBase = from_ms(100);  // time out before the first sample

Bytes message(uint32_t number, size_t size = 8) {
  Bytes bytes(size, static_cast<uint8_t>(number));
  store_be32(bytes.data(), number);
  return bytes;
}

std::vector<Bytes> flushed(ControlStream& stream, Nanos now, uint32_t limit = UINT32_MAX) {
  std::vector<Bytes> out;
  stream.flush(
      now, kBase, [&](std::span<const uint8_t> s) { out.emplace_back(s.begin(), s.end()); }, limit);
  return out;
}

Received give(ControlStream& stream, Nanos now, const Bytes& segment,
              std::vector<Bytes>* messages = nullptr) {
  return stream.receive(now, segment, [&](std::span<const uint8_t> m) {
    if (messages != nullptr) messages->emplace_back(m.begin(), m.end());
  });
}

Bytes with_crc(Bytes segment) {
  const size_t checked = segment.size() - 4;
  store_be32(segment.data() + checked, crc32c({segment.data(), checked}));
  return segment;
}

TEST(ControlStream, PacksMessagesIntoOneSegmentAndDeliversThem) {
  ControlStream a(4), b(4);
  ASSERT_TRUE(a.try_append(message(1)));
  ASSERT_TRUE(a.try_append(message(2)));
  EXPECT_EQ(a.next_deadline(), Nanos{0});
  const auto segments = flushed(a, from_ms(1));
  ASSERT_EQ(segments.size(), 1u);
  EXPECT_EQ(segments[0].size(), kSegmentOverhead + 16);
  std::vector<Bytes> got;
  EXPECT_EQ(give(b, from_ms(2), segments[0], &got), Received::kAccepted);
  ASSERT_EQ(got.size(), 1u);
  EXPECT_EQ(got[0].size(), 16u);
  EXPECT_EQ(load_be32(got[0].data() + 8), 2u);
}

TEST(ControlStream, SaysWhenAMessageWasAcknowledged) {
  ControlStream a(4), b(4);
  EXPECT_EQ(a.append_position(), 0u);
  ASSERT_TRUE(a.try_append(message(1)));
  const uint64_t position = a.append_position();
  EXPECT_LT(a.acked_position(), position);
  give(b, from_ms(30), flushed(a, from_ms(0))[0]);
  const auto acks = flushed(b, from_ms(30));
  ASSERT_EQ(acks.size(), 1u);
  EXPECT_EQ(acks[0].size(), kSegmentOverhead);
  EXPECT_LT(a.acked_position(), position);
  give(a, from_ms(60), acks[0]);
  EXPECT_EQ(a.acked_position(), position);
  EXPECT_EQ(a.round_trip(), from_ms(60));
  EXPECT_EQ(flushed(a, from_ms(60)).size(), 0u);
  EXPECT_EQ(a.next_deadline(), core::kNever);
  EXPECT_EQ(b.next_deadline(), core::kNever) << "an acknowledgement is not acknowledged";
}

TEST(ControlStream, RefusesWhenTheWindowIsFullAndTakesAgainWhenAcknowledged) {
  ControlStream a(2), b(2);
  uint32_t taken = 0;
  while (taken < 100 && a.try_append(message(taken, 1000))) ++taken;
  EXPECT_EQ(taken, 2u);
  const auto segments = flushed(a, from_ms(0));
  EXPECT_FALSE(a.try_append(message(9)));
  give(b, from_ms(0), segments[0]);
  give(a, from_ms(0), flushed(b, from_ms(0))[0]);
  EXPECT_TRUE(a.try_append(message(9)));
}

TEST(ControlStream, ASegmentNeverExceedsAFrame) {
  ControlStream a(64);
  core::Rng rng(1);
  for (int i = 0; i < 60; ++i) ASSERT_TRUE(a.try_append(message(1, 4 + rng.below(kMaxMessageBytes - 3))));
  for (const Bytes& segment : flushed(a, from_ms(0))) EXPECT_LE(segment.size(), kMaxFrameBytes);
}

TEST(ControlStream, RepeatsAfterItsTimeOutAndDoublesItUpToTheCap) {
  ControlStream a(4);
  ASSERT_TRUE(a.try_append(message(1)));
  ASSERT_EQ(flushed(a, from_ms(0)).size(), 1u);
  Nanos at = from_ms(100);
  for (const int64_t wait_ms : {200, 400, 500, 500, 500}) {
    EXPECT_EQ(a.next_deadline(), at);
    EXPECT_EQ(flushed(a, at - Nanos{1}).size(), 0u);
    EXPECT_EQ(flushed(a, at).size(), 1u);
    at += from_ms(wait_ms);
  }
}

TEST(ControlStream, TimeOutFollowsTheMeasuredRoundTrip) {
  ControlStream a(4), b(4);
  Nanos now{};
  for (int i = 0; i < 50; ++i) {  // 10 ms each way, no variation: the deviation decays to nothing
    ASSERT_TRUE(a.try_append(message(1)));
    give(b, now, flushed(a, now)[0]);
    now += from_ms(20);
    give(a, now, flushed(b, now)[0]);
  }
  EXPECT_EQ(a.round_trip(), from_ms(20));
  ASSERT_TRUE(a.try_append(message(1)));
  flushed(a, now);
  EXPECT_GE(a.next_deadline() - now, ControlStream::kMinTimeout);
  EXPECT_LT(a.next_deadline() - now, from_ms(25));
}

TEST(ControlStream, RepeatsAtOnceWhatTwoLaterSegmentsOvertook) {
  ControlStream a(8), b(8);
  std::vector<Bytes> segments;
  for (uint32_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(a.try_append(message(i)));
    segments.push_back(flushed(a, from_ms(0))[0]);
  }
  std::vector<Bytes> got;  // segment 0 is lost
  give(b, from_ms(1), segments[1], &got);
  give(a, from_ms(1), flushed(b, from_ms(1))[0]);
  EXPECT_EQ(flushed(a, from_ms(1)).size(), 0u) << "one later segment may be reordering";
  give(b, from_ms(1), segments[2], &got);
  give(a, from_ms(1), flushed(b, from_ms(1))[0]);
  EXPECT_EQ(a.next_deadline(), Nanos{0});
  const auto repeats = flushed(a, from_ms(2));
  ASSERT_EQ(repeats.size(), 1u);
  EXPECT_EQ(load_be32(repeats[0].data()), 0u);
  EXPECT_TRUE(got.empty());
  give(b, from_ms(3), repeats[0], &got);
  ASSERT_EQ(got.size(), 3u);
  for (uint32_t i = 0; i < 3; ++i) EXPECT_EQ(load_be32(got[i].data()), i);
}

TEST(ControlStream, MeasuresEachSegmentOnceAndNoRepeat) {
  ControlStream a(8), b(8);
  std::vector<Bytes> segments;
  for (uint32_t i = 0; i < 2; ++i) {
    ASSERT_TRUE(a.try_append(message(i)));
    segments.push_back(flushed(a, from_ms(0))[0]);
  }
  give(b, from_ms(5), segments[1]);  // segment 0 is lost
  give(a, from_ms(10), flushed(b, from_ms(5))[0]);
  EXPECT_EQ(a.round_trip(), from_ms(10));
  const auto repeats = flushed(a, from_ms(90));
  ASSERT_EQ(repeats.size(), 1u) << "only what the peer lacks is sent again";
  EXPECT_EQ(load_be32(repeats[0].data()), 0u);
  give(b, from_ms(91), repeats[0]);
  give(a, from_ms(92), flushed(b, from_ms(91))[0]);
  EXPECT_EQ(a.acked_position(), 2u);
  EXPECT_EQ(a.round_trip(), from_ms(10)) << "neither the repeat nor what was known to be there is a sample";
}

TEST(ControlStream, OneSampleOfAPeerThatStoodStillDoesNotMakeTheNextLossWait) {
  ControlStream a(8), b(8);
  ASSERT_TRUE(a.try_append(message(1)));
  give(b, from_ms(10), flushed(a, from_ms(0))[0]);
  give(a, from_ms(4'000), flushed(b, from_ms(10))[0]);
  EXPECT_EQ(a.round_trip(), from_ms(4'000));
  ASSERT_TRUE(a.try_append(message(2)));
  flushed(a, from_ms(4'000));  // lost
  EXPECT_EQ(a.next_deadline(), from_ms(4'000) + ControlStream::kMaxTimeout);
  EXPECT_EQ(flushed(a, from_ms(4'500)).size(), 1u);
}

TEST(ControlStream, SegmentsBeyondTheBitmapAreRepeatedWhenTheyComeIntoView) {
  ControlStream a(128), b(128);
  for (uint32_t i = 0; i < 100; ++i) ASSERT_TRUE(a.try_append(message(i, 1000)));
  const auto segments = flushed(a, from_ms(0));
  ASSERT_EQ(segments.size(), 100u);
  for (size_t i = 0; i < 65; ++i) give(b, from_ms(1), segments[i]);
  EXPECT_EQ(flushed(a, from_ms(100)).size(), 65u) << "of the others no acknowledgement speaks yet";
  give(a, from_ms(110), flushed(b, from_ms(1))[0]);
  EXPECT_LE(a.next_deadline(), from_ms(110));
  EXPECT_EQ(flushed(a, from_ms(1'000)).size(), 35u);
}

TEST(ControlStream, AcknowledgesARepeatAgain) {
  ControlStream a(4), b(4);
  ASSERT_TRUE(a.try_append(message(1)));
  const auto segment = flushed(a, from_ms(0))[0];
  std::vector<Bytes> got;
  EXPECT_EQ(give(b, from_ms(1), segment, &got), Received::kAccepted);
  flushed(b, from_ms(1));  // this acknowledgement is lost
  EXPECT_EQ(give(b, from_ms(2), segment, &got), Received::kDuplicate);
  EXPECT_EQ(flushed(b, from_ms(2)).size(), 1u);
  EXPECT_EQ(got.size(), 1u);
}

TEST(ControlStream, DataCarriesTheAcknowledgement) {
  ControlStream a(4), b(4);
  ASSERT_TRUE(a.try_append(message(1)));
  give(b, from_ms(1), flushed(a, from_ms(0))[0]);
  ASSERT_TRUE(b.try_append(message(2)));
  const auto segments = flushed(b, from_ms(1));
  ASSERT_EQ(segments.size(), 1u);
  give(a, from_ms(2), segments[0]);
  EXPECT_EQ(a.acked_position(), 1u);
}

TEST(ControlStream, ALimitedFlushSaysThatMoreIsDue) {
  ControlStream a(8);
  for (uint32_t i = 0; i < 3; ++i) ASSERT_TRUE(a.try_append(message(i, 1000)));
  EXPECT_EQ(flushed(a, from_ms(0), 2).size(), 2u);
  EXPECT_EQ(a.next_deadline(), Nanos{0});
  EXPECT_EQ(flushed(a, from_ms(0), 0).size(), 0u);
  EXPECT_EQ(flushed(a, from_ms(0), 2).size(), 1u);
  EXPECT_EQ(a.next_deadline(), kBase);
}

TEST(ControlStream, ANewStreamHasNothingDueFromTheOldOne) {
  ControlStream a(4);
  ASSERT_TRUE(a.try_append(message(1)));
  flushed(a, from_ms(1));
  EXPECT_EQ(a.next_deadline(), from_ms(1) + kBase);
  a.reset();
  EXPECT_EQ(a.next_deadline(), core::kNever);
}

TEST(ControlStream, RejectsWithoutEffectWhatIsNotASegment) {
  ControlStream a(4), b(4);
  ASSERT_TRUE(a.try_append(message(1)));
  const Bytes good = flushed(a, from_ms(0))[0];
  const auto changed = [&](auto change) {
    Bytes bytes = good;
    change(bytes);
    return with_crc(bytes);
  };
  for (size_t length = 0; length < good.size(); ++length) {
    EXPECT_EQ(give(b, from_ms(1), Bytes(good.begin(), good.begin() + static_cast<std::ptrdiff_t>(length))),
              Received::kRejected);
  }
  for (size_t bit = 0; bit < good.size() * 8; ++bit) {
    Bytes bytes = good;
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    EXPECT_EQ(give(b, from_ms(1), bytes), Received::kRejected) << "bit " << bit;
  }
  EXPECT_EQ(give(b, from_ms(1), changed([](Bytes& s) { s[16] = 0; })), Received::kRejected) << "no flag";
  EXPECT_EQ(give(b, from_ms(1), changed([](Bytes& s) { s[16] = 3; })), Received::kRejected) << "other flag";
  EXPECT_FALSE(b.contradicted());
  EXPECT_EQ(give(b, from_ms(1), changed([](Bytes& s) { s[7] = 1; })), Received::kRejected)
      << "ack of nothing";
  EXPECT_TRUE(b.contradicted());
  EXPECT_EQ(give(b, from_ms(1), changed([](Bytes& s) { s[15] = 1; })), Received::kRejected)
      << "bit of nothing";
  EXPECT_EQ(give(b, from_ms(1), changed([](Bytes& s) { s.resize(kMaxFrameBytes + 1); })),
            Received::kRejected);
  Bytes empty(good.begin(), good.begin() + kSegmentOverhead);  // says messages, has none
  EXPECT_EQ(give(b, from_ms(1), with_crc(empty)), Received::kRejected);
  EXPECT_EQ(flushed(b, from_ms(1)).size(), 0u) << "nothing was acknowledged";
  std::vector<Bytes> got;
  EXPECT_EQ(give(b, from_ms(1), good, &got), Received::kAccepted);
  EXPECT_EQ(got.size(), 1u);
}

TEST(ControlStream, CountsWhatIsAheadOfTheWindow) {
  ControlStream a(8), b(2);
  std::vector<Bytes> segments;
  for (uint32_t i = 0; i < 4; ++i) {
    ASSERT_TRUE(a.try_append(message(i)));
    segments.push_back(flushed(a, from_ms(0))[0]);
  }
  EXPECT_EQ(give(b, from_ms(1), segments[1]), Received::kAccepted);
  EXPECT_EQ(give(b, from_ms(1), segments[1]), Received::kDuplicate);
  EXPECT_EQ(give(b, from_ms(1), segments[2]), Received::kOutOfWindow);
  EXPECT_EQ(give(b, from_ms(1), segments[0]), Received::kAccepted);
  EXPECT_EQ(give(b, from_ms(1), segments[2]), Received::kAccepted);
}

TEST(ControlStream, TheCallbackMayAppendAndMayReset) {
  ControlStream a(8), b(8);
  std::vector<Bytes> segments;
  for (uint32_t i = 0; i < 3; ++i) {
    ASSERT_TRUE(a.try_append(message(i)));
    segments.push_back(flushed(a, from_ms(0))[0]);
  }
  give(b, from_ms(1), segments[1]);
  give(b, from_ms(1), segments[2]);
  int delivered = 0;
  b.receive(from_ms(1), segments[0], [&](std::span<const uint8_t>) {
    EXPECT_TRUE(b.try_append(message(7)));
    if (++delivered == 2) b.reset();
  });
  EXPECT_EQ(delivered, 2) << "after reset() nothing more is delivered";
  EXPECT_EQ(b.append_position(), 0u);
  std::vector<Bytes> got;
  EXPECT_EQ(give(b, from_ms(2), segments[0], &got), Received::kAccepted) << "numbers start at 0 again";
  EXPECT_EQ(got.size(), 1u);
}

// ---- two ends over a bad wire

struct Wire {
  double loss, duplicate, reorder, corrupt;
};

class Pipe {
 public:
  Pipe(core::Rng& rng, Wire wire) : rng_(rng), wire_(wire) {}

  void send(Nanos now, std::span<const uint8_t> segment) {
    ASSERT_LE(segment.size(), kMaxFrameBytes);
    if (rng_.chance(wire_.loss)) return;
    const int copies = rng_.chance(wire_.duplicate) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      Nanos delay = from_ms(5);
      if (rng_.chance(wire_.reorder)) delay += from_us(static_cast<int64_t>(rng_.below(20'000)));
      Bytes bytes(segment.begin(), segment.end());
      if (rng_.chance(wire_.corrupt))
        bytes[rng_.below(bytes.size())] ^= static_cast<uint8_t>(1 + rng_.below(255));
      flying_.emplace(now + delay, std::move(bytes));
    }
  }
  template <class Fn>
  void deliver(Nanos now, Fn&& fn) {
    while (!flying_.empty() && flying_.begin()->first <= now) {
      const Bytes bytes = std::move(flying_.begin()->second);
      flying_.erase(flying_.begin());
      fn(bytes);
    }
  }
  Nanos next() const { return flying_.empty() ? core::kNever : flying_.begin()->first; }

 private:
  core::Rng& rng_;
  Wire wire_;
  std::multimap<Nanos, Bytes> flying_;
};

struct End {
  explicit End(uint32_t window) : stream(window) {}
  ControlStream stream;
  uint64_t appended = 0;
  uint64_t delivered = 0;
  uint64_t segments = 0, repeats = 0;
};

// Length-prefixed messages that contain their number: 16 to 79 bytes.
size_t numbered(uint64_t n, uint8_t* out) {
  const size_t size = 16 + n * 7 % 64;
  std::memset(out, static_cast<int>(n & 0xff), size);
  store_be16(out, static_cast<uint16_t>(size));
  store_be64(out + 2, n);
  return size;
}

void take(End& end, std::span<const uint8_t> messages) {
  uint8_t expected[128];
  size_t at = 0;
  while (at < messages.size()) {
    const size_t size = numbered(end.delivered, expected);
    ASSERT_LE(at + size, messages.size());
    ASSERT_EQ(std::memcmp(messages.data() + at, expected, size), 0) << "message " << end.delivered;
    at += size;
    ++end.delivered;
  }
}

// Runs `count` messages each way; returns the virtual time it took.
Nanos run(uint64_t seed, Wire wire, uint64_t count, uint32_t window_a, uint32_t window_b,
          uint64_t first = 0) {
  core::Rng rng(seed);
  End ends[2] = {End(window_a), End(window_b)};
  for (End& end : ends) end.stream.reset(first);
  Pipe pipes[2] = {Pipe(rng, wire), Pipe(rng, wire)};  // pipes[i]: away from ends[i]
  Nanos now{};
  const auto finished = [&] {
    return ends[0].delivered == count && ends[1].delivered == count &&
           ends[0].stream.acked_position() == ends[0].stream.append_position() &&
           ends[1].stream.acked_position() == ends[1].stream.append_position();
  };
  for (uint64_t step = 0; step < count * 100 + 100'000 && !finished() && !testing::Test::HasFailure();
       ++step) {
    for (int i = 0; i < 2; ++i) {
      End& end = ends[i];
      uint8_t bytes[128];
      for (int burst = 0; burst < 64 && end.appended < count; ++burst) {
        if (!end.stream.try_append({bytes, numbered(end.appended, bytes)})) break;
        ++end.appended;
      }
      if (end.stream.next_deadline() <= now) {
        const auto done =
            end.stream.flush(now, kBase, [&](std::span<const uint8_t> s) { pipes[i].send(now, s); });
        end.segments += done.segments;
        end.repeats += done.repeats;
      }
      pipes[1 - i].deliver(now, [&](const Bytes& segment) {
        end.stream.receive(now, segment, [&](std::span<const uint8_t> m) { take(end, m); });
      });
    }
    Nanos next = std::min(pipes[0].next(), pipes[1].next());
    for (const End& end : ends) next = std::min(next, end.stream.next_deadline());
    if (next == core::kNever) next = now;
    now = std::max(now, next);
  }
  EXPECT_TRUE(finished()) << "seed " << seed << ": " << ends[0].delivered << " and " << ends[1].delivered
                          << " of " << count;
  return now;
}

TEST(ControlStreamPipe, DeliversTwoMillionMessagesExactlyOnceInOrder) {
  run(20261122, {.loss = 0.05, .duplicate = 0.05, .reorder = 0.1, .corrupt = 0.01}, 1'000'000, 64, 64);
}

TEST(ControlStreamPipe, SurvivesEveryKindOfBadWire) {
  const Wire wires[] = {{0, 0, 0, 0},   {0.4, 0, 0, 0},       {0, 0.5, 0, 0},       {0, 0, 1, 0},
                        {0, 0, 0, 0.3}, {0.2, 0.2, 0.5, 0.1}, {0.01, 0.01, 0.01, 0}};
  const std::pair<uint32_t, uint32_t> windows[] = {{1, 1}, {2, 64}, {64, 3}, {256, 256}, {1024, 7}};
  uint64_t seed = 1;
  for (const Wire& wire : wires) {
    for (const auto& [a, b] : windows) {
      SCOPED_TRACE(testing::Message() << "seed " << seed << ", windows " << a << " and " << b);
      run(seed++, wire, 3'000, a, b);
    }
  }
}

TEST(ControlStreamPipe, NumbersMayWrapOnTheWire) {
  const Wire bad{.loss = 0.1, .duplicate = 0.1, .reorder = 0.3, .corrupt = 0.01};
  for (const uint64_t first : {(uint64_t{1} << 32) - 20, (uint64_t{1} << 31) - 20, (uint64_t{7} << 32) - 1}) {
    run(first, bad, 20'000, 64, 64, first);
  }
}

TEST(ControlStreamPipe, APerfectWireCarriesNoRepeat) {
  ControlStream a(64), b(64);
  Nanos now{};
  uint32_t repeats = 0;
  for (uint32_t i = 0; i < 1'000; ++i) {
    ASSERT_TRUE(a.try_append(message(i)));
    std::vector<Bytes> segments;
    repeats += a.flush(now, kBase, [&](std::span<const uint8_t> s) {
                  segments.emplace_back(s.begin(), s.end());
                }).repeats;
    now += from_ms(7);
    for (const Bytes& s : segments) give(b, now, s);
    for (const Bytes& s : flushed(b, now)) give(a, now, s);
  }
  EXPECT_EQ(repeats, 0u);
  EXPECT_EQ(a.acked_position(), 1'000u);
}

TEST(ControlStreamPipe, LosingOneInTwentyCostsAboutTheSameTimeAsLosingNone) {
  // Selective acknowledgement at work: holes of one window are repaired in the same round trip.
  const Nanos clean = run(5, {0, 0, 0, 0}, 50'000, 64, 64);
  const Nanos lossy = run(5, {0.05, 0, 0, 0}, 50'000, 64, 64);
  EXPECT_LT(lossy, clean * 4);
}

}  // namespace
}  // namespace trunkline::relay
