// Names and texts of the enums: all there, all distinct, and "?" for a number that is none of them.
#include "relay/text.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "relay/drop_reason.h"
#include "relay/mesh/mesh_node.h"
#include "relay/outcome.h"

namespace trunkline::relay {
namespace {

// Every name in [0, count) differs and is not "?", and the numbers beyond are "?".
template <class Enum, class Fn>
void expect_complete(uint32_t count, Fn name) {
  std::set<std::string> seen;
  for (uint32_t i = 0; i < count; ++i) {
    const std::string text = name(static_cast<Enum>(i));
    EXPECT_NE(text, "?") << i;
    EXPECT_TRUE(seen.insert(text).second) << text;
  }
  EXPECT_STREQ(name(static_cast<Enum>(count)), "?");
}

TEST(Text, EveryEnumHasANameAndASentence) {
  expect_complete<DropReason>(static_cast<uint32_t>(DropReason::kCount), drop_reason_name);
  expect_complete<DropReason>(static_cast<uint32_t>(DropReason::kCount), drop_reason_text);
  expect_complete<MeshCounter>(static_cast<uint32_t>(MeshCounter::kCount), mesh_counter_name);
  expect_complete<MeshCounter>(static_cast<uint32_t>(MeshCounter::kCount), mesh_counter_text);
  expect_complete<LinkState>(4, link_state_name);
}

TEST(Text, OutcomesKeepTheirNumbersAndNames) {
  EXPECT_STREQ(outcome_name(Outcome::ok), "OK");
  EXPECT_STREQ(outcome_name(static_cast<Outcome>(1)), "NOT_HERE");
  EXPECT_STREQ(outcome_name(static_cast<Outcome>(32)), "NO_REPLY");
  EXPECT_STREQ(outcome_name(static_cast<Outcome>(36)), "STALLED");
  EXPECT_STREQ(outcome_text(Outcome::loop), "the path already contains the asked node");
  int known = 0;
  for (int i = 0; i < 256; ++i) {
    const bool named = std::string(outcome_name(static_cast<Outcome>(i))) != "?";
    EXPECT_EQ(named, std::string(outcome_text(static_cast<Outcome>(i))) != "?");
    known += named ? 1 : 0;
    EXPECT_TRUE(!named || i < static_cast<int>(kOutcomeNumbers)) << i;
  }
  EXPECT_EQ(known, 19);
}

TEST(Text, ATextWithControlCharactersIsNotPlain) {
  EXPECT_TRUE(is_plain_text(""));
  EXPECT_TRUE(is_plain_text("Zürich ~"));
  for (const char c : {'\n', '\r', '\t', '\x1b', '\x7f', '\0'})
    EXPECT_FALSE(is_plain_text(std::string(1, c)));
}

}  // namespace
}  // namespace trunkline::relay
