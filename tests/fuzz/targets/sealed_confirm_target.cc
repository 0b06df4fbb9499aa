// The confirm, and a cookie reply before it: what is not the true message changes nothing.
#include "tests/fuzz/targets/sealed_exchange.h"

using namespace trunkline::fuzz;

TRUNKLINE_FUZZ_TARGET(sealed_confirm) {
  Input in(input);
  Exchange x;
  x.answer(in.below(3));
  Buffer msg1 = test::written(x.a, kMsg1, x.hello);
  const trunkline::core::Nanos now{in.u16()};
  if (in.flag()) {  // a cookie between the two
    x.world.b->set_under_load(true);
    Buffer reply(kCookieReplyBytes);
    const auto from = trunkline::core::UdpAddress::v4(192, 0, 2, 1, 7'000);
    ASSERT_EQ(x.b.admit(msg1, from, now, reply).verdict, Handshake::Admission::Verdict::kReply);
    Buffer strange = in.flag() ? copy_of(in.counted()) : reply;
    damage(in, strange, 80);
    const bool same = strange == reply;
    EXPECT_EQ(x.a.read_cookie(strange, now), same);
    EXPECT_EQ(x.a.read_cookie(reply, now), !same) << "one reply per msg1";
    EXPECT_FALSE(x.b.read_cookie(reply, now)) << "who wrote no msg1 reads no cookie";
    Buffer other = copy_of(in.counted());
    x.a.stamp(other, now);
    const trunkline::core::Nanos later = in.flag() ? now : now + trunkline::core::from_s(in.u8());
    x.a.stamp(msg1, later);
    const bool stamped = load_be64(&msg1[msg1.size() - 8]) != 0;
    EXPECT_EQ(stamped, later - now < kCookieLife);
    const auto verdict = x.b.admit(msg1, from, now, reply).verdict;
    EXPECT_TRUE(stamped ? verdict != Handshake::Admission::Verdict::kReply
                        : verdict == Handshake::Admission::Verdict::kReply);
  }
  ASSERT_TRUE(read_exact(x.b, kMsg1, msg1).ok);
  EXPECT_FALSE(read_exact(x.b, kConfirm, copy_of(in.counted())).ok)
      << "before msg2 there is nothing to confirm";
  const Buffer msg2 = test::written(x.b, kMsg2, x.hello);
  ASSERT_TRUE(read_exact(x.a, kMsg2, msg2).ok);
  const Buffer whole = test::written(x.a, kConfirm, copy_of(in.counted()));
  ASSERT_FALSE(whole.empty());
  EXPECT_TRUE(test::written(x.a, kConfirm, x.hello).empty()) << "its key has one nonce";
  read_strange(in, x.b, *x.world.b, kConfirm, whole);
  EXPECT_TRUE(read_exact(x.b, kConfirm, whole).ok);
}
