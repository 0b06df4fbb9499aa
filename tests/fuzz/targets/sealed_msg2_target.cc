// msg2, as an initiator reads it: what is not the true message changes nothing, so that the true one is read
// after it; what a peer with a key writes wrongly is refused for what is wrong with it.
#include "tests/fuzz/targets/sealed_exchange.h"

using namespace trunkline::fuzz;

TRUNKLINE_FUZZ_TARGET(sealed_msg2) {
  Input in(input);
  Exchange x;
  x.answer(in.below(3));
  const Buffer msg1 = test::written(x.a, kMsg1, x.hello);
  if (in.flag()) {
    ASSERT_TRUE(read_exact(x.b, kMsg1, msg1).ok);
    const Buffer whole = test::written(x.b, kMsg2, x.hello);
    EXPECT_LE(whole.size(), msg1.size());
    read_strange(in, x.a, *x.world.a, kMsg2, whole);
    EXPECT_TRUE(read_exact(x.a, kMsg2, whole).ok);
    read_strange(in, x.a, *x.world.a, kMsg2, whole);
    const SessionKeys keys = x.b.keys();
    EXPECT_FALSE(read_exact(x.a, kMsg2, test::written(x.b, kMsg2, x.hello)).ok)
        << "another, though authentic";
    EXPECT_EQ(x.a.keys().send_secret, keys.receive_secret);
    return;
  }
  // A responder with the right key, and what it likes to write.
  auto state = noise::HandshakeState::responder(as_bytes(kPrologue), x.world.b->key());
  Buffer opened(kMsg1Plaintext);
  ASSERT_TRUE(state.read(Bytes(msg1).first(msg1.size() - kMacsBytes), opened));
  Buffer plain = plaintext(in, x.world.b_shows, 0, 0);
  plain.resize(std::min<size_t>(plain.size(), kMaxHandshakeBytes - kMacsBytes - noise::kMessage2Overhead));
  Buffer msg2(noise::kMessage2Overhead + plain.size() + kMacsBytes);
  ASSERT_NE(state.write(noise::KeyPair::generate(x.world.cluster.random), plain,
                        std::span(msg2).first(msg2.size() - kMacsBytes)),
            0u);
  set_mac1(kMsg2, *x.world.a, msg2);
  const Handshake::Read read = read_exact(x.a, kMsg2, msg2);
  const bool certified = plain.size() >= kCertificateBytes &&
                         std::equal(x.world.b_shows[0].begin(), x.world.b_shows[0].end(), plain.begin());
  const bool canonical = is_canonical(plain, false);
  EXPECT_EQ(read.ok, canonical && certified);
  EXPECT_EQ(read.fault != CertificateFault::kNone, canonical && !certified);
  EXPECT_EQ(x.a.keys().send_secret != SessionKeys{}.send_secret, read.ok);
  EXPECT_EQ(read_exact(x.a, kMsg2, msg2).ok, read.ok) << "the same again";
  // Who was refused so may still be told; a true msg2 of the same exchange counts after a refused one.
  EXPECT_EQ(!test::written(x.a, kConfirm, x.hello).empty(), read.ok || may_be_told(read.fault));
}
