// The sealed suites: every datagram is encrypted and authenticated by an AEAD, under its lane's own key.
//
//   name                number  cipher                        for
//   aes-128-gcm         1       AES-128-GCM (SP 800-38D)      the ordinary choice
//   aes-256-gcm         2       AES-256-GCM                   where a policy asks for 256 bits
//   chacha20-poly1305   3       ChaCha20-Poly1305 (RFC 8439)  clusters with a CPU that lacks AES
//
//   key | IV = HKDF-Expand(the direction's secret, "trunkline lane" | suite | sender core | receiver core)
//   nonce    = IV xor the header's counter;  associated data = the header, 12 bytes;  tag: 16, never shorter
//
// docs/protocol.md says it so that a stranger can write the other end. relay/aead.h is the cipher.
//
// A lane's key is derived when the lane is first used, in the memory that its session has had from the start:
// a new session costs its data core 3 us, of a page fault, and 2 us per lane that it really uses.
//
// Memory: per session 33 KiB of addresses, of which pages come into being as lanes are used: 4 KiB for a peer
// of one core, 36 KiB for one of sixteen. It is in no core dump and in no forked child; keys are wiped when
// others take their place and when the session ends (relay/key_memory.h).
//
// Owner: a node has one SealedSuite; each data core calls its own sessions only. Sealing and opening lock,
// allocate and fail nothing. Cost: docs/performance.md, `tools/dev figures seal`.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "relay/aead.h"
#include "relay/crypto.h"
#include "relay/wire.h"

namespace trunkline::relay {

// As `wire.suite` has it; nullopt for a name that is not one of a sealed suite.
std::optional<Suite> sealed_suite_named(std::string_view name) noexcept;

// What a session of a peer with one data core has in memory, once it is used: a page.
inline constexpr uint32_t kSealedSessionBytes = 4'096;

// How many datagrams one lane's key may protect: counters from here on are neither sealed nor opened, and a
// session that comes near must have been replaced. AES-GCM: 2^28 of up to 2^11 bytes keep what an attacker
// can gain below 2^-57 (RFC 9001, appendix B.1.1). ChaCha20-Poly1305: the counter ends first (RFC 9001, 6.6).
constexpr uint64_t datagram_limit(Suite suite) noexcept {
  return suite == Suite::kChaCha20Poly1305 ? kMaxCounter + 1 : uint64_t{1} << 28;
}

// What crypto.h's Crypto needs of sealed suites: a node's Crypto owns one and passes these calls on. It
// serves every suite that the node accepts, so that a cluster can go from one to another.
class SealedSuite {
 public:
  // The error is a sentence for the operator: a self-test that fails, a CPU that lacks AES, a build without
  // the library. `data_cores`: of this node; ids from 0 on are what its sessions are called with.
  static core::Result<std::unique_ptr<SealedSuite>> make(std::span<const Suite> suites, uint32_t data_cores);

  static core::Result<std::unique_ptr<SealedSuite>> make(Suite suite, uint32_t data_cores) {
    return make({&suite, 1}, data_cores);
  }

  bool serves(Suite suite) const noexcept { return cipher(suite) != nullptr; }

  // A session without keys: it opens nothing, and erases what it is to seal. The suite must outlive it.
  // Any thread, at start.
  std::unique_ptr<SessionCrypto> make_session();
  // `session` is one that make_session() made; serves(keys.suite). The former keys are wiped. Allocates
  // nothing. The session's data core.
  void key_session(SessionCrypto& session, const SessionKeys& keys) noexcept;
  // Its keys are wiped; until it has others it is as make_session() made it.
  void forget_session(SessionCrypto& session) noexcept;

 private:
  SealedSuite() = default;
  Aead* cipher(Suite suite) const noexcept {
    const auto number = static_cast<uint8_t>(suite);
    return number < ciphers_.size() ? ciphers_[number].get() : nullptr;
  }

  std::array<std::unique_ptr<Aead>, 4> ciphers_;  // by the suite's number
};

}  // namespace trunkline::relay
