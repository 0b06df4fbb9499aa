// Certificates: as they are, and with a signature that fits, so that what lies behind the signature is
// reached.
#include "tests/fuzz/target.h"
#include "tests/support/sealed_harness.h"

using namespace trunkline::relay;

namespace {

struct World {
  test::SealedCluster cluster;
  std::array<uint64_t, 2> revoked{7, 1'000};
  World() { cluster.trust.revoked = revoked; }
};

}  // namespace

// One byte of flags, then the certificate.
TRUNKLINE_FUZZ_TARGET(certificate) {
  static World world;
  trunkline::fuzz::Input in(input);
  const uint8_t flags = in.u8();
  const uint64_t unix_s = flags & 2 ? in.u64() : test::kUnixNow;
  const trunkline::fuzz::Bytes bytes = in.rest();
  Certificate c;
  const CertificateFault fault = decode(bytes, c);
  EXPECT_STRNE(certificate_fault_text(fault), "");
  Certificate judged;
  const CertificateFault verdict = verify(bytes, world.cluster.trust, unix_s, judged);
  if (fault != CertificateFault::kNone) {
    EXPECT_EQ(verdict, fault) << "what does not decode is refused for that";
    return;
  }
  EXPECT_NE(verdict, CertificateFault::kNone) << "nobody guesses a signature";
  // The encoding is canonical, and what is signed anew is judged by its contents alone.
  CertificateBytes again;
  const uint64_t signer = c.signer;
  ASSERT_TRUE(sign(c, world.cluster.signer, again));
  EXPECT_TRUE(std::equal(again.begin(), again.begin() + 40, bytes.begin()));
  EXPECT_TRUE(std::equal(again.begin() + 48, again.begin() + kCertificateSignedBytes, bytes.begin() + 48));
  EXPECT_EQ(load_be64(bytes.data() + 40), signer);
  if ((flags & 1) == 0) return;
  const CertificateFault of_signed = verify(again, world.cluster.trust, unix_s, judged);
  EXPECT_EQ(judged, c);
  const bool in_time = c.not_before <= unix_s && unix_s < c.expires;
  const bool revoked = c.serial == world.revoked[0] || c.serial == world.revoked[1];
  EXPECT_EQ(of_signed == CertificateFault::kNone,
            in_time && !revoked && c.cluster.view() == world.cluster.trust.cluster);
  EXPECT_EQ(may_be_told(of_signed), of_signed != CertificateFault::kNone);
}
