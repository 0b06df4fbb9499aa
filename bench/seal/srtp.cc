// See srtp.h. OpenSSL's counter mode is SRTP's AES-CM.
#include "bench/seal/srtp.h"

#include <openssl/evp.h>

namespace trunkline::bench {
namespace {

// x = label << 48 xor the salt, which stands in the first 14 bytes of the counter block and has 12 here.
template <size_t kBytes>
void derive(const SrtpMasterKey& master, uint8_t label, std::array<uint8_t, kBytes>& out) {
  std::array<uint8_t, 16> block{};
  std::copy(master.begin() + 16, master.end(), block.begin());
  block[7] ^= label;
  out.fill(0);
  EVP_CIPHER_CTX* const context = EVP_CIPHER_CTX_new();
  int bytes = 0;
  const bool done =
      EVP_EncryptInit_ex(context, EVP_aes_128_ctr(), nullptr, master.data(), block.data()) == 1 &&
      EVP_EncryptUpdate(context, out.data(), &bytes, out.data(), int{kBytes}) == 1;
  EVP_CIPHER_CTX_free(context);
  if (!done) give_up("OpenSSL derives no SRTP key");
}

}  // namespace

SrtpSessionKey derive_srtp_key(const SrtpMasterKey& master) {
  SrtpSessionKey out;
  derive(master, 0, out.key);
  derive(master, 2, out.salt);
  return out;
}

}  // namespace trunkline::bench
