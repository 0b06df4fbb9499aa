// The .hgrm text of a histogram: values checked by hand, and read back the way the public plotter reads it.
#include "core/hgrm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "core/rng.h"

namespace trunkline::core {
namespace {

std::string hgrm(const Histogram& histogram, double unit) {
  std::string text;
  write_hgrm(histogram, unit, [&](std::string_view line) { text += line; });
  return text;
}

TEST(Hgrm, OfOneToTenIsWhatOneWritesByHand) {
  Histogram h;
  for (int64_t v = 1; v <= 10; ++v) h.record(v);
  EXPECT_EQ(hgrm(h, 1), R"(       Value     Percentile TotalCount 1/(1-Percentile)

       1.000 0.000000000000          1           1.00
       1.000 0.100000000000          1           1.11
       2.000 0.200000000000          2           1.25
       3.000 0.300000000000          3           1.43
       4.000 0.400000000000          4           1.67
       5.000 0.500000000000          5           2.00
       6.000 0.550000000000          6           2.22
       6.000 0.600000000000          6           2.50
       7.000 0.650000000000          7           2.86
       7.000 0.700000000000          7           3.33
       8.000 0.750000000000          8           4.00
       8.000 0.775000000000          8           4.44
       8.000 0.800000000000          8           5.00
       9.000 0.825000000000          9           5.71
       9.000 0.850000000000          9           6.67
       9.000 0.875000000000          9           8.00
       9.000 0.887500000000          9           8.89
       9.000 0.900000000000          9          10.00
      10.000 0.912500000000         10          11.43
      10.000 1.000000000000         10
#[Mean    =        5.500, StdDeviation   =        2.872]
#[Max     =       10.000, Total count    =           10]
#[Buckets =           32, SubBuckets     =           64]
)");
}

TEST(Hgrm, OfNothingHasAHeadAndAFoot) {
  EXPECT_EQ(hgrm(Histogram(), 1000), R"(       Value     Percentile TotalCount 1/(1-Percentile)

#[Mean    =        0.000, StdDeviation   =        0.000]
#[Max     =        0.000, Total count    =            0]
#[Buckets =           32, SubBuckets     =           64]
)");
}

TEST(Hgrm, OfOneValueSaysItTwice) {
  Histogram h;
  h.record_n(1'234'567, 3);
  EXPECT_EQ(hgrm(h, 1000), R"(       Value     Percentile TotalCount 1/(1-Percentile)

    1234.567 0.000000000000          3           1.00
    1234.567 1.000000000000          3
#[Mean    =     1234.567, StdDeviation   =        0.000]
#[Max     =     1234.567, Total count    =            3]
#[Buckets =           32, SubBuckets     =           64]
)");
}

TEST(Hgrm, KnowsTheLargestEvenBeyondWhatIsTracked) {
  Histogram h;
  h.record(5);
  h.record(INT64_MAX);
  const std::string text = hgrm(h, 1);
  EXPECT_NE(text.find("9223372036854775808.000 1.000000000000          2\n"), std::string::npos) << text;
}

// The plotter takes the lines of four numbers, the first as the height and the last as the place; what begins
// with # and whatever has other words in it is passed over.
struct Point {
  double value, percentile, count, place;
};
std::vector<Point> as_the_plotter_reads(const std::string& text) {
  std::vector<Point> points;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    Point p{};
    std::string more;
    if (line.rfind('#', 0) != 0 && words >> p.value >> p.percentile >> p.count >> p.place && !(words >> more))
      points.push_back(p);
  }
  return points;
}

TEST(Hgrm, ReadsBackAsTheHistogramItWas) {
  Rng rng(21);
  Histogram h;
  constexpr int kValues = 200'000;
  for (int i = 0; i < kValues; ++i) h.record(static_cast<int64_t>(100.0 * std::pow(6e8, rng.unit())));
  const std::string text = hgrm(h, 1000);
  const std::vector<Point> points = as_the_plotter_reads(text);
  // Evenly on a logarithmic scale, one in 1 300 lies in the last bucket: ten halves until there, of five
  // each.
  ASSERT_GT(points.size(), 50u);
  ASSERT_LT(points.size(), 70u);
  EXPECT_EQ(points.front().percentile, 0);
  for (size_t i = 0; i < points.size(); ++i) {
    const Point& p = points[i];
    EXPECT_NEAR(p.place, 1 / (1 - p.percentile), 0.006 + 1e-6 * p.place);
    EXPECT_GE(p.count, std::floor(p.percentile * kValues));
    if (i > 0) {
      EXPECT_GT(p.percentile, points[i - 1].percentile);
      EXPECT_GE(p.value, points[i - 1].value);
      EXPECT_GE(p.count, points[i - 1].count);
      // The value is the top of the bucket in which that percentile lies.
      const auto exact = static_cast<double>(h.percentile(100 * p.percentile)) / 1000;
      EXPECT_NEAR(p.value, exact, exact * 0.016) << p.percentile;
    }
  }
  std::smatch found;
  ASSERT_TRUE(std::regex_search(
      text, found,
      std::regex(
          R"(\n#\[Mean +=  *([\d.]+), StdDeviation +=  *([\d.]+)\]\n#\[Max +=  *([\d.]+), Total count +=  *)"
          R"((\d+)\]\n#\[Buckets +=  *\d+, SubBuckets +=  *\d+\]\n$)")));
  EXPECT_NEAR(std::stod(found[1]), h.mean() / 1000, 0.001);
  EXPECT_NEAR(std::stod(found[3]), static_cast<double>(h.max()) / 1000, 0.001);
  EXPECT_EQ(found[4], std::to_string(kValues));
}

TEST(HgrmDeathTest, EndsTheProcessOnAUnitThatIsNone) {
  EXPECT_DEATH(hgrm(Histogram(), 0), "contract broken");
}

}  // namespace
}  // namespace trunkline::core
