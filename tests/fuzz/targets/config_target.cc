// A configuration's text: it is taken, and then holds, or there is one error that names the file.
#include "relay/config_toml.h"
#include "relay/text.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

TRUNKLINE_FUZZ_TARGET(config) {
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
