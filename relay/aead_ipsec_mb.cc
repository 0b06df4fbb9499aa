// The ciphers of the sealed suites, by Intel's multi-buffer library (libipsec-mb 1.3): AES-GCM (NIST SP
// 800-38D) and ChaCha20-Poly1305 (RFC 8439).
//
// Of the library's interfaces each cipher takes the one that measured faster (docs/decisions/0012):
//   AES-GCM            the direct functions: plain code over (key, text), so a core needs no more of its copy
//   of
//                      the library (relay/ipsec_mb.h) than three pointers.
//   ChaCha20-Poly1305  the job interface: a third faster at 172 bytes than the direct functions in three
//   calls.
//                      Its queue is state: each core has a manager of its own, 52 KiB.
//
// The caller writes the nonces of a whole run before the first datagram is sealed: the library loads 12 bytes
// of a nonce at once, and right behind the stores that made them it would wait for these to retire, 15 ns per
// datagram.
#include <array>
#include <cstring>
#include <string>
#include <vector>

#include "core/check.h"
#include "relay/aead.h"
#include "relay/ipsec_mb.h"
#include "relay/wire.h"

namespace trunkline::relay {
namespace {

constexpr uint64_t kNonceBytes = 12;
static_assert(sizeof(gcm_key_data) <= sizeof(AeadKey));  // whose alignment is the one that the library wants

// All bytes are looked at, wherever the first difference is.
bool tags_equal(const uint8_t* a, const uint8_t* b) noexcept {
  return ((load_be64(a) ^ load_be64(b)) | (load_be64(a + 8) ^ load_be64(b + 8))) == 0;
}

// ---- AES-GCM

struct GcmFunctions {
  aes_gcm_pre_t expand;
  aes_gcm_enc_dec_t seal;
  aes_gcm_enc_dec_t open;
};

class AesGcm final : public Aead {
 public:
  using Cores = std::array<GcmFunctions, core::kMaxCores>;

  AesGcm(const Cores& cores, uint32_t count) noexcept : cores_(cores), count_(count) {}

  void expand(std::span<const uint8_t, 32> key, AeadKey& out) const noexcept override {
    cores_[0].expand(key.data(), reinterpret_cast<gcm_key_data*>(out.bytes));
  }

  void seal(core::CoreId core, const AeadKey& key, std::span<const AeadNonce> nonces, uint32_t header,
            std::span<SealJob> jobs) noexcept override {
    TL_CHECK(core.value < count_);
    const auto* const expanded = reinterpret_cast<const gcm_key_data*>(key.bytes);
    const aes_gcm_enc_dec_t seal_one = cores_[core.value].seal;
    gcm_context_data context;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      uint8_t* const text = jobs[i].data + header;
      const uint8_t* const plain = jobs[i].records != nullptr ? jobs[i].records : text;
      seal_one(expanded, &context, text, plain, jobs[i].length - header, nonces[i].bytes, jobs[i].data,
               header, jobs[i].data + jobs[i].length, kTagBytes);
    }
  }

  void open(core::CoreId core, const AeadKey& key, std::span<const AeadNonce> nonces, uint32_t header,
            std::span<OpenJob> jobs) noexcept override {
    TL_CHECK(core.value < count_);
    const auto* const expanded = reinterpret_cast<const gcm_key_data*>(key.bytes);
    const aes_gcm_enc_dec_t open_one = cores_[core.value].open;
    gcm_context_data context;
    for (std::size_t i = 0; i < jobs.size(); ++i) {
      uint8_t* const text = jobs[i].data + header;
      const uint32_t length = jobs[i].length - header - kTagBytes;
      uint8_t tag[kTagBytes];
      open_one(expanded, &context, text, text, length, nonces[i].bytes, jobs[i].data, header, tag, kTagBytes);
      jobs[i].authentic = tags_equal(tag, text + length);
    }
  }

 private:
  Cores cores_;
  uint32_t count_;
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
      copy_records(jobs[i], header);
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

core::Result<std::unique_ptr<Aead>> make_aes_gcm(bool short_key, uint32_t data_cores) {
  AesGcm::Cores cores{};
  for (uint32_t core = 0; core < data_cores; ++core) {
    const core::Result<Manager> made = make_manager({static_cast<uint8_t>(core)}, data_cores);
    if (!made) return made.error();
    const IMB_MGR& library = **made;
    constexpr uint64_t kNeeded = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
    if ((library.features & kNeeded) != kNeeded) {
      return sealed_suites_error(
          "AES-GCM needs a CPU with the instructions AES and PCLMULQDQ, and this one lacks them; use "
          "chacha20-poly1305 in the whole cluster");
    }
    cores[core] = short_key ? GcmFunctions{library.gcm128_pre, library.gcm128_enc, library.gcm128_dec}
                            : GcmFunctions{library.gcm256_pre, library.gcm256_enc, library.gcm256_dec};
  }
  return std::unique_ptr<Aead>(new AesGcm(cores, data_cores));
}

core::Result<std::unique_ptr<Aead>> make_chacha(uint32_t data_cores) {
  std::vector<Manager> managers;
  for (uint32_t core = 0; core < data_cores; ++core) {
    core::Result<Manager> made = make_manager({static_cast<uint8_t>(core)}, data_cores);
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
      return make_aes_gcm(suite == Suite::kAes128Gcm, data_cores);
    case Suite::kChaCha20Poly1305:
      return make_chacha(data_cores);
    case Suite::kNull:
    case Suite::kModel:
      break;
  }
  return sealed_suites_error(
      "suite number " + std::to_string(static_cast<int>(suite)) +
      " is not a sealed one; there are aes-128-gcm, aes-256-gcm and chacha20-poly1305");
}

}  // namespace trunkline::relay
