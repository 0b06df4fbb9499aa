// A second opinion on sealed datagrams: OpenSSL's EVP, fed with docs/protocol.md instead of our code. It
// derives the lane's key, builds the nonce and seals by itself.
#pragma once

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "relay/crypto.h"

namespace trunkline::tests {

inline const EVP_CIPHER* openssl_cipher(relay::Suite suite) {
  switch (suite) {
    case relay::Suite::kAes128Gcm:
      return EVP_aes_128_gcm();
    case relay::Suite::kAes256Gcm:
      return EVP_aes_256_gcm();
    default:
      return EVP_chacha20_poly1305();
  }
}

// HKDF-Expand with SHA-256.
inline std::vector<uint8_t> openssl_expand(std::span<const uint8_t> secret, std::string info, size_t length) {
  EVP_KDF* const kdf = EVP_KDF_fetch(nullptr, "HKDF", nullptr);
  EVP_KDF_CTX* const context = EVP_KDF_CTX_new(kdf);
  int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
  std::string digest = "SHA256";
  std::vector<uint8_t> key(secret.begin(), secret.end()), out(length);
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key.data(), key.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  EXPECT_EQ(EVP_KDF_derive(context, out.data(), out.size(), parameters), 1);
  EVP_KDF_CTX_free(context);
  EVP_KDF_free(kdf);
  return out;
}

// One lane of one direction.
class OpensslLane {
 public:
  OpensslLane(relay::Suite suite, std::span<const uint8_t> secret, uint8_t from, uint8_t to)
      : cipher_(openssl_cipher(suite)), context_(EVP_CIPHER_CTX_new()) {
    std::string info = "trunkline lane";
    for (const uint8_t byte : {static_cast<uint8_t>(suite), from, to}) info += static_cast<char>(byte);
    const size_t key_bytes = static_cast<size_t>(EVP_CIPHER_get_key_length(cipher_));
    key_ = openssl_expand(secret, info, key_bytes + 12);
    iv_.assign(key_.end() - 12, key_.end());
    key_.resize(key_bytes);
  }

  // header | records -> header | ciphertext | tag.
  std::vector<uint8_t> seal(const std::vector<uint8_t>& plain) {
    std::vector<uint8_t> out(plain.begin(), plain.begin() + 12);
    out.resize(plain.size() + 16);
    int length = 0;
    const auto text = static_cast<int>(plain.size()) - 12;
    EXPECT_EQ(EVP_EncryptInit_ex(context_.get(), cipher_, nullptr, key_.data(), nonce(plain).data()), 1);
    EXPECT_EQ(EVP_EncryptUpdate(context_.get(), nullptr, &length, plain.data(), 12), 1);
    EXPECT_EQ(EVP_EncryptUpdate(context_.get(), out.data() + 12, &length, plain.data() + 12, text), 1);
    EXPECT_EQ(EVP_EncryptFinal_ex(context_.get(), out.data() + plain.size(), &length), 1);
    EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, 16, out.data() + plain.size()), 1);
    return out;
  }

  // nullopt: not authentic.
  std::optional<std::vector<uint8_t>> open(std::vector<uint8_t> sealed) {
    const auto text = static_cast<int>(sealed.size()) - 12 - 16;
    std::vector<uint8_t> plain(sealed.begin(), sealed.end() - 16);
    int length = 0;
    EXPECT_EQ(EVP_DecryptInit_ex(context_.get(), cipher_, nullptr, key_.data(), nonce(sealed).data()), 1);
    EXPECT_EQ(EVP_DecryptUpdate(context_.get(), nullptr, &length, sealed.data(), 12), 1);
    EXPECT_EQ(EVP_DecryptUpdate(context_.get(), plain.data() + 12, &length, sealed.data() + 12, text), 1);
    uint8_t* const tag = sealed.data() + sealed.size() - 16;
    EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, 16, tag), 1);
    uint8_t nothing[16];
    if (EVP_DecryptFinal_ex(context_.get(), nothing, &length) != 1) return std::nullopt;
    return plain;
  }

 private:
  struct Free {
    void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  };

  // The counter is the header's bytes 2 to 7; it ends where the nonce ends.
  std::vector<uint8_t> nonce(const std::vector<uint8_t>& datagram) const {
    std::vector<uint8_t> nonce = iv_;
    for (size_t i = 0; i < 6; ++i) nonce[6 + i] ^= datagram[2 + i];
    return nonce;
  }

  const EVP_CIPHER* cipher_;
  std::unique_ptr<EVP_CIPHER_CTX, Free> context_;
  std::vector<uint8_t> key_, iv_;
};

}  // namespace trunkline::tests
