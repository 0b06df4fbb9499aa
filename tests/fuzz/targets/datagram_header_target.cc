// The fixed layouts of relay/wire.h: every pattern of bits decodes, and encodes to the very bytes it came
// from.
#include "relay/wire.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

namespace {

template <size_t kBytes, class Decode, class Encode>
void turn_round(trunkline::fuzz::Input& in, Decode&& decode, Encode&& encode) {
  std::array<uint8_t, kBytes> from{}, to{};
  const auto bytes = in.take(kBytes);
  std::copy(bytes.begin(), bytes.end(), from.begin());
  encode(to.data(), decode(from.data()));
  EXPECT_EQ(to, from);
}

}  // namespace

TRUNKLINE_FUZZ_TARGET(datagram_header) {
  trunkline::fuzz::Input in(input);
  turn_round<kHeaderBytes>(in, decode_header, encode_header);
  turn_round<kRecordHeaderBytes>(in, decode_record, encode_record);
  turn_round<kHeartbeatBytes>(in, decode_heartbeat, encode_heartbeat);

  // A record's header as one number says the same.
  std::array<uint8_t, kRecordHeaderBytes> bytes{};
  const auto some = in.take(bytes.size());
  std::copy(some.begin(), some.end(), bytes.begin());
  const RecordHeader header = decode_record(bytes.data());
  const RecordWord word = RecordWord::load(bytes.data());
  EXPECT_EQ(word.label(), header.label);
  EXPECT_EQ(word.kind(), header.kind);
  EXPECT_EQ(word.traffic_class(), header.traffic_class);
  EXPECT_EQ(word.frame_end(), header.frame_end);
  EXPECT_EQ(word.ttl(), header.ttl);
  EXPECT_EQ(word.length(), header.length);
  EXPECT_EQ(word.is_video(),
            header.kind == RecordKind::kMedia && header.traffic_class < TrafficClass::kAudio);
  if (header.ttl > 0) {
    RecordHeader expected = header;
    --expected.ttl;
    expected.label.value = in.u32();
    std::array<uint8_t, kRecordHeaderBytes> sent{}, by_hand{};
    word.sent_on(expected.label.value).store(sent.data());
    encode_record(by_hand.data(), expected);
    EXPECT_EQ(sent, by_hand);
  }

  const uint32_t index = in.u32();
  const trunkline::core::CoreId core{SessionIndex::core(index)};
  EXPECT_EQ(SessionIndex::make(core, SessionIndex::slot(index), static_cast<uint16_t>(index)), index);
  const bool handshake = is_handshake(static_cast<DatagramType>(index & 7));
  EXPECT_EQ(handshake, (index & 7) != 0 && ((index & 7) <= 3 || (index & 7) == 7));
}
