// Builds N-1, N and N+1 speak wire versions {1}, {1, 2} and {2, 3}. Whoever begins: two of them meet in the
// highest version that both speak, or refuse each other at once and name both ranges; over sealed links as
// over those of the laboratory.
#include <gtest/gtest.h>

#include "tests/support/mesh_harness.h"
#include "tests/support/sealed_harness.h"

namespace trunkline::relay {
namespace {

using core::from_ms;
using core::from_s;

WireProfile speaks(uint8_t oldest, uint8_t newest) {
  WireProfile profile;
  for (uint8_t number = oldest; number <= newest; ++number)
    profile.versions.push_back({number, 0x1000u + number, {"track_namespace", "mtu", "suite"}});
  return profile;
}

// Of the node that begins (the lower id's msg1 counts) and of the one that answers; 0: none in common.
struct Meeting {
  const char* name;
  WireProfile begins, answers;
  uint8_t common;
};
const Meeting kMeetings[] = {
    {"OldMeetsPresent", speaks(1, 1), speaks(1, 2), 1},
    {"PresentMeetsOld", speaks(1, 2), speaks(1, 1), 1},
    {"PresentMeetsNext", speaks(1, 2), speaks(2, 3), 2},
    {"NextMeetsPresent", speaks(2, 3), speaks(1, 2), 2},
    {"OldMeetsNext", speaks(1, 1), speaks(2, 3), 0},
    {"NextMeetsOld", speaks(2, 3), speaks(1, 1), 0},
    {"PresentMeetsPresent", speaks(1, 2), speaks(1, 2), 2},
};

struct Case {
  bool sealed;
  const Meeting* meeting;
};

class Versions : public testing::TestWithParam<Case> {
 protected:
  struct Sent {
    uint32_t from;
    std::vector<uint8_t> bytes;
  };

  Versions() {
    mesh_.make(2);
    for (uint32_t i = 0; i < 2; ++i) {
      profiles_[i] = i == 0 ? meeting().begins : meeting().answers;
      mesh_.config(i).profile = &profiles_[i];
      mesh_.config(i).wire_version_min = profiles_[i].oldest();
      mesh_.config(i).wire_version_max = profiles_[i].newest();
      identities_.push_back(cluster_.node(i + 1));
    }
    mesh_.see_handshake = [this](MeshHarness::Node& node, const UdpAddress&, std::span<const uint8_t> bytes) {
      sent_.push_back({static_cast<uint32_t>(node.config.id.value - 1), {bytes.begin(), bytes.end()}});
    };
    if (!GetParam().sealed) return;
    for (uint32_t i = 0; i < 2; ++i)
      mesh_.config(i).peers[0].public_key = test::peer_of(*identities_[1 - i]).public_key;
    mesh_.make_crypto = [this](MeshHarness::Node& node) {
      return std::make_unique<test::SealedTestCrypto>(*identities_[node.config.id.value - 1]);
    };
  }
  static const Meeting& meeting() { return *GetParam().meeting; }
  LinkStatus link(uint32_t i) { return mesh_.link(i, 1 - i); }
  uint32_t sent(uint32_t from, DatagramType type) const {
    return static_cast<uint32_t>(std::count_if(sent_.begin(), sent_.end(), [&](const Sent& s) {
      return s.from == from && decode_header(s.bytes.data()).type == type;
    }));
  }
  void give(uint32_t to, std::span<const uint8_t> bytes) {
    Frame frame;
    frame.kind = FrameKind::kHandshake;
    frame.address = UdpAddress::v4(198, 18, 0, static_cast<uint8_t>(2 - to), 7'000);
    frame.length = static_cast<uint16_t>(bytes.size());
    std::copy(bytes.begin(), bytes.end(), frame.bytes.begin());
    mesh_.give_foreign_frame(to, frame);
  }
  static std::string range(const WireProfile& profile) {
    const std::string oldest = std::to_string(profile.oldest());
    return profile.oldest() == profile.newest() ? oldest : oldest + " to " + std::to_string(profile.newest());
  }
  std::string refusal(uint32_t i) const {
    return "wire version: mine '" + range(profiles_[i]) + "', theirs '" + range(profiles_[1 - i]) + "'";
  }

  test::SealedCluster cluster_;
  WireProfile profiles_[2];
  std::vector<std::unique_ptr<SealedIdentity>> identities_;
  std::vector<Sent> sent_;
  MeshHarness mesh_{3};
};

class CommonVersion : public Versions {};
class NoCommonVersion : public Versions {};

TEST_P(CommonVersion, MediaPassesBothWays) {
  mesh_.start_all();
  mesh_.run_for(from_s(1));
  ASSERT_EQ(link(0).state, LinkState::kUp) << link(0).text.data();
  ASSERT_EQ(link(1).state, LinkState::kUp) << link(1).text.data();
  EXPECT_GE(sent(0, DatagramType::kHandshakeConfirm), 1u) << "who began confirms";
  EXPECT_EQ(sent(1, DatagramType::kHandshakeConfirm), 0u);
  for (uint32_t from = 0; from < 2; ++from) {
    const core::TrackId track = test_track(40 + from);
    mesh_.publish(from, 1, track);
    mesh_.run_for(from_ms(50));
    mesh_.acquire(1 - from, 7, track);
    mesh_.run_for(from_ms(50));
    EXPECT_EQ(mesh_.only(1 - from, 7).outcome, Outcome::ok) << from;
    for (int i = 0; i < 10; ++i) mesh_.send_media(from, track);
    mesh_.run_for(from_ms(50));
    EXPECT_EQ(mesh_.node(1 - from).packets[7], 10u) << from;
  }
}

// Which version is chosen: the one whose meaning must be the same at both ends. Another's does not matter.
TEST_P(CommonVersion, TheHighestIsChosen) {
  for (uint32_t odd = 0; odd < 2; ++odd) {
    for (WireVersion& version : profiles_[odd].versions) {
      version.schema += 0x500;
      mesh_.start_all();
      mesh_.run_for(from_s(1));
      for (uint32_t i = 0; i < 2; ++i) {
        const bool chosen = version.number == meeting().common;
        EXPECT_EQ(link(i).state, chosen ? LinkState::kIncompatible : LinkState::kUp)
            << "version " << int{version.number} << " at " << odd;
        const std::string name = "schema of wire version " + std::to_string(meeting().common) + ":";
        EXPECT_EQ(std::string(link(i).text.data()).starts_with(name), chosen) << link(i).text.data();
      }
      version.schema -= 0x500;
      for (uint32_t i = 0; i < 2; ++i) {
        mesh_.crash(i);
        mesh_.node(i).incarnation += 1'000;
      }
      mesh_.run_for(from_ms(100));
    }
  }
}

TEST_P(NoCommonVersion, BothSayWithinARoundTripWhatEachSpeaks) {
  mesh_.start_all();
  mesh_.run_for(from_ms(11));  // there and back, and a tick
  for (uint32_t i = 0; i < 2; ++i) {
    EXPECT_EQ(link(i).state, LinkState::kIncompatible);
    EXPECT_EQ(link(i).text.data(), refusal(i));
    mesh_.acquire(i, 7, test_track(1));
    mesh_.run_for(from_ms(2));
    EXPECT_EQ(mesh_.only(i, 7).outcome, Outcome::unsupported);
    EXPECT_EQ(mesh_.only(i, 7).text, refusal(i));
  }
}

// The refusal that node 2 sends is lost; what arrives instead differs from it in one bit, anywhere.
TEST_P(NoCommonVersion, TheRefusalIsBelievedAsItWasSentAndNotOtherwise) {
  mesh_.wire(1, 0).cut = true;
  mesh_.start_all();
  mesh_.run_for(from_ms(50));
  const auto refused = std::find_if(sent_.begin(), sent_.end(), [](const Sent& s) {
    return s.from == 1 && decode_header(s.bytes.data()).type == DatagramType::kHandshake2;
  });
  ASSERT_NE(refused, sent_.end());
  const std::vector<uint8_t> bytes = refused->bytes;
  for (size_t at = kHeaderBytes; at < bytes.size(); ++at) {
    std::vector<uint8_t> forged = bytes;
    forged[at] ^= 0x10;
    give(0, forged);
    ASSERT_NE(link(0).state, LinkState::kIncompatible) << "byte " << at;
  }
  give(0, bytes);
  EXPECT_EQ(link(0).state, LinkState::kIncompatible);
  EXPECT_EQ(link(0).text.data(), refusal(0));
}

std::vector<Case> cases(bool in_common) {
  std::vector<Case> all;
  for (const bool sealed : {false, true}) {
    for (const Meeting& meeting : kMeetings) {
      if ((meeting.common != 0) == in_common) all.push_back({sealed, &meeting});
    }
  }
  return all;
}
std::string name_of(const testing::TestParamInfo<Case>& of) {
  return std::string(of.param.sealed ? "Sealed" : "Null") + of.param.meeting->name;
}
INSTANTIATE_TEST_SUITE_P(Builds, CommonVersion, testing::ValuesIn(cases(true)), name_of);
INSTANTIATE_TEST_SUITE_P(Builds, NoCommonVersion, testing::ValuesIn(cases(false)), name_of);

}  // namespace
}  // namespace trunkline::relay
