// Header extensions (RFC 8285): a profile, and a block. What is read out of a block, written again, reads the
// same.
#include "tests/fuzz/rtp_properties.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

namespace {

struct Element {
  uint8_t id;
  std::vector<uint8_t> data;
  bool operator==(const Element&) const = default;
};

bool read(uint16_t profile, trunkline::fuzz::Bytes block, std::vector<Element>& out) {
  out.clear();
  return walk_extension_elements(profile, block, [&](uint8_t id, trunkline::fuzz::Bytes data) {
    EXPECT_TRUE(properties::inside(data, block));
    out.push_back({id, trunkline::fuzz::copy_of(data)});
  });
}

}  // namespace

TRUNKLINE_FUZZ_TARGET(rtp_extensions) {
  trunkline::fuzz::Input in(input);
  static constexpr uint16_t kProfiles[] = {0xbede, 0x1000, 0x100f, 0xbedf};
  const uint32_t choice = in.below(5);
  const uint16_t profile = choice < 4 ? kProfiles[choice] : in.u16();
  const trunkline::fuzz::Bytes block = in.rest();
  std::vector<Element> elements, again;
  const bool whole = read(profile, block, elements);
  std::vector<uint8_t> written;
  for (const Element& element : elements) {
    if (profile == 0xbede) {
      ASSERT_TRUE(element.id >= 1 && element.id <= 14 && !element.data.empty() && element.data.size() <= 16);
      written.push_back(static_cast<uint8_t>(size_t{element.id} << 4 | (element.data.size() - 1)));
    } else {
      ASSERT_EQ(profile >> 4, 0x100) << "another profile's block is opaque";
      ASSERT_NE(element.id, 0);
      written.push_back(element.id);
      written.push_back(static_cast<uint8_t>(element.data.size()));
    }
    written.insert(written.end(), element.data.begin(), element.data.end());
  }
  EXPECT_LE(written.size(), block.size());
  EXPECT_TRUE(read(profile, written, again));
  EXPECT_EQ(again, elements);
  if (!whole) {
    EXPECT_TRUE(profile == 0xbede || profile >> 4 == 0x100);
  }
}
