// Two ends of a sealed handshake, and the three depths at which bytes reach a reader: as they are, with a
// mac1 that fits (anybody who knows the receiver's public key can make one), and inside an authentic Noise
// message (a peer with a key and any certificate). One exchange per input; keys and certificates are made
// once.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "relay/text.h"
#include "tests/fuzz/target.h"
#include "tests/support/sealed_harness.h"

namespace trunkline::fuzz {

using namespace relay;
using Buffer = std::vector<uint8_t>;

// Node 1 begins, node 2 answers.
struct SealedWorld {
  test::SealedCluster cluster;
  noise::KeyPair a_key = noise::KeyPair::generate(cluster.random);
  std::unique_ptr<SealedIdentity> a = cluster.node(1, a_key), b = cluster.node(2);
  // What a peer with a key might show: its own; expired; for another key; of another node; of nobody's
  // signature.
  std::vector<CertificateBytes> certificates_of(uint64_t node, const Key& key) {
    std::vector<CertificateBytes> out = {
        cluster.certificate(node, key), cluster.certificate(node, key, test::kUnixNow - 1),
        cluster.certificate(node, cluster.signer.public_key), cluster.certificate(node + 2, key)};
    out.push_back(out[0]);
    out.back()[200] ^= 1;
    return out;
  }
  std::vector<CertificateBytes> a_shows = certificates_of(1, a->key().public_key);
  std::vector<CertificateBytes> b_shows = certificates_of(2, b->key().public_key);

  static SealedWorld& get() {
    static SealedWorld world;
    world.a->set_under_load(false);
    world.b->set_under_load(false);
    return world;
  }
};

inline void set_mac1(uint8_t message, const SealedIdentity& receiver, Buffer& bytes) {
  const size_t behind = message == kConfirm ? kMacBytes : kMacsBytes;
  if (bytes.size() < behind) return;
  const size_t covered = bytes.size() - behind;
  const Mac mac = message_mac(receiver.own_mac1_key(), message, relay::Bytes(bytes).first(covered));
  std::copy(mac.begin(), mac.end(), bytes.begin() + static_cast<std::ptrdiff_t>(covered));
}

// Bytes of the input over bytes of the message, and perhaps another length.
inline void damage(Input& in, Buffer& message, size_t most) {
  for (uint32_t edits = in.below(4); edits > 0 && !message.empty(); --edits) {
    const size_t at = in.u16() % message.size();
    const Bytes bytes = in.counted();
    const size_t n = std::min(bytes.size(), message.size() - at);
    std::copy_n(bytes.begin(), n, message.begin() + static_cast<std::ptrdiff_t>(at));
  }
  if (in.below(8) == 1) message.resize(in.u16() % most);
}

// The plaintext of a Noise message: certificate | order | length | payload | rest.
inline Buffer plaintext(Input& in, const std::vector<CertificateBytes>& shows, uint64_t order, size_t fixed) {
  const CertificateBytes& certificate = shows[in.below(static_cast<uint32_t>(shows.size()))];
  Buffer out(certificate.begin(), certificate.end());
  const Bytes payload = in.counted();
  out.resize(kCertificateBytes + kSealedFieldBytes);
  store_be64(&out[kCertificateBytes], order);
  store_be16(&out[kCertificateBytes + 8], static_cast<uint16_t>(payload.size()));
  out.insert(out.end(), payload.begin(), payload.end());
  if (fixed != 0) out.resize(fixed);
  damage(in, out, 900);
  if (fixed != 0) out.resize(fixed);
  return out;
}

// Whether the plaintext is one that an honest writer could have sealed.
inline bool is_canonical(const Buffer& plain, bool msg1) {
  if (plain.size() < kCertificateBytes + kSealedFieldBytes) return false;
  const uint64_t order = load_be64(&plain[kCertificateBytes]);
  const size_t length = load_be16(&plain[kCertificateBytes + 8]);
  const size_t end = kCertificateBytes + kSealedFieldBytes + length;
  if (end > plain.size() || (msg1 && order == 0)) return false;
  const auto rest = plain.begin() + static_cast<std::ptrdiff_t>(end);
  return msg1 ? std::all_of(rest, plain.end(), [](uint8_t byte) { return byte == 0; }) : rest == plain.end();
}

inline Handshake::Read read_exact(Handshake& reader, uint8_t message, const Buffer& bytes) {
  Buffer exact(bytes);  // ends where its block ends; the payload may be a part of it
  Handshake::Read read = reader.read(message, exact);
  Buffer copy(read.payload.begin(), read.payload.end());
  EXPECT_TRUE(read.ok || read.payload.empty());
  read.payload = {};
  return read;
}

inline constexpr std::string_view kPrologue = "trunkline handshake 1";
inline constexpr size_t kMsg1Plaintext = kMaxHandshakeBytes - kMacsBytes - noise::kMessage1Overhead;

struct Exchange {
  SealedWorld& world = SealedWorld::get();
  SealedHandshake a{*world.a, Suite::kAes128Gcm}, b{*world.b, Suite::kAes128Gcm};
  const Buffer hello = Buffer(40, 0x17);
  Exchange() { a.expect(test::peer_of(*world.b)); }
  // Node 2 answers one peer, or anybody: it was told nothing, or of no node.
  void answer(uint32_t whom) {
    if (whom == 0) b.expect(test::peer_of(*world.a));
    if (whom == 1) b.expect({{}, world.a->key().public_key});
  }
};

// Some bytes in the place of `whole`, which is read after them. Of a msg1 mac2 is looked at under load only.
inline void read_strange(Input& in, Handshake& reader, const SealedIdentity& receiver, uint8_t message,
                         const Buffer& whole) {
  Buffer strange = in.flag() ? copy_of(in.counted16()) : whole;
  damage(in, strange, 1'300);
  if (in.flag()) set_mac1(message, receiver, strange);
  const size_t judged = whole.size() - (message == kMsg1 ? kMacBytes : 0);
  const bool same =
      strange.size() == whole.size() &&
      std::equal(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(judged), strange.begin());
  EXPECT_EQ(read_exact(reader, message, strange).ok, same);
  EXPECT_FALSE(read_exact(reader, 0, strange).ok) << "no such message";
}

}  // namespace trunkline::fuzz
