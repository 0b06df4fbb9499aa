// Takes the place of the ciphers in a build without Intel's multi-buffer library: says so, and nothing else.
#include "relay/aead.h"

namespace trunkline::relay {

core::Result<std::unique_ptr<Aead>> Aead::make(Suite, uint32_t) {
  return core::Error{
      0,
      "sealed suites: this program was built without Intel's multi-buffer library (x86-64 only); "
      "install libipsec-mb-dev and build again with -Dipsec_mb=enabled"};
}

}  // namespace trunkline::relay
