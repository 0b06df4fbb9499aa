// One exchange of the sealed handshake, with all that went into it, as lines `name hexadecimal`: for a test
// that computes the same bytes from docs/protocol.md alone.
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "relay/text.h"
#include "tests/support/sealed_harness.h"

namespace {

using namespace trunkline::relay;

// Remembers what it gave out last: what the ephemeral key of what was just written was made of.
class Remembering final : public Randomness {
 public:
  void fill(std::span<uint8_t> out) noexcept override {
    source_.fill(out);
    last.assign(out.begin(), out.end());
  }
  std::vector<uint8_t> last;

 private:
  test::SeededRandomness source_{20261129};
};

void print(const char* name, Bytes bytes) {
  std::printf("%s ", name);
  for (const uint8_t byte : bytes) std::printf("%02x", byte);
  std::printf("\n");
}

void print_node(const char* name, const SealedIdentity& node) {
  std::printf("%s_", name);
  print("secret", node.key().secret.bytes());
  std::printf("%s_", name);
  print("certificate", node.certificate());
}

}  // namespace

int main() {
  test::SealedCluster cluster;
  Remembering random;
  const auto make = [&](uint64_t id) {
    const auto key = noise::KeyPair::generate(cluster.random);
    auto made = SealedIdentity::make(key, cluster.certificate(id, key.public_key), cluster.trust,
                                     test::kUnixNow, random);
    return std::move(made).value();
  };
  const auto a_node = make(1), b_node = make(2);
  SealedHandshake a(*a_node, Suite::kAes256Gcm), b(*b_node, Suite::kAes256Gcm);
  a.expect(test::peer_of(*b_node));
  b_node->set_under_load(true);
  print("cluster_public", cluster.signer.public_key);
  print_node("a", *a_node);
  print_node("b", *b_node);

  auto msg1 = test::written(a, kMsg1, as_bytes("hello from a"));
  print("a_drawn", random.last);
  const auto from = trunkline::core::UdpAddress::v4(192, 0, 2, 1, 7'000);
  std::vector<uint8_t> reply(kCookieReplyBytes);
  b.admit(msg1, from, {}, reply);
  if (!a.read_cookie(reply, {})) return EXIT_FAILURE;
  a.stamp(msg1, {});
  print("cookie_reply", reply);
  print("msg1", msg1);
  if (!b.read(kMsg1, msg1).ok) return EXIT_FAILURE;
  auto msg2 = test::written(b, kMsg2, as_bytes("hello from b"));
  print("b_drawn", random.last);
  print("msg2", msg2);
  if (!a.read(kMsg2, msg2).ok) return EXIT_FAILURE;
  auto confirm = test::written(a, kConfirm, as_bytes("a refusal"));
  print("confirm", confirm);
  if (!b.read(kConfirm, confirm).ok) return EXIT_FAILURE;
  print("a_sends", a.keys().send_secret);
  print("b_sends", b.keys().send_secret);
  return EXIT_SUCCESS;
}
