// See stranger.h.
#include "tools/sim/stranger.h"

#include <algorithm>

#include "relay/wire.h"
#include "tools/sim/network.h"
#include "tools/sim/streams.h"

namespace trunkline::sim {

namespace {

constexpr double kShare = 0.03;  // of the datagrams that pass
// The last bytes of a handshake message: authenticators, one of which is not looked at unless there is load.
constexpr size_t kMacs = 32;

bool is_data(std::span<const uint8_t> datagram) {
  return relay::decode_header(datagram.data()).type == relay::DatagramType::kData;
}

}  // namespace

Stranger::Stranger(const Options& options)
    : nodes_(options.nodes.size()), rng_(stream(options.seed, "stranger")) {}

void Stranger::Forgery::mute() {
  if (bytes.size() < relay::kHeaderBytes || is_data(bytes)) return bytes.clear();
  const relay::DatagramHeader header = relay::decode_header(bytes.data());
  std::fill(bytes.begin(), bytes.end(), uint8_t{0});
  relay::encode_header(bytes.data(), {.version = header.version, .type = header.type});
}

void Stranger::sees(NodeIndex from, NodeIndex to, std::span<const uint8_t> datagram, Nanos due) {
  if (datagram.size() < relay::kHeaderBytes + relay::kTagBytes || !rng_.chance(kShare)) return;
  Forgery forgery;
  forgery.to = to;
  forgery.number = made_++;
  // Sooner or later than what it was made of, and some much later.
  const int64_t most = rng_.chance(0.1) ? core::from_s(3).ns : core::from_ms(30).ns;
  forgery.due = due + Nanos{between(rng_, 1, most)};
  forgery.from = node_address(rng_.chance(0.5) ? from : static_cast<NodeIndex>(rng_.below(nodes_)));
  if (rng_.chance(0.3)) forgery.from = core::UdpAddress::v4(203, 0, 113, 7, 4'400);  // RFC 5737: nobody's
  forgery.bytes.assign(datagram.begin(), datagram.end());
  if (is_data(datagram)) {
    forge_data(forgery);
    before_.assign(datagram.begin(), datagram.end());
  } else {
    forge_handshake(forgery);
  }
  if (forgery.mark == Mark::stranger_reflected) forgery.to = from;
  pending_.push(std::move(forgery));
}

Stranger::Forgery Stranger::take() {
  Forgery first = pending_.top();
  pending_.pop();
  return first;
}

void Stranger::flip(std::vector<uint8_t>& bytes, size_t begin, size_t end) {
  const uint64_t bit = rng_.below((end - begin) * 8);
  bytes[begin + bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
}

// The header of a handshake is not covered, and chooses only which exchange must authenticate the rest; so
// what is damaged is the rest. Another node's msg1 is for nobody else.
void Stranger::forge_handshake(Forgery& forgery) {
  std::vector<uint8_t>& bytes = forgery.bytes;
  switch (rng_.below(4)) {
    case 0:
      forgery.mark = Mark::stranger_cut;
      bytes.resize(relay::kHeaderBytes + rng_.below(bytes.size() - relay::kHeaderBytes));
      return;
    case 1:
      forgery.mark = Mark::stranger_reflected;
      return;
    case 2:
      forgery.mark = Mark::stranger_noise;
      for (size_t i = relay::kHeaderBytes; i < bytes.size(); ++i)
        bytes[i] = static_cast<uint8_t>(rng_.next());
      return;
    default:
      forgery.mark = Mark::stranger_flipped;
      flip(bytes, relay::kHeaderBytes,
           bytes.size() > relay::kHeaderBytes + kMacs ? bytes.size() - kMacs : bytes.size());
  }
}

void Stranger::forge_data(Forgery& forgery) {
  std::vector<uint8_t>& bytes = forgery.bytes;
  relay::DatagramHeader header = relay::decode_header(bytes.data());
  switch (rng_.below(7)) {
    case 0:
      forgery.mark = Mark::stranger_cut;
      bytes.resize(rng_.below(bytes.size()));
      return;
    case 1:  // back to its sender, who has no such session; or, by chance, has
      forgery.mark = Mark::stranger_reflected;
      return;
    case 2:
      forgery.mark = Mark::stranger_noise;
      bytes.resize(1 + rng_.below(1'500));
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(rng_.next());
      return;
    case 3:  // ahead of everything that was sent; 48 bits
      forgery.mark = Mark::stranger_counted;
      header.counter = (header.counter + (uint64_t{1} << rng_.below(48))) & relay::kMaxCounter;
      relay::encode_header(bytes.data(), header);
      return;
    case 4:
      forgery.mark = Mark::stranger_reindexed;
      header.session_index ^= 1u << rng_.below(32);
      relay::encode_header(bytes.data(), header);
      return;
    case 5:  // the header of this, the records of what was seen before
      if (before_.size() >= bytes.size()) {
        forgery.mark = Mark::stranger_spliced;
        std::copy_n(before_.end() - static_cast<std::ptrdiff_t>(bytes.size() - relay::kHeaderBytes),
                    bytes.size() - relay::kHeaderBytes, bytes.begin() + relay::kHeaderBytes);
        return;
      }
      [[fallthrough]];
    default:
      forgery.mark = Mark::stranger_flipped;
      flip(bytes, 0, bytes.size());
  }
}

}  // namespace trunkline::sim
