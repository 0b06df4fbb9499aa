// One end of Noise handshakes, driven by lines on standard input, for tests that hold relay/noise.h against
// another implementation. All values are hexadecimal, `-` is empty:
//
//   i PROLOGUE STATIC EPHEMERAL PEER PAYLOAD     -> MESSAGE1, then reads MESSAGE2
//                                                -> PAYLOAD2 KEY1 KEY2 HASH
//   r PROLOGUE STATIC EPHEMERAL MESSAGE1 PAYLOAD -> PEER PAYLOAD1 MESSAGE2 KEY1 KEY2 HASH
//
// What is refused gives the line `refused`.
#include <iostream>
#include <sstream>
#include <string>

#include "relay/noise.h"
#include "tests/relay/hex.h"

namespace {

namespace noise = trunkline::relay::noise;
using trunkline::relay::Bytes;
using trunkline::relay::Key;
using trunkline::relay::Secret;
using trunkline::relay::test::Buffer;

Buffer bytes(std::istream& in) {
  std::string text;
  in >> text;
  return text == "-" ? Buffer{} : trunkline::relay::test::hex(text);
}
Key key(std::istream& in) {
  const Buffer value = bytes(in);
  Key out{};
  if (value.size() != out.size()) throw std::invalid_argument("not a key");
  std::copy(value.begin(), value.end(), out.begin());
  return out;
}
std::string text(Bytes value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (const uint8_t byte : value) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out.empty() ? "-" : out;
}
std::string result(const noise::HandshakeState& state) {
  const auto split = state.split();
  return text(split.initiator_sends.key().bytes()) + " " + text(split.responder_sends.key().bytes()) + " " +
         text(state.hash());
}
// Of a message shorter than its overhead nothing can be read.
Buffer room(const Buffer& message, size_t overhead) {
  return Buffer(message.size() < overhead ? 0 : message.size() - overhead);
}

std::string initiate(std::istream& in) {
  const Buffer prologue = bytes(in);
  const auto mine = noise::KeyPair::of(Secret(key(in)));
  const auto ephemeral = noise::KeyPair::of(Secret(key(in)));
  const Key peer = key(in);
  const Buffer payload = bytes(in);
  auto state = noise::HandshakeState::initiator(prologue, mine, peer);
  Buffer message(payload.size() + noise::kMessage1Overhead);
  if (state.write(ephemeral, payload, message) == 0) return "refused";
  std::cout << text(message) << std::endl;
  const Buffer reply = bytes(std::cin);
  std::cin.ignore();
  Buffer payload2 = room(reply, noise::kMessage2Overhead);
  if (!state.read(reply, payload2)) return "refused";
  return text(payload2) + " " + result(state);
}

std::string respond(std::istream& in) {
  const Buffer prologue = bytes(in);
  const auto mine = noise::KeyPair::of(Secret(key(in)));
  const auto ephemeral = noise::KeyPair::of(Secret(key(in)));
  const Buffer message1 = bytes(in);
  const Buffer payload = bytes(in);
  auto state = noise::HandshakeState::responder(prologue, mine);
  Buffer payload1 = room(message1, noise::kMessage1Overhead);
  if (!state.read(message1, payload1)) return "refused";
  Buffer message2(payload.size() + noise::kMessage2Overhead);
  if (state.write(ephemeral, payload, message2) == 0) return "refused";
  return text(state.peer()) + " " + text(payload1) + " " + text(message2) + " " + result(state);
}

}  // namespace

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream in(line);
    std::string role;
    in >> role;
    std::cout << (role == "i" ? initiate(in) : respond(in)) << std::endl;
  }
}
