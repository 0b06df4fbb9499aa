// The control messages: what reads is written back, and is the very bytes it was read from.
#include "relay/mesh/messages.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

TRUNKLINE_FUZZ_TARGET(messages) {
  MessageReader reader(input);
  std::array<uint8_t, kMaxMessageBytes> again;
  size_t at = 0;  // every message begins where the one before it ends
  bool malformed = false;
  for (size_t steps = 0;; ++steps) {
    ASSERT_LE(steps, input.size() + 1) << "the reader does not end";
    const auto item = reader.next();
    if (item == MessageReader::Item::kEnd) break;
    ASSERT_FALSE(malformed) << "malformed is said once, and is the last";
    malformed = item == MessageReader::Item::kMalformed;
    if (malformed) continue;
    const size_t length = kMessageHeaderBytes + (size_t{input[at + 1]} << 8 | input[at + 2]);
    ASSERT_LE(at + length, input.size());
    if (item == MessageReader::Item::kMessage) {
      const size_t written = std::visit([&](const auto& m) { return encode(m, again); }, reader.message());
      EXPECT_EQ(written, length);
      EXPECT_TRUE(std::equal(again.begin(), again.begin() + static_cast<std::ptrdiff_t>(written),
                             input.begin() + static_cast<std::ptrdiff_t>(at)));
      // One byte less room, and nothing is written.
      EXPECT_EQ(std::visit([&](const auto& m) { return encode(m, std::span(again).first(written - 1)); },
                           reader.message()),
                0u);
    }
    at += length;
  }
  EXPECT_TRUE(malformed || at == input.size());
  EXPECT_EQ(reader.next(), MessageReader::Item::kEnd);
}
