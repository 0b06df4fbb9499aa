// "Did you mean": what is near enough to be meant, and what is not.
#include "core/suggest.h"

#include <gtest/gtest.h>

#include <string_view>

namespace trunkline::core {
namespace {

constexpr std::string_view kWords[] = {"acquire", "release", "ping", "publish"};

TEST(Suggest, CountsInsertionsDeletionsAndReplacements) {
  EXPECT_EQ(edit_distance("", ""), 0u);
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", ""), 3u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("acquire", "aquire"), 1u);
}

TEST(Suggest, FindsWhatWasMeantWhenAThirdIsWrong) {
  EXPECT_EQ(nearest_word("aquire", kWords), "acquire");
  EXPECT_EQ(nearest_word("relaese", kWords), "release");
  EXPECT_EQ(nearest_word("pong", kWords), "ping");
  EXPECT_EQ(nearest_word("pubrish", kWords), "publish");
}

TEST(Suggest, SaysNothingWhenNothingIsNear) {
  EXPECT_EQ(nearest_word("frobnicate", kWords), "");
  EXPECT_EQ(nearest_word("", kWords), "");
}

}  // namespace
}  // namespace trunkline::core
