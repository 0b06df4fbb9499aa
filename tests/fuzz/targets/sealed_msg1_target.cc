// msg1: what is not the true message changes nothing, so that the true one is read after it; what a peer with
// a key writes wrongly is refused for what is wrong with it. Also what a responder under load makes of it.
#include "tests/fuzz/targets/sealed_exchange.h"

using namespace trunkline::fuzz;

TRUNKLINE_FUZZ_TARGET(sealed_msg1) {
  Input in(input);
  Exchange x;
  const uint32_t whom = in.below(3);
  x.answer(whom);
  if (in.flag()) {
    const Buffer whole = test::written(x.a, kMsg1, x.hello);
    read_strange(in, x.b, *x.world.b, kMsg1, whole);
    x.world.b->set_under_load(in.flag());
    std::array<uint8_t, kCookieReplyBytes> reply;
    const auto from = trunkline::core::UdpAddress::v4(192, 0, 2, in.u8(), 7'000);
    Buffer asked = in.flag() ? whole : copy_of(in.counted16());
    if (in.flag()) set_mac1(kMsg1, *x.world.b, asked);
    const auto admission =
        x.b.admit(asked, from, trunkline::core::Nanos{in.u16()}, std::span(reply).first(in.below(57)));
    EXPECT_LE(admission.reply_length, reply.size());
    if (asked.size() != kMaxHandshakeBytes) {
      EXPECT_EQ(admission.verdict, Handshake::Admission::Verdict::kIgnore);
    }
    EXPECT_FALSE(read_exact(x.a, kMsg1, whole).ok) << "who wrote a msg1 reads none";
    EXPECT_TRUE(read_exact(x.b, kMsg1, whole).ok);
    return;
  }
  // A peer with a key of the cluster, and what it likes to write.
  const Buffer plain = plaintext(in, x.world.a_shows, 1, kMsg1Plaintext);
  auto state =
      noise::HandshakeState::initiator(as_bytes(kPrologue), x.world.a->key(), x.world.b->key().public_key);
  Buffer msg1(kMaxHandshakeBytes);
  ASSERT_NE(state.write(noise::KeyPair::generate(x.world.cluster.random), plain,
                        std::span(msg1).first(msg1.size() - kMacsBytes)),
            0u);
  set_mac1(kMsg1, *x.world.b, msg1);
  const Handshake::Read read = read_exact(x.b, kMsg1, msg1);
  const bool certified =
      std::equal(x.world.a_shows[0].begin(), x.world.a_shows[0].end(), plain.begin()) ||
      (whom != 0 && std::equal(x.world.a_shows[3].begin(), x.world.a_shows[3].end(), plain.begin()));
  const bool canonical = is_canonical(plain, true);
  EXPECT_EQ(read.ok, canonical && certified);
  EXPECT_EQ(read.fault != CertificateFault::kNone, canonical && !certified);
  EXPECT_EQ(x.b.peer() != nullptr, read.ok);
  // Who may be told gets a msg2, and no keys come of it.
  const Buffer msg2 = test::written(x.b, kMsg2, x.hello);
  EXPECT_EQ(!msg2.empty(), read.ok || may_be_told(read.fault));
  EXPECT_EQ(read_exact(x.b, kMsg1, msg1).ok, read.ok) << "the same again, after msg2";
  if (!read.ok) {
    EXPECT_EQ(x.b.keys().send_secret, SessionKeys{}.send_secret);
  }
}
