// The control stream. Between two honest ends whatever the wire does: every message once, in order. From a
// dishonest one: the numbers stay within their window, and what goes out stays a frame.
#include <deque>

#include "relay/crc32c.h"
#include "relay/mesh/control_stream.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;
using trunkline::core::from_ms;

namespace {

using Buffer = std::vector<uint8_t>;

struct End {
  explicit End(uint32_t window) : stream(window) {}
  ControlStream stream;
  std::deque<Buffer> wire;   // segments on their way to the other end
  std::vector<Buffer> said;  // messages that were taken
  size_t heard = 0;          // of the other end's `said`
};

class Conversation {
 public:
  explicit Conversation(trunkline::fuzz::Bytes bytes) : in_(bytes) {}

  void run() {
    const bool honest = in_.flag();
    while (!in_.empty() && !testing::Test::HasFatalFailure()) {
      const bool turned = in_.flag();
      End& from = turned ? b_ : a_;
      End& to = turned ? a_ : b_;
      now_ += from_ms(in_.below(64));
      const uint32_t what = in_.below(honest ? 6 : 8);
      switch (what) {
        case 0:
          append(from);
          break;
        case 1:
          flush(from, in_.below(4) == 0 ? in_.below(3) : UINT32_MAX);
          break;
        case 2:
          if (!from.wire.empty()) from.wire.pop_front();
          break;
        case 3:
          if (!from.wire.empty()) from.wire.push_back(from.wire.front());
          break;
        case 4:
          if (from.wire.size() > 1) std::swap(from.wire.front(), from.wire[in_.u8() % from.wire.size()]);
          break;
        case 5:
          deliver(from, to);
          break;
        case 6:
          forge(from);
          break;
        default:
          from.stream.reset(in_.u8());
          dishonest_ = true;
          break;
      }
      for (const End* end : {&a_, &b_}) {
        ASSERT_LE(end->stream.acked_position(), end->stream.append_position());
        ASSERT_LE(end->stream.append_position() - end->stream.acked_position(), kWindow + 1);
      }
    }
    if (!dishonest_) finish();
  }

 private:
  static constexpr uint32_t kWindow = 4;

  void append(End& end) {
    Buffer message = trunkline::fuzz::copy_of(in_.counted());
    if (in_.below(4) == 0) message.resize(kMaxMessageBytes, 0x5a);
    if (message.empty()) message.push_back(1);
    if (end.stream.try_append(message)) end.said.push_back(std::move(message));
  }
  void flush(End& end, uint32_t limit) {
    uint32_t emitted = 0;
    const auto done = end.stream.flush(
        now_, from_ms(50),
        [&](std::span<const uint8_t> segment) {
          EXPECT_LE(segment.size(), kMaxFrameBytes);
          EXPECT_GE(segment.size(), kSegmentOverhead);
          end.wire.emplace_back(segment.begin(), segment.end());
          ++emitted;
        },
        limit);
    EXPECT_EQ(done.segments, emitted);
    EXPECT_LE(emitted, limit);
  }
  void deliver(End& from, End& to) {
    if (from.wire.empty()) return;
    const Buffer segment = std::move(from.wire.front());
    from.wire.pop_front();
    const auto result = to.stream.receive(now_, segment, [&](std::span<const uint8_t> messages) {
      if (dishonest_) return;
      // Whole messages of the other end, in order, as many as there are bytes.
      while (!messages.empty()) {
        ASSERT_LT(to.heard, from.said.size());
        const Buffer& next = from.said[to.heard++];
        ASSERT_GE(messages.size(), next.size());
        ASSERT_TRUE(std::equal(next.begin(), next.end(), messages.begin()));
        messages = messages.subspan(next.size());
      }
    });
    if (!dishonest_) {
      EXPECT_NE(result, ControlStream::Received::kRejected);
      EXPECT_FALSE(to.stream.contradicted());
    }
  }
  // A segment with any fields, mostly with a CRC that fits.
  void forge(End& from) {
    dishonest_ = true;
    Buffer segment(kSegmentHeaderBytes);
    const bool near = in_.flag();
    store_be32(&segment[0], near ? in_.u8() - 100u : in_.u32());
    store_be32(&segment[4], near ? in_.below(8) : in_.u32());
    store_be64(&segment[8], in_.u64());
    segment[16] = in_.below(8) == 7 ? in_.u8() : static_cast<uint8_t>(in_.below(2));
    const auto payload = in_.counted();
    segment.insert(segment.end(), payload.begin(), payload.end());
    if (in_.below(8) == 7) segment.resize(in_.u16() % 1'300);
    const uint32_t crc = crc32c(segment);
    segment.resize(segment.size() + 4);
    store_be32(&segment[segment.size() - 4], in_.below(8) == 7 ? in_.u32() : crc);
    if (in_.below(16) == 15) segment.resize(in_.u8() % (segment.size() + 1));
    from.wire.push_front(segment);
  }
  // The wire is good from now on: everything arrives.
  void finish() {
    for (int round = 0; round < 400; ++round) {
      now_ += from_ms(10);
      for (auto [from, to] : {std::pair{&a_, &b_}, std::pair{&b_, &a_}}) {
        flush(*from, UINT32_MAX);
        while (!from->wire.empty()) deliver(*from, *to);
      }
    }
    EXPECT_EQ(b_.heard, a_.said.size());
    EXPECT_EQ(a_.heard, b_.said.size());
    for (const End* end : {&a_, &b_}) EXPECT_EQ(end->stream.acked_position(), end->stream.append_position());
  }

  trunkline::fuzz::Input in_;
  End a_{kWindow}, b_{kWindow};
  trunkline::core::Nanos now_{from_ms(1)};
  bool dishonest_ = false;
};

}  // namespace

TRUNKLINE_FUZZ_TARGET(control_stream) {
  Conversation(input).run();
}
