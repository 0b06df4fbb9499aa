// The null suite's handshake: three messages, each as it is, with bytes changed, and with a CRC that fits.
#include "relay/crc32c.h"
#include "relay/null_suite.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

namespace {

using Buffer = std::vector<uint8_t>;

// Bytes of the input over bytes of the message, and perhaps another length.
void damage(trunkline::fuzz::Input& in, Buffer& message) {
  for (uint32_t edits = in.below(4); edits > 0; --edits) {
    const size_t at = in.u16() % (message.size() + 1);
    const auto bytes = in.counted();
    if (at + bytes.size() <= message.size())
      std::copy(bytes.begin(), bytes.end(), message.begin() + static_cast<std::ptrdiff_t>(at));
  }
  if (in.below(8) == 0) message.resize(in.u16() % 1'300);
}

void repair(uint8_t number, Buffer& message) {
  if (message.size() < 4) return;
  Buffer covered{number};
  covered.insert(covered.end(), message.begin(), message.end() - 4);
  store_be32(message.data() + message.size() - 4, crc32c(covered));
}

// What is read of a damaged message lies within it; returns whether it was accepted.
bool read_damaged(trunkline::fuzz::Input& in, Handshake& reader, uint8_t number, Buffer message) {
  damage(in, message);
  const uint8_t as = in.below(8) == 7 ? in.u8() : number;  // it may come as another message
  if (in.flag()) repair(as, message);
  Buffer exact(message);  // ends where its block ends
  const Handshake::Read read = reader.read(as, exact);
  if (!read.ok) {
    EXPECT_TRUE(read.payload.empty());
    return false;
  }
  EXPECT_TRUE(read.payload.empty() ||
              (read.payload.data() >= exact.data() &&
               read.payload.data() + read.payload.size() <= exact.data() + exact.size()));
  return true;
}

Buffer written(Handshake& writer, uint8_t number, trunkline::fuzz::Bytes payload) {
  Buffer out(kMaxHandshakeBytes);
  out.resize(writer.write(number, payload, out));
  return out;
}

}  // namespace

TRUNKLINE_FUZZ_TARGET(null_handshake) {
  trunkline::fuzz::Input in(input);
  trunkline::core::Rng rng(1);
  NullHandshake initiator(rng, Suite::kNull), responder(rng, Suite::kNull);
  const Buffer payload = trunkline::fuzz::copy_of(in.counted());
  if (in.below(4) == 3) {  // to one that has not met anybody, whatever it says
    NullHandshake fresh(rng, Suite::kNull);
    read_damaged(in, fresh, kConfirm, Buffer(kMaxHandshakeBytes));
    read_damaged(in, fresh, kMsg2, Buffer(100));
  }
  Buffer msg1 = written(initiator, kMsg1, payload);
  ASSERT_EQ(msg1.size(), kMaxHandshakeBytes);
  bool foreign = read_damaged(in, responder, kMsg1, msg1);
  Handshake::Read read = responder.read(kMsg1, msg1);
  ASSERT_TRUE(read.ok);
  EXPECT_TRUE(std::equal(read.payload.begin(), read.payload.end(), payload.begin(), payload.end()));
  Buffer msg2 = written(responder, kMsg2, payload);
  ASSERT_FALSE(msg2.empty());
  EXPECT_LE(msg2.size(), msg1.size()) << "no reply is longer than what asked for it";
  foreign = read_damaged(in, initiator, kMsg2, msg2);
  EXPECT_FALSE(initiator.read(kMsg1, msg1).ok) << "who wrote a msg1 reads none";
  read = initiator.read(kMsg2, msg2);
  EXPECT_TRUE(read.ok || foreign) << "only an accepted msg2 keeps another out";
  if (!read.ok) return;
  Buffer confirm = written(initiator, kConfirm, payload);
  read_damaged(in, responder, kConfirm, confirm);
  EXPECT_TRUE(responder.read(kConfirm, confirm).ok);
  EXPECT_EQ(initiator.keys().send_secret, responder.keys().receive_secret);
  EXPECT_EQ(initiator.keys().receive_secret, responder.keys().send_secret);
}
