// Probes and the choice of a port: what they say must agree with what the machine then does.
#include "io/system_probe.h"

#include <gtest/gtest.h>

#include "io/port_factory.h"
#include "tests/io/port_harness.h"

namespace trunkline::io {
namespace {

struct NamedProbe {
  const char* name;
  Feature (*probe)();
};
const NamedProbe kProbes[] = {
    {"udp gso", probe_udp_gso},
    {"udp gro", probe_udp_gro},
    {"receive buffer", probe_receive_buffer},
    {"io_uring", probe_io_uring},
    {"buffer ring", probe_uring_buffer_ring},
    {"multishot recvmsg", probe_uring_multishot_recvmsg},
    {"defer taskrun", probe_uring_defer_taskrun},
    {"udp socket", probe_udp_socket},
    {"huge pages", probe_huge_pages},
    {"memlock", probe_memlock},
    {"cores", probe_cores},
    {"clock", probe_clock},
};

TEST(SystemProbe, SaysWhatItFoundAndARemedyWheneverSomethingIsMissing) {
  for (const NamedProbe& row : kProbes) {
    const Feature feature = row.probe();
    EXPECT_FALSE(feature.detail.empty()) << row.name;
    EXPECT_EQ(feature.remedy.empty(), feature.present) << row.name << ": " << feature.detail;
    std::printf("  %-18s %-3s %s\n", row.name, feature.present ? "yes" : "no", feature.detail.c_str());
  }
}

TEST(SystemProbe, AgreesWithWhatTheMmsgPortFindsOut) {
  PortHarness harness;
  auto port = make_port(PortKind::kMmsg, harness.options(), nullptr);
  ASSERT_TRUE(port.has_value());
  open(**port, loopback4());
  EXPECT_EQ((*port)->describe().find("GSO yes") != std::string::npos, probe_udp_gso().present);
  EXPECT_EQ((*port)->describe().find("GRO yes") != std::string::npos, probe_udp_gro().present);
}

TEST(PortFactory, AutoTakesUringOnlyWhenAllItNeedsIsThereAndSaysWhy) {
  PortHarness harness;
  std::string why;
  auto port = make_port(PortKind::kAuto, harness.options(), &why);
  ASSERT_TRUE(port.has_value());
  const bool all = probe_io_uring().present && probe_uring_buffer_ring().present &&
                   probe_uring_multishot_recvmsg().present && probe_uring_defer_taskrun().present;
  EXPECT_STREQ((*port)->name(), all ? "uring" : "mmsg") << why;
  EXPECT_EQ(why.find(all ? "uring:" : "io_uring:"), 0u) << why;
  if (!all) {
    EXPECT_NE(why.find("trunkline doctor"), std::string::npos) << why;
  }
}

TEST(PortFactory, GivesTheKindThatWasAskedForOrAnError) {
  PortHarness harness;
  std::string why;
  auto mmsg = make_port(PortKind::kMmsg, harness.options(), &why);
  ASSERT_TRUE(mmsg.has_value());
  EXPECT_STREQ((*mmsg)->name(), "mmsg");
  EXPECT_EQ(why, "mmsg: as configured");
  auto uring = make_port(PortKind::kUring, harness.options(), nullptr);
  EXPECT_EQ(uring.has_value(), probe_uring_buffer_ring().present);
  if (!uring) {
    EXPECT_EQ(uring.error().text.find("io_uring: "), 0u) << uring.error().text;
  }
}

}  // namespace
}  // namespace trunkline::io
