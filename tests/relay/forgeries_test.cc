// Forged and repeated datagrams, by the hundred thousand here and by the 10^8 in `tools/dev attacks --forge`:
// none is accepted, each is counted under the reason that it was refused for, and genuine media between them
// loses nothing. The path, its sessions and its cipher are the real ones; the wire is in memory
// (tests/support/attacked_core.h).
//
// TRUNKLINE_FORGERIES: how many in all; and then what became of them is printed.
#include <gtest/gtest.h>

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "tests/support/attacked_core.h"
#include "tests/support/frame_port.h"

namespace trunkline::tests {
namespace {

constexpr uint64_t kSeed = 20261130;
constexpr uint64_t kShortTier = 400'000;
constexpr uint32_t kGenuine = 4;  // of a burst of kBurst
constexpr uint32_t kFlood = 8;    // each so many-th burst has forged tags only, and is timed

// What an attacker can make of what passes by. Each takes a genuine datagram that has not arrived yet (its
// counter is new to the receiver) or one that was recorded.
enum class Attack : uint8_t {
  random_body,  // a header in order, anything behind it
  header_bit,   // of a genuine one: version, type, phase, lane, counter or session index
  body_bit,
  tag_bit,
  cut,
  longer,
  counter_jump,  // ahead by up to 2^47
  counter_back,
  other_lane,       // of the same session
  no_lane,          // beyond the peer's cores
  other_session,    // of another link, under this one's index
  former_session,   // recorded before the keys were replaced, under the new index
  reflected,        // what we sent, sent back
  reflected_to_us,  // the same under our index
  replay,           // recorded, of whichever session, at most so old as the list is long
  replay_old,       // the oldest that the list has
  twin,             // of one that arrives in the same burst
  noise,            // any bytes
  kCount
};
constexpr std::array<const char*, static_cast<size_t>(Attack::kCount)> kNames = {
    "random body",
    "bit of the header",
    "bit of the body",
    "bit of the tag",
    "cut",
    "longer",
    "counter ahead",
    "counter back",
    "another lane",
    "no lane",
    "another link's session",
    "former session's under the new index",
    "reflected",
    "reflected, to us",
    "replayed",
    "replayed, old",
    "twin in a burst",
    "noise"};

void randomise(core::Rng& rng, uint8_t* at, size_t length) {
  for (; length >= 8; at += 8, length -= 8) relay::store_be64(at, rng.next());
  for (; length > 0; --length) *at++ = static_cast<uint8_t>(rng.next());
}

template <class AnyPort>
class Attacker {
 public:
  Attacker(relay::Suite suite, uint64_t seed) : core_(suite, seed), rng_(core_.rng) {}

  void run(uint64_t forgeries) {
    // Long enough that counters fall behind the window; of each, half its time beside the one before it.
    const uint64_t sessions = std::clamp<uint64_t>(forgeries / 20'000, 2, 64);
    const uint64_t per_session = forgeries / (2 * sessions) + 1;
    uint64_t turn = per_session;
    for (uint64_t burst = 0; forged_ < forgeries && !testing::Test::HasFatalFailure(); ++burst) {
      if (forged_ >= turn) {
        (turn / per_session) % 2 == 1 ? rekey() : forget();
        turn += per_session;
      }
      burst % kFlood == kFlood - 1 ? flood() : mixed();
    }
    core_.check();
  }

  AttackedCore<AnyPort>& core() { return core_; }
  uint64_t forged() const { return forged_; }
  uint64_t of(Attack attack) const { return counts_[static_cast<size_t>(attack)]; }
  // Of a burst of nothing but forged tags.
  double flood_ns() const {
    return flooded_ == 0 ? 0 : static_cast<double>(flood_took_.count()) / static_cast<double>(flooded_);
  }

 private:
  struct Arrival {
    ByteVector bytes;
    bool sealed;
  };

  void rekey() {
    for (LinkId source = 0; source < kSources; ++source) core_.rekey(source);
    core_.run();
  }
  void forget() {
    for (LinkId source = 0; source < kSources; ++source) core_.forget_former(source);
    core_.run();
  }

  // Genuine datagrams of one lane, and what is made of them and of others, in any order.
  void mixed() {
    link_ = static_cast<LinkId>(rng_.below(kSources));
    lane_ = static_cast<uint8_t>(rng_.below(kLanes));
    arrivals_.clear();
    for (uint32_t i = 0; i < kGenuine; ++i) {
      const auto payload = static_cast<uint32_t>(rng_.below(16) == 0 ? 1'200 : 24 + rng_.below(180));
      arrivals_.push_back({core_.genuine(link_, lane_, payload), true});
    }
    while (arrivals_.size() < kBurst) {
      const auto attack = static_cast<Attack>(rng_.below(static_cast<uint64_t>(Attack::kCount)));
      arrivals_.push_back(make(attack, arrivals_[rng_.below(kGenuine)].bytes));
      ++counts_[static_cast<size_t>(attack)];
      ++forged_;
    }
    for (size_t i = arrivals_.size() - 1; i > 0; --i) std::swap(arrivals_[i], arrivals_[rng_.below(i + 1)]);
    for (const Arrival& arrival : arrivals_) core_.arrive(arrival.bytes, arrival.sealed);
    core_.run();
  }

  // The dearest to refuse: a session and a counter that are in order, so that each tag must be computed.
  void flood() {
    link_ = static_cast<LinkId>(rng_.below(kSources));
    lane_ = static_cast<uint8_t>(rng_.below(kLanes));
    for (uint32_t i = 0; i < kBurst; ++i) core_.arrive(random_body(kFloodBytes), false);
    const auto before = core_.took;
    core_.run();
    flood_took_ += core_.took - before;
    flooded_ += kBurst;
    forged_ += kBurst;
    counts_[static_cast<size_t>(Attack::random_body)] += kBurst;
  }

  Arrival make(Attack attack, ByteVector bytes) {
    const size_t length = bytes.size();
    switch (attack) {
      case Attack::random_body:
        return {random_body(28 + rng_.below(300)), false};
      case Attack::header_bit:
        return {flipped(std::move(bytes), 0, relay::kHeaderBytes), false};
      case Attack::body_bit:
        return {flipped(std::move(bytes), relay::kHeaderBytes, length - relay::kTagBytes), false};
      case Attack::tag_bit:
        return {flipped(std::move(bytes), length - relay::kTagBytes, length), false};
      case Attack::cut:
        bytes.resize(rng_.below(bytes.size()));
        return {std::move(bytes), false};
      case Attack::longer:
        bytes.resize(bytes.size() + 1 + rng_.below(64), static_cast<uint8_t>(rng_.next()));
        return {std::move(bytes), false};
      case Attack::counter_jump:
        return {with_counter(std::move(bytes), 1 + (rng_.next() >> (17 + rng_.below(47))), true), false};
      case Attack::counter_back:
        return {with_counter(std::move(bytes), 1 + rng_.below(20'000), false), false};
      case Attack::other_lane:
        bytes[1] ^= 1;
        return {std::move(bytes), false};
      case Attack::no_lane:
        bytes[1] = static_cast<uint8_t>(kLanes + rng_.below(256 - kLanes));
        return {std::move(bytes), false};
      case Attack::other_session:
        return readdressed(recorded(core_.current(static_cast<LinkId>(1 - link_)), false));
      case Attack::former_session:
        return readdressed(recorded(core_.any(link_), false));
      case Attack::reflected:
        return reflected(core_.current(link_).install.peer_indexes[0]);
      case Attack::reflected_to_us:
        return reflected(core_.current(link_).install.receive_index);
      case Attack::replay:
        return recorded(core_.any(link_), false);
      case Attack::replay_old:
        return recorded(core_.any(link_), true);
      case Attack::twin:
        return {std::move(bytes), true};
      case Attack::noise:
      case Attack::kCount:
        break;
    }
    ByteVector any(rng_.below(300));
    randomise(rng_, any.data(), any.size());
    return {std::move(any), false};
  }

  ByteVector random_body(size_t length) {
    const AttackedSession& session = core_.current(link_);
    ByteVector bytes(length);
    randomise(rng_, bytes.data(), length);
    relay::encode_header(bytes.data(), {.lane = lane_,
                                        .counter = session.next[lane_] + rng_.below(1'000),
                                        .session_index = session.install.receive_index});
    return bytes;
  }
  ByteVector flipped(ByteVector bytes, size_t from, size_t to) {
    const size_t bit = from * 8 + rng_.below((to - from) * 8);
    bytes[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    return bytes;
  }
  static ByteVector with_counter(ByteVector bytes, uint64_t by, bool ahead) {
    relay::DatagramHeader header = relay::decode_header(bytes.data());
    header.counter = (ahead ? header.counter + by : header.counter - by) & relay::kMaxCounter;
    relay::encode_header(bytes.data(), header);
    return bytes;
  }
  // What the core itself sends to that peer, as it lies on the wire but for the index.
  Arrival reflected(uint32_t index) {
    AttackedSession& session = core_.current(link_);
    ByteVector bytes(relay::kHeaderBytes + 8 + rng_.below(300) + relay::kTagBytes);
    randomise(rng_, bytes.data(), bytes.size());
    relay::encode_header(bytes.data(),
                         {.counter = session.next[0] + rng_.below(1'000), .session_index = index});
    core_.seal(*session.ours, kCore, bytes);
    return {std::move(bytes), false};
  }
  Arrival recorded(AttackedSession& session, bool oldest) {
    if (session.sent.empty()) return {random_body(100), false};
    const size_t from = oldest ? std::max<size_t>(session.sent.size() / 64, 1) : session.sent.size();
    return {session.sent[rng_.below(from)].bytes, true};
  }
  // For the session that is attacked, whoever it was for, and with a counter that is new there; false when it
  // was for this one.
  Arrival readdressed(Arrival arrival) {
    const AttackedSession& session = core_.current(link_);
    relay::DatagramHeader header = relay::decode_header(arrival.bytes.data());
    if (header.session_index == session.install.receive_index) return arrival;
    header.session_index = session.install.receive_index;
    header.lane = lane_;
    if (rng_.chance(0.9)) header.counter = session.next[lane_] + rng_.below(1'000);
    relay::encode_header(arrival.bytes.data(), header);
    arrival.sealed = false;
    return arrival;
  }

  static constexpr size_t kFloodBytes = 208;  // audio: 172 bytes of RTP

  AttackedCore<AnyPort> core_;
  core::Rng& rng_;
  LinkId link_ = 0;  // attacked in this burst
  uint8_t lane_ = 0;
  std::vector<Arrival> arrivals_;
  uint64_t forged_ = 0, flooded_ = 0;
  std::array<uint64_t, static_cast<size_t>(Attack::kCount)> counts_{};
  std::chrono::nanoseconds flood_took_{};
};

uint64_t asked_for() {
  const char* const asked = std::getenv("TRUNKLINE_FORGERIES");
  return asked == nullptr ? 0 : std::strtoull(asked, nullptr, 10);
}

template <class AnyPort>
void print(const char* what, Attacker<AnyPort>& attacker) {
  auto& core = attacker.core();
  std::printf("%s: %" PRIu64 " forged or replayed, %" PRIu64 " of them accepted; %" PRIu64
              " genuine between them, %" PRIu64 " accepted\n",
              what, attacker.forged(), core.accepted() - std::min(core.accepted(), core.genuine_made()),
              core.genuine_made(), core.accepted());
  for (size_t i = 0; i < kNames.size(); ++i)
    std::printf("  %-38s %11" PRIu64 "\n", kNames[i], attacker.of(static_cast<Attack>(i)));
  std::printf(" refused as\n");
  for (uint32_t i = 0; i < static_cast<uint32_t>(DropReason::kCount); ++i) {
    const auto reason = static_cast<DropReason>(i);
    if (core.dropped(reason) != 0)
      std::printf("  %-38s %11" PRIu64 "\n", relay::drop_reason_name(reason), core.dropped(reason));
  }
  std::printf("  %-38s %11" PRIu64 "\n", "(a handshake: the mesh thread's)", core.handshakes());
  std::printf(" a forged tag, 208 bytes, is refused in %.0f ns: %.2f M/s on one core\n", attacker.flood_ns(),
              1e3 / attacker.flood_ns());
  std::fflush(stdout);
}

template <class AnyPort>
void attack(const char* what, relay::Suite suite, uint32_t percent) {
  SCOPED_TRACE(testing::Message() << "seed " << kSeed);
  const uint64_t asked = asked_for();
  Attacker<AnyPort> attacker(suite, kSeed);
  attacker.run((asked == 0 ? kShortTier : asked) * percent / 100);
  if (asked != 0) print(what, attacker);
  auto& core = attacker.core();
  EXPECT_EQ(core.accepted(), core.genuine_made()) << "each genuine one once, and nothing else";
  // Every forged one was refused, or is a handshake's to judge: nothing is left over.
  EXPECT_EQ(core.path().drops().total() + core.handshakes(), attacker.forged());
  using enum DropReason;
  for (const DropReason reason : {short_datagram, bad_version, bad_type, no_session, wrong_core, bad_lane,
                                  not_authentic, replayed, too_old}) {
    EXPECT_GT(core.dropped(reason), 0u) << "no attack reached " << relay::drop_reason_name(reason);
  }
}

TEST(Forgeries, AreRefusedByAes128GcmAndMediaBetweenThemLosesNothing) {
  attack<MemoryPort>("aes-128-gcm", relay::Suite::kAes128Gcm, 40);
}
TEST(Forgeries, AreRefusedWherePacketsLeaveInTheFramesTheyCameIn) {
  attack<FramePort>("aes-128-gcm, frames", relay::Suite::kAes128Gcm, 40);
}
TEST(Forgeries, AreRefusedByAes256Gcm) {
  attack<FramePort>("aes-256-gcm, frames", relay::Suite::kAes256Gcm, 10);
}
TEST(Forgeries, AreRefusedByChaCha20Poly1305) {
  attack<FramePort>("chacha20-poly1305, frames", relay::Suite::kChaCha20Poly1305, 10);
}

}  // namespace
}  // namespace trunkline::tests
