// A responder under load: who gets silence, who a cookie, who is read; what a cookie is bound to; and how
// often one source may ask.
#include <gtest/gtest.h>

#include <vector>

#include "core/rng.h"
#include "relay/handshake_limiter.h"
#include "relay/sealed_handshake.h"
#include "relay/text.h"
#include "tests/support/sealed_harness.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;
using core::Nanos;
using core::UdpAddress;
using Buffer = std::vector<uint8_t>;
using Verdict = Handshake::Admission::Verdict;

const UdpAddress kA = UdpAddress::v4(192, 0, 2, 1, 7'000);

class SealedUnderLoad : public testing::Test {
 protected:
  SealedUnderLoad() {
    a_.expect(test::peer_of(*b_node_));
    b_node_->set_under_load(true);
    msg1_ = test::written(a_, kMsg1, as_bytes("hello"));
  }
  Verdict asks(const Buffer& msg1, const UdpAddress& from = kA) {
    const auto admission = stranger_.admit(msg1, from, now_, reply_);
    reply_length_ = admission.reply_length;
    return admission.verdict;
  }
  Buffer reply() const {
    return {reply_.begin(), reply_.begin() + static_cast<std::ptrdiff_t>(reply_length_)};
  }
  void get_cookie() {
    ASSERT_EQ(asks(msg1_), Verdict::kReply);
    ASSERT_TRUE(a_.read_cookie(reply(), now_));
    a_.stamp(msg1_, now_);
  }

  test::SealedCluster cluster_;
  std::unique_ptr<SealedIdentity> a_node_ = cluster_.node(1), b_node_ = cluster_.node(2);
  SealedHandshake a_{*a_node_, Suite::kAes128Gcm}, stranger_{*b_node_, Suite::kAes128Gcm};
  Nanos now_ = from_s(1'000);
  Buffer msg1_;
  std::array<uint8_t, 256> reply_{};
  size_t reply_length_ = 0;
};

TEST_F(SealedUnderLoad, AMsg1IsReadOnceItsAddressIsProven) {
  ASSERT_EQ(asks(msg1_), Verdict::kReply);
  EXPECT_EQ(reply_length_, kCookieReplyBytes);
  EXPECT_LT(reply_length_, msg1_.size());
  EXPECT_EQ(stranger_.peer(), nullptr) << "nothing was read";
  ASSERT_TRUE(a_.read_cookie(reply(), now_));
  Buffer stamped = msg1_;
  a_.stamp(stamped, now_);
  EXPECT_TRUE(std::equal(msg1_.begin(), msg1_.end() - kMacBytes, stamped.begin()));
  EXPECT_NE(stamped, msg1_);
  ASSERT_EQ(asks(stamped), Verdict::kRead);
  const auto read = stranger_.read(kMsg1, stamped);
  ASSERT_TRUE(read.ok);
  EXPECT_EQ(as_text(read.payload), "hello");
  EXPECT_EQ(b_node_->counts.value(SealedCounter::cookies_sent), 1u);
}

// Who knows the node's public key can make a msg1 of any length with a right mac1. Shorter than the cookie
// reply, it would be a way to send others more than one sends.
TEST_F(SealedUnderLoad, AShortMsg1GetsNoCookie) {
  for (const size_t length : {kMacsBytes + 1, kMacsBytes + 8, kMaxHandshakeBytes - 1}) {
    Buffer message(length, 7);
    const size_t covered = length - kMacsBytes;
    const Mac mac = message_mac(mac1_key(b_node_->key().public_key), kMsg1, Bytes(message).first(covered));
    std::copy(mac.begin(), mac.end(), message.begin() + static_cast<std::ptrdiff_t>(covered));
    EXPECT_EQ(asks(message), Verdict::kIgnore) << length;
  }
  EXPECT_EQ(b_node_->counts.value(SealedCounter::malformed), 3u);
}

TEST_F(SealedUnderLoad, WithoutLoadNobodyIsAskedForACookie) {
  b_node_->set_under_load(false);
  EXPECT_EQ(asks(msg1_), Verdict::kRead);
  // A cookie from the time of load, long out of date, does no harm.
  msg1_.back() ^= 1;
  EXPECT_EQ(asks(msg1_), Verdict::kRead);
  EXPECT_TRUE(stranger_.read(kMsg1, msg1_).ok);
}

TEST_F(SealedUnderLoad, WhoDoesNotKnowTheNodeGetsSilence) {
  for (size_t at = 0; at < msg1_.size() - kMacBytes; at += 7) {
    Buffer bytes = msg1_;
    bytes[at] ^= 1;
    ASSERT_EQ(asks(bytes), Verdict::kIgnore) << at;
  }
  for (size_t length = 0; length < msg1_.size(); ++length) {
    ASSERT_EQ(asks(Buffer(msg1_.begin(), msg1_.begin() + static_cast<std::ptrdiff_t>(length))),
              Verdict::kIgnore);
  }
  EXPECT_EQ(stranger_.admit(msg1_, kA, now_, std::span(reply_).first(kCookieReplyBytes - 1)).verdict,
            Verdict::kIgnore)
      << "no room for a reply";
  EXPECT_EQ(b_node_->counts.value(SealedCounter::cookies_sent), 0u);
}

TEST_F(SealedUnderLoad, EveryDamagedBitOfMac2IsNoticed) {
  get_cookie();
  for (size_t bit = 0; bit < kMacBytes * 8; ++bit) {
    Buffer bytes = msg1_;
    bytes[bytes.size() - kMacBytes + bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_EQ(asks(bytes), Verdict::kReply) << bit;
  }
  EXPECT_EQ(asks(msg1_), Verdict::kRead);
}

TEST_F(SealedUnderLoad, ACookieIsOfOneAddressAndPort) {
  get_cookie();
  EXPECT_EQ(asks(msg1_, UdpAddress::v4(192, 0, 2, 2, 7'000)), Verdict::kReply);
  EXPECT_EQ(asks(msg1_, UdpAddress::v4(192, 0, 2, 1, 7'001)), Verdict::kReply);
  UdpAddress six = kA;
  six.family = 6;
  EXPECT_EQ(asks(msg1_, six), Verdict::kReply);
  EXPECT_EQ(asks(msg1_), Verdict::kRead);
}

TEST_F(SealedUnderLoad, ACookieIsGoodForTwoMinutesAndNotForFour) {
  get_cookie();
  const Nanos given = now_;
  for (now_ = given; now_ <= given + from_s(120); now_ += from_s(1)) ASSERT_EQ(asks(msg1_), Verdict::kRead);
  now_ = given + from_s(240);
  EXPECT_EQ(asks(msg1_), Verdict::kReply);
  // The same when nobody asked meanwhile.
  a_.begin();
  msg1_ = test::written(a_, kMsg1, {});
  get_cookie();
  now_ += from_s(240);
  EXPECT_EQ(asks(msg1_), Verdict::kReply);
}

TEST_F(SealedUnderLoad, AnOldCookieIsNotStampedAnyMore) {
  get_cookie();
  const Buffer with_cookie = msg1_;
  a_.stamp(msg1_, now_ + from_s(114));
  EXPECT_EQ(msg1_, with_cookie);
  a_.stamp(msg1_, now_ + from_s(115));
  EXPECT_TRUE(std::all_of(msg1_.end() - kMacBytes, msg1_.end(), [](uint8_t b) { return b == 0; }));
  Buffer cut(msg1_.begin(), msg1_.end() - 1), same = cut;
  a_.stamp(cut, now_);
  EXPECT_EQ(cut, same) << "not a msg1";
}

TEST_F(SealedUnderLoad, ACookieOutlivesItsExchangeButNotItsPeer) {
  get_cookie();
  a_.begin();
  msg1_ = test::written(a_, kMsg1, {});
  a_.stamp(msg1_, now_);
  EXPECT_EQ(asks(msg1_), Verdict::kRead);
  auto c_node = cluster_.node(3);
  a_.expect(test::peer_of(*c_node));
  a_.begin();
  msg1_ = test::written(a_, kMsg1, {});
  Buffer stamped = msg1_;
  a_.stamp(stamped, now_);
  EXPECT_EQ(stamped, msg1_) << "node 2's cookie means nothing to node 3";
}

TEST_F(SealedUnderLoad, AForgedCookieReplyChangesNothing) {
  ASSERT_EQ(asks(msg1_), Verdict::kReply);
  const Buffer whole = reply();
  for (size_t at = 0; at < whole.size(); ++at) {
    Buffer bytes = whole;
    bytes[at] ^= static_cast<uint8_t>(1 << at % 8);
    ASSERT_FALSE(a_.read_cookie(bytes, now_)) << at;
    ASSERT_FALSE(a_.read_cookie(Bytes(whole).first(at), now_)) << at;
  }
  Buffer unstamped = msg1_;
  a_.stamp(unstamped, now_);
  EXPECT_EQ(unstamped, msg1_);
  EXPECT_TRUE(a_.read_cookie(whole, now_));
  EXPECT_FALSE(a_.read_cookie(whole, now_)) << "one reply per msg1";
}

TEST_F(SealedUnderLoad, AReplyToAnotherMsg1IsRefused) {
  ASSERT_EQ(asks(msg1_), Verdict::kReply);
  const Buffer old = reply();
  msg1_ = test::written(a_, kMsg1, {});
  EXPECT_FALSE(a_.read_cookie(old, now_));
  SealedHandshake idle(*a_node_, Suite::kAes128Gcm);
  EXPECT_FALSE(idle.read_cookie(old, now_)) << "it asked nobody";
  // No two replies are alike: the nonce is random.
  ASSERT_EQ(asks(msg1_), Verdict::kReply);
  const Buffer first = reply();
  ASSERT_EQ(asks(msg1_), Verdict::kReply);
  EXPECT_NE(first, reply());
}

TEST_F(SealedUnderLoad, OneSourceIsReadFiveTimesAtOnceAndTwentyTimesASecond) {
  get_cookie();
  for (int i = 0; i < 5; ++i) EXPECT_EQ(asks(msg1_), Verdict::kRead) << i;
  EXPECT_EQ(asks(msg1_), Verdict::kIgnore);
  EXPECT_EQ(b_node_->counts.value(SealedCounter::limited), 1u);
  now_ += from_ms(50);
  EXPECT_EQ(asks(msg1_), Verdict::kRead);
  EXPECT_EQ(asks(msg1_), Verdict::kIgnore);
}

// ---- the limiter alone

class Limiter : public testing::Test {
 protected:
  HandshakeLimiter limiter_{{1, 2}};
  Nanos now_ = from_s(1);
};

TEST_F(Limiter, GivesABurstAndThenTheRate) {
  int taken = 0;
  for (int ms = 0; ms < 10'000; ++ms) taken += limiter_.try_take(kA, now_ + from_ms(ms)) ? 1 : 0;
  EXPECT_EQ(taken, 5 + 200 - 1) << "five at once, then one each 50 ms";
  // After a pause of any length the burst is five again.
  for (const int64_t pause_s : {1, 100'000}) {
    now_ += from_s(20 + pause_s);
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(limiter_.try_take(kA, now_));
    EXPECT_FALSE(limiter_.try_take(kA, now_));
  }
}

TEST_F(Limiter, ASourceIsAnIpv4AddressOrAnIpv6NetworkOf64Bits) {
  const auto drain = [&](const UdpAddress& from) {
    while (limiter_.try_take(from, now_)) {
    }
  };
  drain(kA);
  EXPECT_FALSE(limiter_.try_take(UdpAddress::v4(192, 0, 2, 1, 9), now_)) << "another port";
  EXPECT_TRUE(limiter_.try_take(UdpAddress::v4(192, 0, 2, 2, 7'000), now_));
  const UdpAddress six = *UdpAddress::parse("[2001:db8:0:1::1]:7000");
  drain(six);
  EXPECT_FALSE(limiter_.try_take(*UdpAddress::parse("[2001:db8:0:1:ffff::2]:7000"), now_))
      << "the same network";
  EXPECT_TRUE(limiter_.try_take(*UdpAddress::parse("[2001:db8:0:2::1]:7000"), now_));
  UdpAddress alike = kA;
  alike.family = 6;
  EXPECT_TRUE(limiter_.try_take(alike, now_)) << "the same bytes in the other family";
}

// One of many networks, as a holder of a large prefix has them.
UdpAddress network(uint32_t n) {
  UdpAddress a = *UdpAddress::parse("[2001:db8::]:7000");
  a.ip[4] = static_cast<uint8_t>(n >> 16);
  a.ip[5] = static_cast<uint8_t>(n >> 8);
  a.ip[6] = static_cast<uint8_t>(n);
  return a;
}
constexpr uint32_t kPlaces = HandshakeLimiter::kSets * HandshakeLimiter::kWays;

TEST_F(Limiter, AFullTableRefusesNoConfiguredPeer) {
  const UdpAddress peers[] = {kA, *UdpAddress::parse("[2001:db9::1]:7000"),
                              UdpAddress::v4(192, 0, 2, 9, 7'000)};
  for (const UdpAddress& peer : peers) limiter_.keep_place_for(peer);
  limiter_.keep_place_for(kA);  // two peers behind one address share its bucket
  for (uint32_t n = 0; n < 20 * kPlaces; ++n) limiter_.try_take(network(n), now_);
  EXPECT_FALSE(limiter_.try_take(UdpAddress::v4(192, 0, 2, 2, 7'000), now_)) << "a stranger finds no place";
  for (const UdpAddress& peer : peers) {
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(limiter_.try_take(peer, now_)) << i;
    EXPECT_FALSE(limiter_.try_take(peer, now_)) << "and is limited like anybody";
  }
}

TEST_F(Limiter, ANeighbourInItsNetworkTakesNothingFromAConfiguredPeer) {
  const UdpAddress peer = *UdpAddress::parse("[2001:db8::1]:7000");
  const UdpAddress neighbour = *UdpAddress::parse("[2001:db8::2]:7000");
  limiter_.keep_place_for(peer);
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limiter_.try_take(neighbour, now_)) << i;
  EXPECT_FALSE(limiter_.try_take(*UdpAddress::parse("[2001:db8::3]:7000"), now_)) << "strangers share one";
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(limiter_.try_take(peer, now_)) << i;
  EXPECT_FALSE(limiter_.try_take(*UdpAddress::parse("[2001:db8::1]:7001"), now_))
      << "its other ports share it";
}

TEST_F(Limiter, AFullTableRefusesNewcomersAndFreesItself) {
  uint32_t taken = 0;
  for (uint32_t n = 0; n < 20 * kPlaces; ++n) taken += limiter_.try_take(network(n), now_) ? 1 : 0;
  EXPECT_EQ(taken, kPlaces) << "as many sources as places, then nobody new";
  EXPECT_TRUE(limiter_.try_take(network(0), now_)) << "who has a place keeps it";
  now_ += from_ms(250);
  taken = 0;
  for (uint32_t n = 50 * kPlaces; n < 70 * kPlaces; ++n) taken += limiter_.try_take(network(n), now_) ? 1 : 0;
  EXPECT_EQ(taken, kPlaces);
}

}  // namespace
}  // namespace trunkline::relay
