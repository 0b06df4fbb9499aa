// The control messages: bytes written by hand against the codec, every way in which a message can be wrong,
// and the frozen fingerprint.
#include "relay/mesh/messages.h"

#include <gtest/gtest.h>

#include "tests/relay/hex.h"

namespace trunkline::relay {
namespace {

using test::Buffer;
using test::hex;
using Item = MessageReader::Item;

core::TrackId track(uint8_t last = 0x0f) {
  core::TrackId id;
  for (uint8_t i = 0; i < 16; ++i) id.bytes[i] = i;
  id.bytes[15] = last;
  return id;
}
constexpr char kTrack[] = "000102030405060708090a0b0c0d0e0f ";

template <class M>
Buffer encoded(const M& message) {
  Buffer out(kMaxMessageBytes);
  out.resize(encode(message, out));
  return out;
}

Item first(const Buffer& bytes) {
  return MessageReader(bytes).next();
}

template <class M>
M decoded(const Buffer& bytes) {
  MessageReader reader(bytes);
  EXPECT_EQ(reader.next(), Item::kMessage);
  const M* message = std::get_if<M>(&reader.message());
  EXPECT_NE(message, nullptr);
  EXPECT_EQ(reader.next(), Item::kEnd);
  return message != nullptr ? *message : M{};
}

Acquire an_acquire() {
  Acquire m;
  m.request_id = 0x1122334455667788;
  m.track = track();
  m.label = Label::make(5, 3);
  m.owner_core = {2};
  m.budget_us = 1'000'000;
  m.hop_limit = 4;
  m.believed_generation = 9;
  m.path = {core::NodeId{7}, core::NodeId{8}};
  m.path_length = 2;
  return m;
}

Answer an_answer() {
  static constexpr uint8_t kDescriptor[] = {0xde, 0xad};
  Answer m;
  m.request_id = 1;
  m.outcome = Outcome::busy;
  m.authoritative = true;
  m.pending = true;
  m.generation = 3;
  m.node = {4};
  m.feedback_label = Label::make(1, 1);
  m.core = {15};
  m.retry_after_us = 5;
  m.next_by_us = 6;
  m.path[0] = {8};
  m.path_length = 1;
  m.text = "hi";
  m.descriptor = kDescriptor;
  return m;
}

TEST(Messages, AreTheBytesThatTheProtocolDraws) {
  const std::string t = kTrack;
  EXPECT_EQ(encoded(Announce{track(), 7, true, TrafficClass::kAudio}),
            hex("01 001a " + t + "0000000000000007 01 02"));
  EXPECT_EQ(encoded(Withdraw{track(), 7}), hex("02 0018 " + t + "0000000000000007"));
  EXPECT_EQ(encoded(SnapshotEnd{}), hex("03 0000"));
  EXPECT_EQ(encoded(an_acquire()), hex("04 003b 1122334455667788 " + t +
                                       "00001403 02 000f4240 04 0000000000000009 02 "
                                       "0000000000000007 0000000000000008"));
  EXPECT_EQ(encoded(an_answer()),
            hex("05 0038 0000000000000001 07 05 0000000000000003 0000000000000004 "
                "00000401 0f 00000005 00000006 01 0000000000000008 0002 6869 0002 dead"));
  EXPECT_EQ(encoded(Release{1, Label{9}, track()}), hex("06 001c 0000000000000001 00000009 " + t));
  EXPECT_EQ(encoded(Ended{1, track(), Label{9}, Outcome::link_down, 2}),
            hex("07 0025 0000000000000001 " + t + "00000009 21 0000000000000002"));
}

TEST(Messages, ComeBackAsTheyWere) {
  const auto announce = decoded<Announce>(encoded(Announce{track(), 7, true, TrafficClass::kAudio}));
  EXPECT_EQ(announce.track, track());
  EXPECT_EQ(announce.generation, 7u);
  EXPECT_TRUE(announce.flowing);
  EXPECT_EQ(announce.traffic_class, TrafficClass::kAudio);
  EXPECT_EQ(decoded<Withdraw>(encoded(Withdraw{track(), 7})).generation, 7u);
  decoded<SnapshotEnd>(encoded(SnapshotEnd{}));

  const auto acquire = decoded<Acquire>(encoded(an_acquire()));
  EXPECT_EQ(acquire.request_id, an_acquire().request_id);
  EXPECT_EQ(acquire.label, an_acquire().label);
  EXPECT_EQ(acquire.owner_core, an_acquire().owner_core);
  EXPECT_EQ(acquire.budget_us, an_acquire().budget_us);
  EXPECT_EQ(acquire.hop_limit, 4);
  EXPECT_EQ(acquire.believed_generation, 9u);
  ASSERT_EQ(acquire.nodes().size(), 2u);
  EXPECT_EQ(acquire.nodes()[1].value, 8u);

  const Buffer bytes = encoded(an_answer());  // outlives the views
  const auto answer = decoded<Answer>(bytes);
  EXPECT_EQ(answer.outcome, Outcome::busy);
  EXPECT_TRUE(answer.authoritative);
  EXPECT_FALSE(answer.flowing);
  EXPECT_TRUE(answer.pending);
  EXPECT_EQ(answer.node.value, 4u);
  EXPECT_EQ(answer.feedback_label, Label::make(1, 1));
  EXPECT_EQ(answer.core.value, 15);
  EXPECT_EQ(answer.retry_after_us, 5u);
  EXPECT_EQ(answer.next_by_us, 6u);
  EXPECT_EQ(answer.text, "hi");
  ASSERT_EQ(answer.descriptor.size(), 2u);
  EXPECT_EQ(answer.descriptor[1], 0xad);

  EXPECT_EQ(decoded<Release>(encoded(Release{1, Label{9}, track()})).label, Label{9});
  const auto ended = decoded<Ended>(encoded(Ended{1, track(), Label{9}, Outcome::link_down, 2}));
  EXPECT_EQ(ended.reason, Outcome::link_down);
  EXPECT_EQ(ended.generation, 2u);
}

TEST(Messages, TheLargestAnswerFitsTheLimit) {
  const std::string text(kMaxAnswerText, 'x');
  const Buffer descriptor(kMaxAnswerDescriptor, 0xee);
  Answer m = an_answer();
  m.text = text;
  m.descriptor = descriptor;
  const Buffer bytes = encoded(m);
  EXPECT_LE(bytes.size(), kMaxMessageBytes);
  EXPECT_EQ(decoded<Answer>(bytes).descriptor.size(), kMaxAnswerDescriptor);
}

TEST(Messages, AreNotWrittenWhenTheyDoNotFit) {
  const Buffer whole = encoded(an_acquire());
  for (size_t room = 0; room < whole.size(); ++room) {
    Buffer out(room);
    EXPECT_EQ(encode(an_acquire(), out), 0u) << room;
  }
  Buffer two(2);
  EXPECT_EQ(encode(SnapshotEnd{}, two), 0u);
}

TEST(Messages, AreNotWrittenWithValuesThatNoReaderTakes) {
  EXPECT_TRUE(encoded(Announce{track(), 0, true, TrafficClass::kRest}).empty());
  EXPECT_TRUE(encoded(Withdraw{track(), 0}).empty());
  EXPECT_TRUE(encoded(Release{0, Label{9}, track()}).empty());
  EXPECT_TRUE(encoded(Release{1, Label{0}, track()}).empty());
  EXPECT_TRUE(encoded(Ended{1, track(), Label{9}, static_cast<Outcome>(14), 2}).empty());
  Acquire acquire = an_acquire();
  acquire.path_length = kMaxPath + 1;
  EXPECT_TRUE(encoded(acquire).empty());
  acquire = an_acquire();
  acquire.path[1] = {};
  EXPECT_TRUE(encoded(acquire).empty());
  acquire = an_acquire();
  acquire.owner_core = {16};
  EXPECT_TRUE(encoded(acquire).empty());
  Answer answer = an_answer();
  answer.outcome = Outcome::no_reply;  // known here, never said by a peer
  EXPECT_TRUE(encoded(answer).empty());
  answer = an_answer();
  answer.text = "two\nlines";
  EXPECT_TRUE(encoded(answer).empty());
  const std::string text(kMaxAnswerText + 1, 'x');
  answer.text = text;
  EXPECT_TRUE(encoded(answer).empty());
  const Buffer descriptor(kMaxAnswerDescriptor + 1, 0);
  answer = an_answer();
  answer.descriptor = descriptor;
  EXPECT_TRUE(encoded(answer).empty());
}

TEST(MessageReader, RefusesEveryMalformedMessage) {
  const std::string t = kTrack;
  const std::string answer = "0000000000000001 ";
  const struct {
    const char* what;
    Buffer bytes;
  } cases[] = {
      {"type without length", hex("03")},
      {"half a length", hex("03 00")},
      {"length beyond the end", hex("03 0001")},
      {"body where none belongs", hex("03 0001 00")},
      {"announce one byte short", hex("01 0019 " + t + "0000000000000007 01")},
      {"announce one byte long", hex("01 001b " + t + "0000000000000007 01 02 00")},
      {"announce of generation 0", hex("01 001a " + t + "0000000000000000 01 02")},
      {"announce with an undefined flag", hex("01 001a " + t + "0000000000000007 02 02")},
      {"announce of an undefined class", hex("01 001a " + t + "0000000000000007 01 04")},
      {"withdraw of generation 0", hex("02 0018 " + t + "0000000000000000")},
      {"acquire 0", hex("04 002b 0000000000000000 " + t + "00001403 02 000f4240 04 0000000000000009 00")},
      {"acquire on label 0",
       hex("04 002b 0000000000000001 " + t + "00000000 02 000f4240 04 0000000000000009 00")},
      {"acquire for core 16",
       hex("04 002b 0000000000000001 " + t + "00001403 10 000f4240 04 0000000000000009 00")},
      {"acquire with a path of 9",
       test::join({hex("04 0073 0000000000000001 " + t + "00001403 02 000f4240 04 0000000000000009 09"),
                   Buffer(72, 1)})},
      {"acquire with node 0 in its path",
       hex("04 0033 0000000000000001 " + t + "00001403 02 000f4240 04 0000000000000009 01 0000000000000000")},
      {"acquire with half a path",
       hex("04 0033 0000000000000001 " + t + "00001403 02 000f4240 04 0000000000000009 02 0000000000000001")},
      {"answer of an unknown outcome", hex("05 002c " + answer +
                                           "0e 00 0000000000000003 0000000000000004 "
                                           "00000401 0f 00000005 00000006 00 0000 0000")},
      {"answer of a local outcome", hex("05 002c " + answer +
                                        "20 00 0000000000000003 0000000000000004 "
                                        "00000401 0f 00000005 00000006 00 0000 0000")},
      {"answer with an undefined flag", hex("05 002c " + answer +
                                            "00 08 0000000000000003 0000000000000004 "
                                            "00000401 0f 00000005 00000006 00 0000 0000")},
      {"answer from core 16", hex("05 002c " + answer +
                                  "00 00 0000000000000003 0000000000000004 "
                                  "00000401 10 00000005 00000006 00 0000 0000")},
      {"answer with a control character", hex("05 002d " + answer +
                                              "00 00 0000000000000003 0000000000000004 "
                                              "00000401 0f 00000005 00000006 00 0001 0a 0000")},
      {"answer whose text is longer than it", hex("05 002c " + answer +
                                                  "00 00 0000000000000003 0000000000000004 "
                                                  "00000401 0f 00000005 00000006 00 0003 0000")},
      {"answer with 121 bytes of text",
       test::join({hex("05 00a5 " + answer +
                       "00 00 0000000000000003 0000000000000004 00000401 0f 00000005 "
                       "00000006 00 0079"),
                   Buffer(121, 'x'), hex("0000")})},
      {"answer with 513 bytes of descriptor",
       test::join({hex("05 022d " + answer +
                       "00 00 0000000000000003 0000000000000004 00000401 0f 00000005 "
                       "00000006 00 0000 0201"),
                   Buffer(513, 0)})},
      {"answer with a path of 9",
       test::join({hex("05 0074 " + answer +
                       "00 00 0000000000000003 0000000000000004 00000401 0f 00000005 "
                       "00000006 09"),
                   Buffer(72, 1), hex("0000 0000")})},
      {"release 0", hex("06 001c 0000000000000000 00000009 " + t)},
      {"release of label 0", hex("06 001c 0000000000000001 00000000 " + t)},
      {"ended of label 0", hex("07 0025 0000000000000001 " + t + "00000000 03 0000000000000002")},
      {"ended for an unknown reason", hex("07 0025 0000000000000001 " + t + "00000009 25 0000000000000002")},
  };
  for (const auto& c : cases) {
    MessageReader reader(c.bytes);
    EXPECT_EQ(reader.next(), Item::kMalformed) << c.what;
    EXPECT_EQ(reader.next(), Item::kEnd) << c.what;
  }
  // The same answer, correct: the cases above fail for the reason they name.
  EXPECT_EQ(first(hex("05 002c " + answer +
                      "00 00 0000000000000003 0000000000000004 00000401 0f 00000005 "
                      "00000006 00 0000 0000")),
            Item::kMessage);
  EXPECT_EQ(first(hex("04 002b 0000000000000001 " + t + "00001403 02 000f4240 04 0000000000000009 00")),
            Item::kMessage);
}

TEST(MessageReader, SkipsTypesOfALaterVersion) {
  const Buffer bytes = hex("08 0002 ffff 03 0000 00 0000 ff 0001 00 03 0000");
  MessageReader reader(bytes);
  const Item expected[] = {Item::kUnknownType, Item::kMessage, Item::kUnknownType, Item::kUnknownType,
                           Item::kMessage,     Item::kEnd,     Item::kEnd};
  for (const Item item : expected) EXPECT_EQ(reader.next(), item);
}

TEST(MessageReader, LooksAtNothingBehindAMalformedMessage) {
  const Buffer bytes = hex("03 0000 03 0001 00 03 0000");
  MessageReader reader(bytes);
  EXPECT_EQ(reader.next(), Item::kMessage);
  EXPECT_EQ(reader.next(), Item::kMalformed);
  EXPECT_EQ(reader.next(), Item::kEnd);
}

TEST(Schema, FingerprintOfEachVersionIsThatOfItsText) {
  uint64_t hash = 0xcbf29ce484222325;  // FNV-1a, 64 bits
  for (const char c : schema_text()) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
  EXPECT_EQ(schema_fingerprint(1), hash)
      << "The messages changed: that is a new wire version, unless version 1 "
         "was never released. Their text is now:\n"
      << schema_text();
  EXPECT_EQ(schema_fingerprint(0), 0u);
  EXPECT_EQ(schema_fingerprint(2), 0u);
}

TEST(Schema, TextNamesEveryFieldInWireOrder) {
  const std::string text = schema_text();
  size_t at = 0;
  for (const char* part :
       {"acquire 4", "request_id: u64 not 0", "track: track 128", "media_label: label 32 not 0",
        "owner_core: core 8", "budget_us: u32", "hop_limit: u8", "believed_generation: u64",
        "path: count 8, node u64 not 0, at most 8", "answer 5", "outcome 0 OK", "outcome 36 STALLED"}) {
    at = text.find(part, at);
    ASSERT_NE(at, std::string::npos) << part;
  }
}

}  // namespace
}  // namespace trunkline::relay
