// Lanes, counters and their limits; see relay/sealed_suite.h. What runs per datagram is in seal() and open(),
// and in the cipher below them.
#include "relay/sealed_suite.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "core/check.h"
#include "relay/key_memory.h"
#include "relay/lane_key.h"
#include "relay/secret.h"

namespace trunkline::relay {
namespace {

using core::CoreId;

// Two words in one register, so that a nonce is written by one store.
using Words [[gnu::vector_size(16)]] = uint64_t;
static_assert(sizeof(Words) == sizeof(AeadNonce));

// The IV's 12 bytes xor the counter, big-endian, at their end: bytes 4 to 11 of two little-endian words.
inline void write_nonce(AeadNonce& out, Words iv, uint64_t counter) noexcept {
  const uint64_t big_endian = __builtin_bswap64(counter);
  const Words nonce = iv ^ Words { big_endian << 32, big_endian >> 32 };
  std::memcpy(&out, &nonce, sizeof out);
}

inline uint64_t counter_of(const uint8_t* header) noexcept {
  return load_be64(header) & kMaxCounter;
}

enum Direction : uint8_t { kSending = 0, kReceiving = 1 };
constexpr uint32_t kDirections = 2;

// All that is secret of one session and data core. Zeros mean: no key.
struct SessionSecrets {
  struct Lane {
    Words iv;
    bool ready;
    uint8_t from, to;  // of the key; one object serves one core, but nothing relies on it
  };

  bool keyed;
  uint8_t secrets[kDirections][kHkdfSecretBytes];
  Lane lanes[core::kMaxCores][kDirections];  // by the peer's core
  // A lane's two keys lie side by side: those of a peer of one core share a page with all of the above.
  AeadKey keys[core::kMaxCores][kDirections];
};
static_assert(offsetof(SessionSecrets, keys) + sizeof(AeadKey) * kDirections <= kSealedSessionBytes);

// As many nonces as the longest run has datagrams; what is longer goes in several.
constexpr std::size_t kChunk = 64;

// Calls work(first, nonces) for stretches of at most kChunk jobs in a row that are usable, and refuse(job)
// for each of the others.
template <class Job, class Usable, class Refuse, class Work>
inline void for_each_stretch(std::span<Job> jobs, Usable usable, Refuse refuse, Work work) noexcept {
  std::size_t first = 0;
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    const bool use = usable(jobs[i]);
    if (use && i - first < kChunk) continue;
    if (i != first) work(jobs.subspan(first, i - first));
    first = i;
    if (use) continue;
    refuse(jobs[i]);
    first = i + 1;
  }
  if (first != jobs.size()) work(jobs.subspan(first));
}

class SealedSession final : public SessionCrypto {
 public:
  SealedSession() : secrets_(make_keys<SessionSecrets>()) {}
  ~SealedSession() override { wipe_keys(); }

  void forget() noexcept { wipe_keys(); }
  void key(const SessionKeys& keys, Aead& cipher) noexcept {
    wipe_keys();
    aead_ = &cipher;
    suite_ = keys.suite;
    std::memcpy(secrets_->secrets[kSending], keys.send_secret.data(), kHkdfSecretBytes);
    std::memcpy(secrets_->secrets[kReceiving], keys.receive_secret.data(), kHkdfSecretBytes);
    secrets_->keyed = true;
  }

  void seal(CoreId from, CoreId to, std::span<SealJob> jobs) noexcept override {
    const SessionSecrets::Lane& lane = prepare(to, kSending, from, to);
    const AeadKey& key = secrets_->keys[to.value][kSending];
    const uint64_t limit = lane.ready ? datagram_limit(suite_) : 0;
    const auto usable = [limit](const SealJob& job) { return counter_of(job.data) < limit; };
    // The transmitter has it already and nothing takes it back: what leaves is nothing that a peer accepts.
    const auto erase = [](SealJob& job) {
      std::memset(job.data + kHeaderBytes, 0, job.length - kHeaderBytes + kTagBytes);
    };
    for_each_stretch(jobs, usable, erase, [&](std::span<SealJob> stretch) {
      AeadNonce nonces[kChunk];
      for (std::size_t i = 0; i < stretch.size(); ++i) {
        write_nonce(nonces[i], lane.iv, counter_of(stretch[i].data));
      }
      aead_->seal(from, key, {nonces, stretch.size()}, kHeaderBytes, stretch);
    });
  }

  void open(CoreId from, CoreId to, std::span<OpenJob> jobs) noexcept override {
    const SessionSecrets::Lane& lane = prepare(from, kReceiving, from, to);
    const AeadKey& key = secrets_->keys[from.value][kReceiving];
    const uint64_t limit = lane.ready ? datagram_limit(suite_) : 0;
    const auto usable = [limit](const OpenJob& job) {
      return job.length >= kHeaderBytes + kTagBytes && counter_of(job.data) < limit;
    };
    const auto refuse = [](OpenJob& job) { job.authentic = false; };
    for_each_stretch(jobs, usable, refuse, [&](std::span<OpenJob> stretch) {
      AeadNonce nonces[kChunk];
      for (std::size_t i = 0; i < stretch.size(); ++i) {
        write_nonce(nonces[i], lane.iv, counter_of(stretch[i].data));
      }
      aead_->open(to, key, {nonces, stretch.size()}, kHeaderBytes, stretch);
    });
  }

 private:
  // The lane's key, derived if this is its first run. Not `ready` afterwards: the session has no keys.
  const SessionSecrets::Lane& prepare(CoreId peer, Direction direction, CoreId from, CoreId to) noexcept {
    TL_CHECK(from.value < core::kMaxCores && to.value < core::kMaxCores);
    SessionSecrets::Lane& lane = secrets_->lanes[peer.value][direction];
    const bool right = lane.ready && lane.from == from.value && lane.to == to.value;
    if (!right && secrets_->keyed) [[unlikely]]
      derive(lane, peer, direction, from, to);
    return lane;
  }

  [[gnu::noinline]] void derive(SessionSecrets::Lane& lane, CoreId peer, Direction direction, CoreId from,
                                CoreId to) noexcept {
    LaneKey made = derive_lane_key(secrets_->secrets[direction], suite_, from, to);
    aead_->expand(made.key, secrets_->keys[peer.value][direction]);
    uint8_t iv[sizeof(Words)]{};
    std::memcpy(iv, made.iv.data(), made.iv.size());
    std::memcpy(&lane.iv, iv, sizeof iv);
    lane.from = from.value;
    lane.to = to.value;
    lane.ready = true;
    wipe(&made, sizeof made);
    wipe(iv, sizeof iv);
  }

  // Keys that were never derived have no memory yet, and get none here.
  void wipe_keys() noexcept {
    for (uint32_t peer = 0; peer < core::kMaxCores; ++peer) {
      for (uint32_t direction = 0; direction < kDirections; ++direction) {
        if (!secrets_->lanes[peer][direction].ready) continue;
        wipe(&secrets_->keys[peer][direction], sizeof(AeadKey));
      }
    }
    if (secrets_->keyed) wipe(secrets_.get(), offsetof(SessionSecrets, keys));
  }

  Suite suite_ = Suite::kNull;
  Aead* aead_ = nullptr;  // once it has keys
  KeyPtr<SessionSecrets> secrets_;
};

constexpr std::pair<std::string_view, Suite> kNames[] = {
    {"aes-128-gcm", Suite::kAes128Gcm},
    {"aes-256-gcm", Suite::kAes256Gcm},
    {"chacha20-poly1305", Suite::kChaCha20Poly1305},
};

}  // namespace

std::optional<Suite> sealed_suite_named(std::string_view name) noexcept {
  for (const auto& [known, suite] : kNames) {
    if (known == name) return suite;
  }
  return std::nullopt;
}

core::Result<std::unique_ptr<SealedSuite>> SealedSuite::make(std::span<const Suite> suites,
                                                             uint32_t data_cores) {
  std::unique_ptr<SealedSuite> made(new SealedSuite);
  for (const Suite suite : suites) {
    core::Result<std::unique_ptr<Aead>> aead = Aead::make(suite, data_cores);
    if (!aead) return aead.error();
    made->ciphers_[static_cast<uint8_t>(suite)] = std::move(*aead);
  }
  return made;
}

std::unique_ptr<SessionCrypto> SealedSuite::make_session() {
  return std::make_unique<SealedSession>();
}

void SealedSuite::key_session(SessionCrypto& session, const SessionKeys& keys) noexcept {
  Aead* const aead = cipher(keys.suite);
  TL_CHECK(aead != nullptr);
  static_cast<SealedSession&>(session).key(keys, *aead);
}

void SealedSuite::forget_session(SessionCrypto& session) noexcept {
  static_cast<SealedSession&>(session).forget();
}

}  // namespace trunkline::relay
