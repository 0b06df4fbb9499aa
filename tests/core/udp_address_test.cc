// UdpAddress as text, as a key, and its predicates.
#include "core/udp_address.h"

#include <gtest/gtest.h>

#include <set>

#include "core/rng.h"

namespace trunkline::core {
namespace {

std::string round_trip(std::string_view text) {
  const auto address = UdpAddress::parse(text);
  return address ? address->to_string() : "refused";
}

TEST(UdpAddress, ReadsAndWritesText) {
  const struct {
    const char* in;
    const char* out;
  } kCases[] = {
      {"1.2.3.4:5", "1.2.3.4:5"},
      {"0.0.0.0:0", "0.0.0.0:0"},
      {"255.255.255.255:65535", "255.255.255.255:65535"},
      {"[::1]:5", "[::1]:5"},
      {"[::]:0", "[::]:0"},
      {"[2001:DB8::1]:443", "[2001:db8::1]:443"},
      {"[2001:0db8:0:0:0:0:0:0001]:1", "[2001:db8::1]:1"},
      {"[2001:db8:0:1:1:1:1:1]:1", "[2001:db8:0:1:1:1:1:1]:1"},  // a single zero stays (RFC 5952 4.2.2)
      {"[2001:0:0:1:0:0:0:1]:1", "[2001:0:0:1::1]:1"},           // the longest run
      {"[2001:db8:0:0:1:0:0:1]:1", "[2001:db8::1:0:0:1]:1"},     // the first of equals
      {"[1:2:3:4:5:6:7::]:1", "[1:2:3:4:5:6:7:0]:1"},            // "::" for one group is read
      {"[::2:3:4:5:6:7:8]:1", "[0:2:3:4:5:6:7:8]:1"},
      {"[fe80::]:1", "[fe80::]:1"},
      {"[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.1]:1"},
      {"[::ffff:c000:0201]:1", "[::ffff:192.0.2.1]:1"},
      {"[64:ff9b::192.0.2.33]:1", "[64:ff9b::c000:221]:1"},
      {"[1:2:3:4:5:6:1.2.3.4]:1", "[1:2:3:4:5:6:102:304]:1"},
  };
  for (const auto& c : kCases) EXPECT_EQ(round_trip(c.in), c.out) << c.in;
}

TEST(UdpAddress, RefusesEverythingElse) {
  for (const char* text : {
           "",
           ":",
           ":5",
           "1.2.3.4",
           "1.2.3.4:",
           "1.2.3.4:65536",
           "1.2.3.4:-1",
           "1.2.3.4:+1",
           "1.2.3.4: 1",
           "1.2.3.4:5 ",
           " 1.2.3.4:5",
           "1.2.3:5",
           "1.2.3.4.5:5",
           "1.2.3.:5",
           ".1.2.3:5",
           "1..2.3:5",
           "256.1.1.1:5",
           "01.2.3.4:5",
           "1.2.3.04:5",
           "1.2.3.0x4:5",
           "1.2.3.4:000005",
           "localhost:5",
           "::1:5",
           "[::1]",
           "[::1]5",
           "[::1:5",
           "::1]:5",
           "[]:5",
           "[:]:5",
           "[:::]:5",
           "[1::2::3]:5",
           "[1:2:3:4:5:6:7]:5",
           "[1:2:3:4:5:6:7:8:9]:5",
           "[1:2:3:4:5:6:7:8::]:5",
           "[::1:2:3:4:5:6:7:8]:5",
           "[1:2:3:4::5:6:7:8]:5",
           "[12345::]:5",
           "[g::]:5",
           "[fe80::1%eth0]:5",
           "[1.2.3.4]:5",
           "[::1.2.3]:5",
           "[1.2.3.4::]:5",
           "[1:2:3:4:5:6:7:1.2.3.4]:5",
           "[:1::]:5",
           "[1::2:]:5",
           "[::01.2.3.4]:5",
       }) {
    EXPECT_EQ(round_trip(text), "refused") << text;
  }
}

TEST(UdpAddress, SurvivesTheRoundTripWhateverItsBytes) {
  Rng rng(7);
  for (int i = 0; i < 20'000; ++i) {
    UdpAddress address;
    address.family = rng.chance(0.3) ? 4 : 6;
    address.port = static_cast<uint16_t>(rng.next());
    const size_t length = address.family == 4 ? 4 : 16;
    for (size_t b = 0; b < length; ++b) {
      // Many zeros, so that "::" is met in every place.
      address.ip[b] = rng.chance(0.7) ? uint8_t{0} : static_cast<uint8_t>(rng.next());
    }
    const auto again = UdpAddress::parse(address.to_string());
    ASSERT_TRUE(again.has_value()) << address.to_string();
    ASSERT_TRUE(*again == address) << address.to_string();
  }
}

TEST(UdpAddress, NeverReadsBeyondRandomText) {
  Rng rng(8);
  static constexpr char kAlphabet[] = "0123456789abf:.[]%-";
  for (int i = 0; i < 200'000; ++i) {
    // Exactly as long as its text: a read beyond it is found by AddressSanitizer.
    std::vector<char> text(rng.below(24));
    for (char& c : text) c = kAlphabet[rng.below(sizeof kAlphabet - 1)];
    const auto address = UdpAddress::parse({text.data(), text.size()});
    if (address) {
      ASSERT_TRUE(UdpAddress::parse(address->to_string()) == address);
    }
  }
}

TEST(UdpAddress, WritesNoneWhenItHasNoFamily) {
  EXPECT_EQ(UdpAddress{}.to_string(), "none");
}

TEST(UdpAddress, KnowsWhatKindItIs) {
  const struct {
    const char* text;
    bool loopback, lab, multicast, unspecified;
  } kCases[] = {
      {"127.0.0.1:1", true, true, false, false},
      {"127.255.255.255:1", true, true, false, false},
      {"126.255.255.255:1", false, false, false, false},
      {"128.0.0.0:1", false, false, false, false},
      {"198.17.255.255:1", false, false, false, false},
      {"198.18.0.0:1", false, true, false, false},
      {"198.19.255.255:1", false, true, false, false},
      {"198.20.0.0:1", false, false, false, false},
      {"223.255.255.255:1", false, false, false, false},
      {"224.0.0.0:1", false, false, true, false},
      {"239.255.255.255:1", false, false, true, false},
      {"240.0.0.0:1", false, false, false, false},
      {"0.0.0.0:1", false, false, false, true},
      {"0.0.0.1:1", false, false, false, false},
      {"[::1]:1", true, true, false, false},
      {"[::2]:1", false, false, false, false},
      {"[1::1]:1", false, false, false, false},
      {"[::]:1", false, false, false, true},
      {"[2001:2::1]:1", false, true, false, false},
      {"[2001:2:0:ffff::]:1", false, true, false, false},
      {"[2001:2:1::]:1", false, false, false, false},
      {"[2001:3::]:1", false, false, false, false},
      {"[ff02::1]:1", false, false, true, false},
      {"[feff::1]:1", false, false, false, false},
      {"[::ffff:127.0.0.1]:1", false, false, false, false},
      {"[7f00::]:1", false, false, false, false},
  };
  for (const auto& c : kCases) {
    const auto address = UdpAddress::parse(c.text);
    ASSERT_TRUE(address.has_value()) << c.text;
    EXPECT_EQ(address->is_loopback(), c.loopback) << c.text;
    EXPECT_EQ(address->in_lab_range(), c.lab) << c.text;
    EXPECT_EQ(address->is_multicast(), c.multicast) << c.text;
    EXPECT_EQ(address->is_unspecified(), c.unspecified) << c.text;
  }
  EXPECT_FALSE(UdpAddress{}.is_unspecified());
  EXPECT_FALSE(UdpAddress{}.in_lab_range());
}

TEST(UdpAddress, ComparesAndHashesAllItsParts) {
  const UdpAddress base = UdpAddress::v4(198, 18, 0, 1, 5000);
  UdpAddress family = base;
  family.family = 6;
  UdpAddress port = base;
  port.port = 5001;
  UdpAddress ip = base;
  ip.ip[15] = 1;
  EXPECT_TRUE(base == UdpAddress::v4(198, 18, 0, 1, 5000));
  for (const UdpAddress& other : {family, port, ip}) {
    EXPECT_FALSE(base == other);
    EXPECT_NE(base.hash(), other.hash());
  }
}

TEST(UdpAddress, HashSpreadsNeighbours) {
  // 4096 neighbours into 4096 bins by the low bits: 2589 +- 40 bins are hit when they spread evenly.
  std::set<uint64_t> bins;
  for (uint16_t i = 0; i < 4096; ++i) {
    bins.insert(UdpAddress::v4(10, 0, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i), 5000).hash() %
                4096);
  }
  EXPECT_GT(bins.size(), 2400u);
}

}  // namespace
}  // namespace trunkline::core
