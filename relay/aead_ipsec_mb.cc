// The ciphers of the sealed suites, by Intel's multi-buffer library (libipsec-mb 1.3): AES-GCM (NIST SP
// 800-38D) and ChaCha20-Poly1305 (RFC 8439).
//
// Of the library's interfaces each cipher takes the one that measured faster (docs/decisions/0012):
//   AES-GCM            the direct functions: plain code over (key, text), no state, so all cores share a
//   table
//                      of pointers.
//   ChaCha20-Poly1305  the job interface: a third faster at 172 bytes than the direct functions in three
//   calls.
//                      Its queue is state, so each core has a manager of its own, 52 KiB.
//
// The nonces of a run are all written before the first datagram is sealed: a load of 12 bytes right behind
// the store of the counter in them waits for the store to retire, 15 ns per datagram.
//
// The direct functions reset the library's error word in each call, a store into one cache line of the
// process: two cores that seal at once cost each other 4 ns per 172-byte datagram.
#include <intel-ipsec-mb.h>

#include <cstring>
#include <string>
#include <vector>

#include "core/check.h"
#include "relay/aead.h"
#include "relay/wire.h"

namespace trunkline::relay {
namespace {

constexpr uint64_t kNonceBytes = 12;
static_assert(sizeof(gcm_key_data) <= sizeof(AeadKey) && alignof(gcm_key_data) <= alignof(AeadKey));

// All bytes are looked at, wherever the first difference is.
bool tags_equal(const uint8_t* a, const uint8_t* b) noexcept {
  return ((load_be64(a) ^ load_be64(b)) | (load_be64(a + 8) ^ load_be64(b + 8))) == 0;
}

// ---- the library

struct FreeManager {
  void operator()(IMB_MGR* manager) const noexcept { free_mb_mgr(manager); }
};
using Manager = std::unique_ptr<IMB_MGR, FreeManager>;

core::Error error(const std::string& text) {
  return {0, "sealed suites: " + text};
}

// Chooses the code for this CPU and lets it test itself.
core::Result<Manager> make_manager() {
  Manager manager(alloc_mb_mgr(0));
  if (!manager) return error("no memory for Intel's multi-buffer library; give this process more");
  init_mb_mgr_auto(manager.get(), nullptr);
  if (const int code = imb_get_errno(manager.get()); code != 0) {
    return error("Intel's multi-buffer library does not start on this CPU: " +
                 std::string(imb_get_strerror(code)) + "; it needs x86-64 with SSE4.2");
  }
  if ((manager->features & IMB_FEATURE_SELF_TEST) == 0) {
    return error(
        "this build of Intel's multi-buffer library has no self-test; install Debian's libipsec-mb1");
  }
  if ((manager->features & IMB_FEATURE_SELF_TEST_PASS) == 0) {
    return error(
        "the self-test of Intel's multi-buffer library fails: it computes wrong results on this machine; "
        "reinstall libipsec-mb1, and do not use the machine if it fails again");
  }
  return manager;
}

// ---- AES-GCM

struct GcmFunctions {
  aes_gcm_pre_t expand;
  aes_gcm_enc_dec_t seal;
  aes_gcm_enc_dec_t open;
};

class AesGcm final : public Aead {
 public:
  explicit AesGcm(const GcmFunctions& gcm) noexcept : gcm_(gcm) {}

  void expand(std::span<const uint8_t, 32> key, AeadKey& out) const noexcept override {
    gcm_.expand(key.data(), reinterpret_cast<gcm_key_data*>(out.bytes));
  }

  void seal(core::CoreId, const AeadKey& key, std::span<const AeadNonce> nonces, uint32_t header,
            std::span<SealJob> jobs) noexcept override {
    const auto* const expanded = reinterpret_cast<const gcm_key_data*>(key.bytes);
    gcm_context_data context;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      uint8_t* const text = jobs[i].data + header;
      gcm_.seal(expanded, &context, text, text, jobs[i].length - header, nonces[i].bytes, jobs[i].data,
                header, jobs[i].data + jobs[i].length, kTagBytes);
    }
  }

  void open(core::CoreId, const AeadKey& key, std::span<const AeadNonce> nonces, uint32_t header,
            std::span<OpenJob> jobs) noexcept override {
    const auto* const expanded = reinterpret_cast<const gcm_key_data*>(key.bytes);
    gcm_context_data context;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      uint8_t* const text = jobs[i].data + header;
      const uint32_t length = jobs[i].length - header - kTagBytes;
      uint8_t tag[kTagBytes];
      gcm_.open(expanded, &context, text, text, length, nonces[i].bytes, jobs[i].data, header, tag,
                kTagBytes);
      jobs[i].authentic = tags_equal(tag, text + length);
    }
  }

 private:
  GcmFunctions gcm_;
};

// ---- ChaCha20-Poly1305

class ChaCha20Poly1305 final : public Aead {
 public:
  // One manager per data core.
  explicit ChaCha20Poly1305(std::vector<Manager> managers) noexcept : managers_(std::move(managers)) {}

  void expand(std::span<const uint8_t, 32> key, AeadKey& out) const noexcept override {
    std::memcpy(out.bytes, key.data(), key.size());
  }

  void seal(core::CoreId core, const AeadKey& key, std::span<const AeadNonce> nonces, uint32_t header,
            std::span<SealJob> jobs) noexcept override {
    IMB_MGR& manager = manager_of(core);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      IMB_JOB& job = *IMB_GET_NEXT_JOB(&manager);
      job.cipher_direction = IMB_DIR_ENCRYPT;
      job.chain_order = IMB_ORDER_CIPHER_HASH;
      run(manager, job, key, nonces[i], jobs[i].data, header, jobs[i].length - header,
          jobs[i].data + jobs[i].length);
    }
  }

  void open(core::CoreId core, const AeadKey& key, std::span<const AeadNonce> nonces, uint32_t header,
            std::span<OpenJob> jobs) noexcept override {
    IMB_MGR& manager = manager_of(core);
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      const uint32_t length = jobs[i].length - header - kTagBytes;
      uint8_t tag[kTagBytes];
      IMB_JOB& job = *IMB_GET_NEXT_JOB(&manager);
      job.cipher_direction = IMB_DIR_DECRYPT;
      job.chain_order = IMB_ORDER_HASH_CIPHER;
      run(manager, job, key, nonces[i], jobs[i].data, header, length, tag);
      jobs[i].authentic = tags_equal(tag, jobs[i].data + header + length);
    }
  }

 private:
  IMB_MGR& manager_of(core::CoreId core) noexcept {
    TL_CHECK(core.value < managers_.size());
    return *managers_[core.value];
  }

  // `job` has its direction; `text` bytes stand behind the header. The library completes this cipher's jobs
  // in the call that submits them; nothing is sent that it did not say to be done.
  static void run(IMB_MGR& manager, IMB_JOB& job, const AeadKey& key, const AeadNonce& nonce, uint8_t* data,
                  uint32_t header, uint32_t text, uint8_t* tag) noexcept {
    job.cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
    job.hash_alg = IMB_AUTH_CHACHA20_POLY1305;
    job.enc_keys = job.dec_keys = key.bytes;
    job.key_len_in_bytes = 32;
    job.src = data;
    job.dst = data + header;
    job.cipher_start_src_offset_in_bytes = job.hash_start_src_offset_in_bytes = header;
    job.msg_len_to_cipher_in_bytes = job.msg_len_to_hash_in_bytes = text;
    job.iv = nonce.bytes;
    job.iv_len_in_bytes = kNonceBytes;
    job.u.CHACHA20_POLY1305.aad = data;
    job.u.CHACHA20_POLY1305.aad_len_in_bytes = header;
    job.auth_tag_output = tag;
    job.auth_tag_output_len_in_bytes = kTagBytes;
    const IMB_JOB* const done = IMB_SUBMIT_JOB_NOCHECK(&manager);
    TL_CHECK(done == &job && done->status == IMB_STATUS_COMPLETED);
  }

  std::vector<Manager> managers_;
};

core::Result<std::unique_ptr<Aead>> make_aes_gcm(Suite suite) {
  core::Result<Manager> made = make_manager();
  if (!made) return made.error();
  const IMB_MGR& library = **made;
  constexpr uint64_t kNeeded = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
  if ((library.features & kNeeded) != kNeeded) {
    return error(
        "AES-GCM needs a CPU with the instructions AES and PCLMULQDQ, and this one lacks them; use "
        "chacha20-poly1305 in the whole cluster");
  }
  const bool short_key = suite == Suite::kAes128Gcm;
  return std::unique_ptr<Aead>(
      new AesGcm(short_key ? GcmFunctions{library.gcm128_pre, library.gcm128_enc, library.gcm128_dec}
                           : GcmFunctions{library.gcm256_pre, library.gcm256_enc, library.gcm256_dec}));
}

core::Result<std::unique_ptr<Aead>> make_chacha(uint32_t data_cores) {
  std::vector<Manager> managers;
  for (uint32_t core = 0; core < data_cores; ++core) {
    core::Result<Manager> made = make_manager();
    if (!made) return made.error();
    managers.push_back(std::move(*made));
  }
  return std::unique_ptr<Aead>(new ChaCha20Poly1305(std::move(managers)));
}

}  // namespace

core::Result<std::unique_ptr<Aead>> Aead::make(Suite suite, uint32_t data_cores) {
  TL_CHECK(data_cores >= 1 && data_cores <= core::kMaxCores);
  switch (suite) {
    case Suite::kAes128Gcm:
    case Suite::kAes256Gcm:
      return make_aes_gcm(suite);
    case Suite::kChaCha20Poly1305:
      return make_chacha(data_cores);
    case Suite::kNull:
    case Suite::kModel:
      break;
  }
  return error("suite number " + std::to_string(static_cast<int>(suite)) +
               " is not a sealed one; there are aes-128-gcm, aes-256-gcm and chacha20-poly1305");
}

}  // namespace trunkline::relay
