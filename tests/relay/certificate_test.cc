// Certificates: one encoding each, every reason to refuse one, and a change of the cluster's key without a
// gap.
#include "relay/certificate.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "relay/wire.h"
#include "tests/relay/hex.h"
#include "tests/support/seeded_randomness.h"

namespace trunkline::relay {
namespace {

using test::Buffer;

constexpr uint64_t kIssued = 1'800'000'000, kDay = 86'400;

SigningKey signing_key(uint8_t seed) {
  Key bytes;
  bytes.fill(seed);
  return SigningKey::of(Secret(bytes));
}

Certificate example() {
  Certificate c;
  c.node = {7};
  c.serial = 0x0102030405060708;
  c.not_before = kIssued;
  c.expires = kIssued + 30 * kDay;
  c.roles = kAllRoles;
  c.public_key.fill(0x42);
  EXPECT_TRUE(c.cluster.assign("prod"));
  EXPECT_TRUE(c.region.assign("ams"));
  return c;
}

class Certificates : public testing::Test {
 protected:
  Certificates() : key_(signing_key(1)) {
    trust_.cluster = "prod";
    trust_.anchors[0] = key_.public_key;
    trust_.anchor_count = 1;
    certificate_ = example();
    EXPECT_TRUE(sign(certificate_, key_, bytes_));
  }
  CertificateFault verdict(Bytes bytes, uint64_t unix_s = kIssued) const {
    Certificate out;
    return verify(bytes, trust_, unix_s, out);
  }
  // The same certificate by another signer.
  static CertificateBytes resigned(const CertificateBytes& bytes, const SigningKey& key) {
    CertificateBytes other;
    Certificate fields;
    EXPECT_EQ(decode(bytes, fields), CertificateFault::kNone);
    EXPECT_TRUE(sign(fields, key, other));
    return other;
  }

  SigningKey key_;
  Trust trust_;
  Certificate certificate_;
  CertificateBytes bytes_{};
};

TEST_F(Certificates, WhatIsSignedIsReadAndAccepted) {
  Certificate out;
  ASSERT_EQ(verify(bytes_, trust_, kIssued, out), CertificateFault::kNone);
  EXPECT_EQ(out, certificate_);
  EXPECT_EQ(out.signer, signer_id(key_.public_key));
  EXPECT_TRUE(out.has(Role::kRelay));
}

TEST_F(Certificates, TheBytesAreThoseOfTheDocument) {
  const Bytes b = bytes_;
  EXPECT_EQ(Buffer(b.begin(), b.begin() + 8), test::hex("01 04 03 00 00000007"));
  EXPECT_EQ(load_be64(&b[8]), 7u);
  EXPECT_EQ(load_be64(&b[16]), 0x0102030405060708u);
  EXPECT_EQ(load_be64(&b[24]), kIssued);
  EXPECT_EQ(load_be64(&b[32]), kIssued + 30 * kDay);
  EXPECT_EQ(load_be64(&b[40]), signer_id(key_.public_key));
  EXPECT_EQ(b[48], 0x42);
  EXPECT_EQ(as_text(b.subspan(80, 5)), std::string_view("prod\0", 5));
  EXPECT_EQ(as_text(b.subspan(144, 4)), std::string_view("ams\0", 4));
  // Ed25519 is deterministic (RFC 8032): the same key, fields and label give this signature for ever.
  CertificateBytes again;
  Certificate same = example();
  ASSERT_TRUE(sign(same, key_, again));
  EXPECT_EQ(again, bytes_);
}

TEST_F(Certificates, EveryDamagedBitIsRefused) {
  for (size_t bit = 0; bit < bytes_.size() * 8; ++bit) {
    CertificateBytes damaged = bytes_;
    damaged[bit / 8] ^= static_cast<uint8_t>(1 << bit % 8);
    ASSERT_NE(verdict(damaged), CertificateFault::kNone) << bit;
  }
}

TEST_F(Certificates, LengthAndVersionAreNamed) {
  Buffer longer(bytes_.begin(), bytes_.end());
  longer.push_back(0);
  EXPECT_EQ(verdict(longer), CertificateFault::kTrailingBytes);
  for (size_t length = 0; length < bytes_.size(); ++length) {
    ASSERT_EQ(verdict(Bytes(bytes_).first(length)), CertificateFault::kTooShort) << length;
  }
  longer[0] = 2;
  EXPECT_EQ(verdict(longer), CertificateFault::kVersion) << "whatever its length";
}

TEST_F(Certificates, AnEncodingThatSignNeverWritesIsNotCanonical) {
  struct Case {
    const char* what;
    size_t at;
    uint8_t value;
  };
  for (const Case& c : std::initializer_list<Case>{{"cluster without text", 1, 0},
                                                   {"cluster too long", 1, 65},
                                                   {"cluster shorter than its text", 1, 3},
                                                   {"cluster longer than its text", 1, 5},
                                                   {"region without text", 2, 0},
                                                   {"region too long", 2, 33},
                                                   {"reserved byte", 3, 1},
                                                   {"unknown role", 4, 0x80},
                                                   {"no role", 7, 0},
                                                   {"node 0", 15, 0},
                                                   {"control character", 81, '\n'},
                                                   {"byte behind the cluster", 143, 1},
                                                   {"byte behind the region", 175, 1},
                                                   {"expires before it begins", 32, 0}}) {
    CertificateBytes bytes = bytes_;
    bytes[c.at] = c.value;
    if (c.at == 32) std::fill_n(bytes.begin() + 32, 8, uint8_t{0});
    EXPECT_EQ(verdict(bytes), CertificateFault::kNotCanonical) << c.what;
  }
  CertificateBytes bytes = bytes_;
  std::fill_n(bytes.begin() + 48, 32, uint8_t{0});
  EXPECT_EQ(verdict(bytes), CertificateFault::kNotCanonical) << "a public key of zeros";
}

TEST_F(Certificates, AFieldOutOfRangeIsNotSigned) {
  const auto refused = [&](auto change) {
    Certificate c = example();
    change(c);
    CertificateBytes out{};
    EXPECT_FALSE(sign(c, key_, out));
    EXPECT_EQ(out, CertificateBytes{});
  };
  refused([](Certificate& c) { c.node = {}; });
  refused([](Certificate& c) { c.roles = 0; });
  refused([](Certificate& c) { c.roles = 8; });
  refused([](Certificate& c) { c.expires = c.not_before; });
  refused([](Certificate& c) { c.public_key = {}; });
  refused([](Certificate& c) { c.cluster = {}; });
  refused([](Certificate& c) { c.region = {}; });
  CertificateText<4> text;
  EXPECT_FALSE(text.assign(""));
  EXPECT_FALSE(text.assign("12345"));
  EXPECT_FALSE(text.assign("a\tb"));
  EXPECT_TRUE(text.assign("1234"));
}

TEST_F(Certificates, ValidityBeginsAndEndsAtItsSecond) {
  EXPECT_EQ(verdict(bytes_, 0), CertificateFault::kNotYetValid);
  EXPECT_EQ(verdict(bytes_, kIssued - 1), CertificateFault::kNotYetValid);
  EXPECT_EQ(verdict(bytes_, kIssued), CertificateFault::kNone);
  EXPECT_EQ(verdict(bytes_, kIssued + 30 * kDay - 1), CertificateFault::kNone);
  EXPECT_EQ(verdict(bytes_, kIssued + 30 * kDay), CertificateFault::kExpired);
  EXPECT_EQ(verdict(bytes_, UINT64_MAX), CertificateFault::kExpired);
}

TEST_F(Certificates, AnotherClusterOrARevokedSerialIsRefused) {
  const uint64_t revoked[] = {1, certificate_.serial, 3};
  trust_.revoked = revoked;
  EXPECT_EQ(verdict(bytes_), CertificateFault::kRevoked);
  trust_.revoked = std::span(revoked).first(1);
  EXPECT_EQ(verdict(bytes_), CertificateFault::kNone);
  trust_.cluster = "prod-2";
  EXPECT_EQ(verdict(bytes_), CertificateFault::kWrongCluster);
}

TEST_F(Certificates, OnlyTrustedSignersCount) {
  const SigningKey other = signing_key(2);
  const CertificateBytes foreign = resigned(bytes_, other);
  EXPECT_EQ(verdict(foreign), CertificateFault::kUnknownSigner);
  // Naming a trusted signer does not help who has not its key.
  CertificateBytes liar = foreign;
  std::copy_n(bytes_.begin() + 40, 8, liar.begin() + 40);
  EXPECT_EQ(verdict(liar), CertificateFault::kBadSignature);
  trust_.anchor_count = 0;
  EXPECT_EQ(verdict(bytes_), CertificateFault::kUnknownSigner);
}

// The order of a change of keys: trust both, issue with the new one, forget the old one. At no step is a node
// without a certificate that all accept.
TEST_F(Certificates, AClusterKeyIsReplacedWithoutAGap) {
  const SigningKey next = signing_key(2);
  const CertificateBytes renewed = resigned(bytes_, next);
  trust_.anchors[1] = next.public_key;
  trust_.anchor_count = 2;
  EXPECT_EQ(verdict(bytes_), CertificateFault::kNone);
  EXPECT_EQ(verdict(renewed), CertificateFault::kNone);
  trust_.anchors[0] = next.public_key;
  trust_.anchor_count = 1;
  EXPECT_EQ(verdict(bytes_), CertificateFault::kUnknownSigner);
  EXPECT_EQ(verdict(renewed), CertificateFault::kNone);
}

TEST_F(Certificates, EachFaultHasASentenceOfItsOwn) {
  std::set<std::string> texts, names;
  for (uint32_t i = 0; i < kCertificateFaults; ++i) {
    const auto fault = static_cast<CertificateFault>(i);
    texts.insert(certificate_fault_text(fault));
    names.insert(certificate_fault_name(fault));
  }
  EXPECT_EQ(texts.size(), kCertificateFaults);
  EXPECT_EQ(texts.count("unknown fault"), 0u);
  EXPECT_EQ(names.size(), kCertificateFaults);
  EXPECT_EQ(names.count("?"), 0u);
  EXPECT_STREQ(certificate_fault_name(CertificateFault::kExpired), "expired");
  EXPECT_STREQ(certificate_refusal(CertificateFault::kExpired).text().data(),
               "certificate: mine 'valid', theirs 'expired'");
}

}  // namespace
}  // namespace trunkline::relay
