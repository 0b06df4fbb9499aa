// A configuration's text: it is taken, and then holds, or there is one error that names the file.
#include "relay/config_toml.h"
#include "relay/text.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

namespace {

// It is undefined what toml++ 3.3 makes of most letters beyond ASCII, where they stand outside of a string.
bool is_ascii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

}  // namespace

TRUNKLINE_FUZZ_TARGET(config) {
  if (!is_ascii(as_text(input))) return;
  const auto read = parse_config(as_text(input), "f.toml");
  if (read) {
    EXPECT_TRUE(validate(*read)) << "what was taken is valid";
    EXPECT_GE(read->id.value, 1u);
    EXPECT_LE(read->data_cores, trunkline::core::kMaxCores);
    return;
  }
  const std::string& text = read.error().text;
  EXPECT_EQ(text.rfind("f.toml:", 0), 0u) << text;
  EXPECT_GT(text.size(), 10u);
  EXPECT_EQ(read.error().text, parse_config(as_text(input), "f.toml").error().text);
}
