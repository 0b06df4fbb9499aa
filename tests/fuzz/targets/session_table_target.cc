// The session table against maps: which sessions there are, which of a link is active, and which counters
// each lane of each has seen. A new session's lanes begin anew.
#include <map>
#include <set>

#include "relay/null_suite.h"
#include "relay/session_table.h"
#include "tests/fuzz/target.h"

using namespace trunkline::relay;

namespace {

constexpr uint32_t kPeers = 3;
constexpr trunkline::core::CoreId kCore{2};

struct ModelSession {
  SessionInstall install;
  std::map<uint8_t, std::set<uint64_t>> seen;  // by lane
};

class Model {
 public:
  explicit Model(trunkline::fuzz::Bytes bytes) : in_(bytes) {}

  void run() {
    while (!in_.empty()) {
      switch (in_.below(5)) {
        case 0:
          install();
          break;
        case 1:
          activate();
          break;
        case 2:
          remove();
          break;
        default:
          receive();
          break;
      }
      for (LinkId link = 0; link < kPeers + 1; ++link) {
        const auto active = active_.find(link);
        const Session* const session = table_.active(link);
        ASSERT_EQ(session != nullptr, active != active_.end());
        if (session != nullptr) {
          EXPECT_EQ(session->slot, active->second);
          EXPECT_EQ(session->state, Session::State::kActive);
        }
      }
    }
  }

 private:
  void install() {
    SessionInstall install;
    install.slot = in_.below(2 * kPeers + 1);
    install.link = static_cast<LinkId>(in_.below(kPeers + 1));
    install.peer_cores = static_cast<uint8_t>(in_.below(18));
    const bool odd = in_.below(8) == 7;  // of another core, or another slot
    install.receive_index = odd ? in_.u32() : SessionIndex::make(kCore, install.slot, in_.u16());
    for (uint8_t c = 0; c < trunkline::core::kMaxCores; ++c)
      install.peer_ports[c] = static_cast<uint16_t>(9'000 + c);
    const uint32_t index = install.receive_index;
    const bool valid = install.slot < 2 * kPeers && install.link < kPeers && install.peer_cores >= 1 &&
                       install.peer_cores <= trunkline::core::kMaxCores &&
                       SessionIndex::slot(index) == install.slot && SessionIndex::core(index) == kCore.value;
    EXPECT_EQ(table_.install(install), valid);
    if (!valid) return;
    forget(install.slot);
    sessions_[install.slot] = {install, {}};
  }
  void activate() {
    const uint32_t slot = in_.below(2 * kPeers + 1);
    const auto session = sessions_.find(slot);
    EXPECT_EQ(table_.activate(slot, slot < kPeers), session != sessions_.end());
    if (session != sessions_.end()) active_[session->second.install.link] = slot;
  }
  void remove() {
    const uint32_t slot = in_.below(2 * kPeers + 1);
    EXPECT_EQ(table_.remove(slot), slot < 2 * kPeers);
    forget(slot);
  }
  void forget(uint32_t slot) {
    const auto session = sessions_.find(slot);
    if (session == sessions_.end()) return;
    const auto active = active_.find(session->second.install.link);
    if (active != active_.end() && active->second == slot) active_.erase(active);
    sessions_.erase(session);
  }
  // A datagram's index and lane, and its counter.
  void receive() {
    uint32_t index = in_.u32();
    const auto known = sessions_.find(index % (2 * kPeers));
    if ((index & 0x80) != 0 && known != sessions_.end()) index = known->second.install.receive_index;
    Session* const session = table_.find(index);
    const auto model = sessions_.find(SessionIndex::slot(index));
    const bool there = model != sessions_.end() && model->second.install.receive_index == index;
    ASSERT_EQ(session != nullptr, there);
    if (!there) return;
    const SessionInstall& install = model->second.install;
    ASSERT_EQ(session->link, install.link);
    ASSERT_EQ(session->peer_cores, install.peer_cores);
    const auto lane = static_cast<uint8_t>(in_.below(install.peer_cores));
    EXPECT_EQ(session->address_of({lane}).port, lane == 0 ? 0 : install.peer_ports[lane]);
    const uint64_t counter = in_.u8();
    const bool first = model->second.seen[lane].insert(counter).second;
    EXPECT_EQ(table_.window(*session, lane).commit(counter) == LaneReplayWindow::Verdict::kNew, first);
  }

  trunkline::fuzz::Input in_;
  trunkline::core::Rng rng_{1};
  NullCrypto crypto_{rng_};
  SessionTable table_{kPeers, kCore, crypto_};
  std::map<uint32_t, ModelSession> sessions_;  // by slot
  std::map<LinkId, uint32_t> active_;
};

}  // namespace

TRUNKLINE_FUZZ_TARGET(session_table) {
  Model(input).run();
}
