// See bench/seal/sealers.h.
#include "bench/seal/sealers.h"

#include <intel-ipsec-mb.h>
#include <openssl/evp.h>

#include <cstring>

#include "core/check.h"
#include "relay/wire.h"

namespace trunkline::bench {

using relay::kHeaderBytes;
using relay::kTagBytes;
using relay::Suite;

constexpr uint32_t kDatagrams = SealRun::kDatagrams;

SealRun::SealRun(uint32_t packet)
    : length_(kHeaderBytes + relay::kRecordHeaderBytes + packet), lines_(size_t{kStride} * kDatagrams) {
  TL_CHECK(length_ + kTagBytes <= kStride * sizeof(Line));
  next_counters();
}

void SealRun::next_counters() noexcept {
  for (uint32_t i = 0; i < kDatagrams; ++i) {
    relay::encode_header(datagram(i), {.counter = counter_++ & 0xffffff, .session_index = 0x00010001});
  }
}

namespace {

void copy(SealRun& to, SealRun& from) noexcept {
  for (uint32_t i = 0; i < kDatagrams; ++i) {
    std::memcpy(to.datagram(i), from.datagram(i), from.length() + kTagBytes);
  }
}

}  // namespace

// ---- ours

OurSeal::OurSeal(Suite suite, uint8_t core, uint32_t cores) : core_{core} {
  auto made = relay::SealedSuite::make(suite, cores);
  TL_CHECK(made);
  suite_ = std::move(*made);
  sender_ = suite_->make_session();
  receiver_ = suite_->make_session();
  relay::SessionKeys keys{suite, {}, {}};
  suite_->key_session(*sender_, keys);  // whose directions have one secret
  suite_->key_session(*receiver_, keys);
}

void OurSeal::seal(SealRun& run) noexcept {
  std::array<relay::SealJob, kDatagrams> jobs;
  run.next_counters();
  for (uint32_t i = 0; i < kDatagrams; ++i) jobs[i] = {run.datagram(i), run.length()};
  sender_->seal(core_, {0}, jobs);
}

bool OurSeal::open(SealRun& run, SealRun& sealed) noexcept {
  std::array<relay::OpenJob, kDatagrams> jobs;
  copy(run, sealed);
  for (uint32_t i = 0; i < kDatagrams; ++i) jobs[i] = {run.datagram(i), run.length() + kTagBytes, false};
  receiver_->open({0}, core_, jobs);
  bool all = true;
  for (const relay::OpenJob& job : jobs) all = all && job.authentic;
  return all;
}

// ---- OpenSSL

struct OpensslSeal::Contexts {
  EVP_CIPHER_CTX* seal = EVP_CIPHER_CTX_new();
  EVP_CIPHER_CTX* open = EVP_CIPHER_CTX_new();
  uint8_t nonce[12]{};
};

OpensslSeal::OpensslSeal(Suite suite) : contexts_(std::make_unique<Contexts>()) {
  const EVP_CIPHER* const cipher = suite == Suite::kAes128Gcm   ? EVP_aes_128_gcm()
                                   : suite == Suite::kAes256Gcm ? EVP_aes_256_gcm()
                                                                : EVP_chacha20_poly1305();
  const uint8_t key[32]{};
  TL_CHECK(EVP_EncryptInit_ex(contexts_->seal, cipher, nullptr, key, contexts_->nonce) == 1);
  TL_CHECK(EVP_DecryptInit_ex(contexts_->open, cipher, nullptr, key, contexts_->nonce) == 1);
}

OpensslSeal::~OpensslSeal() {
  EVP_CIPHER_CTX_free(contexts_->seal);
  EVP_CIPHER_CTX_free(contexts_->open);
}

void OpensslSeal::seal(SealRun& run) noexcept {
  EVP_CIPHER_CTX* const context = contexts_->seal;
  const auto text = static_cast<int>(run.length() - kHeaderBytes);
  int done = 0;
  run.next_counters();
  for (uint32_t i = 0; i < kDatagrams; ++i) {
    uint8_t* const data = run.datagram(i);
    std::memcpy(contexts_->nonce + 6, data + 2, 6);
    EVP_EncryptInit_ex(context, nullptr, nullptr, nullptr, contexts_->nonce);
    EVP_EncryptUpdate(context, nullptr, &done, data, kHeaderBytes);
    EVP_EncryptUpdate(context, data + kHeaderBytes, &done, data + kHeaderBytes, text);
    EVP_EncryptFinal_ex(context, data + run.length(), &done);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, kTagBytes, data + run.length());
  }
}

bool OpensslSeal::open(SealRun& run, SealRun& sealed) noexcept {
  EVP_CIPHER_CTX* const context = contexts_->open;
  const auto text = static_cast<int>(run.length() - kHeaderBytes);
  int done = 0;
  bool all = true;
  copy(run, sealed);
  for (uint32_t i = 0; i < kDatagrams; ++i) {
    uint8_t* const data = run.datagram(i);
    std::memcpy(contexts_->nonce + 6, data + 2, 6);
    EVP_DecryptInit_ex(context, nullptr, nullptr, nullptr, contexts_->nonce);
    EVP_DecryptUpdate(context, nullptr, &done, data, kHeaderBytes);
    EVP_DecryptUpdate(context, data + kHeaderBytes, &done, data + kHeaderBytes, text);
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, kTagBytes, data + run.length());
    all = EVP_DecryptFinal_ex(context, data + run.length(), &done) == 1 && all;
  }
  return all;
}

// ---- Intel's library by itself

struct BareSeal::Library {
  IMB_MGR* manager = alloc_mb_mgr(0);
  alignas(64) gcm_key_data key;  // which the library wants and does not declare
  gcm_context_data context;
  alignas(16) uint8_t nonces[kDatagrams][16]{};
};

BareSeal::BareSeal() : library_(std::make_unique<Library>()) {
  TL_CHECK(library_->manager != nullptr);
  init_mb_mgr_auto(library_->manager, nullptr);
  const uint8_t key[32]{};
  library_->manager->gcm128_pre(key, &library_->key);
}

BareSeal::~BareSeal() {
  free_mb_mgr(library_->manager);
}

void BareSeal::seal(SealRun& run) noexcept {
  const uint64_t text = run.length() - kHeaderBytes;
  for (uint32_t i = 0; i < kDatagrams; ++i) {
    uint8_t* const data = run.datagram(i);
    library_->manager->gcm128_enc(&library_->key, &library_->context, data + kHeaderBytes,
                                  data + kHeaderBytes, text, library_->nonces[i], data, kHeaderBytes,
                                  data + run.length(), kTagBytes);
  }
}

}  // namespace trunkline::bench
