// AttackedCore: one data core with sealed sessions, and an oracle that says of every datagram that arrives
// what must become of it. For tests that throw forged and repeated datagrams at the real path and the real
// cipher.
//
// Links 0 and 1 send media to the core and have two cores, so two lanes each; links 2 and 3 get it. Track 0
// comes from link 0 and goes to link 2, track 1 from link 1 to both: so a packet takes, on a port with
// frames, each of the short ways, and elsewhere the long one. Each packet has a serial number; what leaves
// is opened as its receiver would, and its serials must be those of the genuine packets, each once, in order.
//
// The oracle knows who sealed what. Its replay windows are plain lists of all counters that were accepted.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <deque>
#include <memory>
#include <vector>

#include "core/page_source.h"
#include "core/rng.h"
#include "relay/packet_path.h"
#include "tests/support/packet_builder.h"
#include "tests/support/path_harness.h"
#include "tests/support/sealed_sessions.h"

namespace trunkline::tests {

inline constexpr LinkId kSources = 2, kLinks = 4;
inline constexpr uint8_t kLanes = 2;    // of a source
inline constexpr uint32_t kBurst = 32;  // what a turn of the path takes
inline constexpr CoreId kCore{0};

// One session of a link, as both of its ends have it.
struct AttackedSession {
  struct Sealed {
    ByteVector bytes;
    uint8_t lane;
    uint64_t counter;
  };
  relay::SessionInstall install;
  std::unique_ptr<relay::SessionCrypto> peer, ours;
  bool installed = false;
  std::array<uint64_t, kLanes> next{};  // counters
  std::deque<Sealed> sent;              // the newest of what was genuine
  // The oracle's.
  std::array<std::vector<bool>, kLanes> accepted;
};

template <class AnyPort>
class AttackedCore {
 public:
  AttackedCore(relay::Suite suite, uint64_t seed)
      : rng(seed), suite_(suite), crypto_(suite, kLanes), config_(config()), rings_(config_.limits, 1) {
    path_ = std::make_unique<relay::PacketPath>(config_, kCore, port_, crypto_, pages_, rings_);
    EXPECT_TRUE(path_->open_mesh(config_.listen));
    for (LinkId link = 0; link < kLinks; ++link) rekey(link);
    for (LinkId source = 0; source < kSources; ++source) open_flow(source);
    output(0, 2);
    output(1, 2);
    output(1, 3);
  }

  core::Rng rng;
  std::chrono::nanoseconds took{};  // in the path, so far

  // ---- the mesh thread's part

  // Another session for the link, with keys of its own; the former is received on until forget_former().
  void rekey(LinkId link) {
    auto& of = sessions_[link];
    // Three are kept: what was recorded of those that are gone is still sent again.
    batch_of_ = nullptr;
    if (of.size() == kKept) of.pop_front();
    auto made = std::make_unique<AttackedSession>();
    const uint32_t slot = 2u * link + (of.empty() ? 0 : 1 - of.back()->install.slot % 2);
    relay::SessionInstall& install = made->install;
    install.slot = slot;
    install.link = link;
    install.receive_index = relay::SessionIndex::make(kCore, slot, static_cast<uint16_t>(rng.next()));
    install.keys.suite = suite_;
    for (uint8_t& byte : install.keys.send_secret) byte = static_cast<uint8_t>(rng.next());
    for (uint8_t& byte : install.keys.receive_secret) byte = static_cast<uint8_t>(rng.next());
    install.peer_address = peer_address(link);
    install.peer_cores = link < kSources ? kLanes : 1;
    for (uint8_t core = 0; core < install.peer_cores; ++core) {
      install.peer_ports[core] = static_cast<uint16_t>(install.peer_address.port + core);
      install.peer_indexes[core] = relay::SessionIndex::make(CoreId{core}, slot, 0x1234);
    }
    made->peer = crypto_.make_session();
    crypto_.key_session(*made->peer, {suite_, install.keys.receive_secret, install.keys.send_secret});
    made->ours = crypto_.make_session();
    crypto_.key_session(*made->ours, install.keys);
    made->installed = true;
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kLinkPace;
    c.pace = {.link = link, .heartbeat_interval = core::from_s(1'000'000)};
    command(c);
    c.kind = relay::CoreCommandKind::kSessionInstall;
    c.session = install;
    command(c);
    c.kind = relay::CoreCommandKind::kSessionActivate;
    c.slot = slot;
    command(c);
    of.push_back(std::move(made));
  }
  // What is still on its way from it comes too late from now on.
  void forget_former(LinkId link) {
    auto& of = sessions_[link];
    if (of.size() < 2 || !of[of.size() - 2]->installed) return;
    of[of.size() - 2]->installed = false;
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kSessionRemove;
    c.slot = of[of.size() - 2]->install.slot;
    command(c);
  }

  // ---- the attacker's part, and the peers'

  AttackedSession& current(LinkId link) { return *sessions_[link].back(); }
  // Any of the link's, those that are gone among them.
  AttackedSession& any(LinkId link) { return *sessions_[link][rng.below(sessions_[link].size())]; }

  // A media packet of the link's track, sealed as its peer would, with the next counter of the lane; now and
  // then some counters are left out, as if lost. It is genuine, and must be accepted when it first arrives.
  ByteVector genuine(LinkId link, uint8_t lane, uint32_t payload) {
    AttackedSession& session = current(link);
    session.next[lane] += rng.below(64);
    const uint64_t counter = session.next[lane]++;
    ByteVector packet =
        rtp({.sequence = static_cast<uint16_t>(serial_), .ssrc = link + 1u, .bytes = payload});
    relay::store_be64(&packet[12], serial_++);
    relay::RecordHeader header = media(relay::flow_label(link, kCore, 0, 1), TrafficClass::kVideoBase);
    header.frame_end = true;
    const ByteVector records = record(header, packet);
    ByteVector bytes(relay::kHeaderBytes + records.size() + relay::kTagBytes);
    relay::encode_header(bytes.data(),
                         {.lane = lane, .counter = counter, .session_index = session.install.receive_index});
    std::copy(records.begin(), records.end(), bytes.begin() + relay::kHeaderBytes);
    seal(*session.peer, CoreId{lane}, bytes);
    if (session.sent.size() == kRemembered) session.sent.pop_front();
    session.sent.push_back({bytes, lane, counter});
    return bytes;
  }
  static void seal(relay::SessionCrypto& with, CoreId from, ByteVector& bytes) {
    relay::SealJob job{bytes.data(), static_cast<uint32_t>(bytes.size() - relay::kTagBytes)};
    with.seal(from, kCore, {&job, 1});
  }

  // In the next burst, of at most kBurst. `sealed`: these very bytes were made by genuine(), for the session
  // that they name.
  void arrive(const ByteVector& bytes, bool sealed) {
    foresee(bytes, sealed);
    port_.put(0, peer_address(0), bytes);
  }
  void run() {
    foresee_batch();
    now_ += core::from_us(4);
    const auto began = std::chrono::steady_clock::now();
    path_->run_once(now_);
    took += std::chrono::steady_clock::now() - began;
    EXPECT_TRUE(path_->conservation().holds());
    for (relay::CoreEvent event; rings_.events.try_pop(event);) {
    }
    for (auto got = rings_.frames_out.peek(64); !got.empty(); got = rings_.frames_out.peek(64)) {
      handshakes_ += got.size();
      rings_.frames_out.release(static_cast<uint32_t>(got.size()));
    }
    look_at_what_left();
  }

  // ---- what came of it

  // Whether everything that ever arrived has gone where the oracle said.
  void check() const {
    EXPECT_EQ(path_->counters().value(CoreCounter::datagrams_opened), accepted_);
    EXPECT_EQ(path_->counters().value(CoreCounter::media_in), accepted_);
    EXPECT_EQ(path_->counters().value(CoreCounter::events_lost), 0u);
    EXPECT_EQ(handshakes_, handshakes_foreseen_)
        << "what looks like a handshake is the mesh thread's to judge";
    for (uint32_t i = 0; i < kReasons; ++i) {
      const auto reason = static_cast<DropReason>(i);
      EXPECT_EQ(path_->drops().value(reason), dropped_[i]) << relay::drop_reason_name(reason);
    }
    for (LinkId link = kSources; link < kLinks; ++link)
      EXPECT_TRUE(due_[link].empty()) << due_[link].size() << " packets have not left for link " << link;
  }
  uint64_t accepted() const { return path_->counters().value(CoreCounter::datagrams_opened); }
  uint64_t dropped(DropReason reason) const { return path_->drops().value(reason); }
  uint64_t genuine_made() const { return serial_; }
  uint64_t handshakes() const { return handshakes_; }
  relay::PacketPath& path() { return *path_; }

 private:
  static constexpr size_t kKept = 4, kRemembered = 6'000;
  static constexpr auto kReasons = static_cast<uint32_t>(DropReason::kCount);

  static relay::NodeConfig config() {
    relay::NodeConfig made = small_config();
    made.limits.frame_ring_depth = 128;
    return made;
  }
  void command(const relay::CoreCommand& command) { ASSERT_TRUE(rings_.commands.try_push(command)); }
  void open_flow(LinkId source) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kFlowOpen;
    c.open = {.flow = source,
              .label = relay::flow_label(source, kCore, 0, 1),
              .source = relay::FlowSource::kUpstream,
              .traffic_class = TrafficClass::kVideoBase,
              .link = source};
    command(c);
  }
  void output(LinkId source, LinkId to) {
    relay::CoreCommand c;
    c.kind = relay::CoreCommandKind::kOutputAdd;
    c.change = {source, {.kind = relay::OutputKind::kLink, .target = to, .label = Label{0x5000u + source}}};
    command(c);
  }

  // ---- the oracle: what packet_path_open.cc must do, datagram by datagram

  void foresee(const ByteVector& bytes, bool sealed) {
    if (bytes.size() < relay::kHeaderBytes + relay::kTagBytes) return drop(DropReason::short_datagram);
    const relay::DatagramHeader header = relay::decode_header(bytes.data());
    if (header.version != relay::kWireVersion) return drop(DropReason::bad_version);
    if (relay::is_handshake(header.type)) {
      if (bytes.size() > relay::kMaxFrameBytes) return drop(DropReason::handshake_full);
      ++handshakes_foreseen_;
      return;
    }
    if (header.type != relay::DatagramType::kData) return drop(DropReason::bad_type);
    if (relay::SessionIndex::core(header.session_index) != kCore.value) return drop(DropReason::wrong_core);
    AttackedSession* const session = named(header.session_index);
    if (session == nullptr) return drop(DropReason::no_session);
    if (header.lane >= session->install.peer_cores) return drop(DropReason::bad_lane);
    // Those of a lane are opened together, and move its window then.
    if (session != batch_of_ || header.lane != batch_lane_) foresee_batch();
    batch_of_ = session;
    batch_lane_ = header.lane;
    const std::vector<bool>& seen = session->accepted[header.lane];
    if (header.counter < seen.size()) {
      if (seen.size() - header.counter > relay::LaneReplayWindow::kDepth) return drop(DropReason::too_old);
      if (seen[header.counter]) return drop(DropReason::replayed);
    }
    batch_.push_back({header.counter, sealed ? serials_of(bytes, *session, header.lane) : kForged});
  }
  void foresee_batch() {
    for (const auto& [counter, serial] : batch_) {
      std::vector<bool>& seen = batch_of_->accepted[batch_lane_];
      if (serial == kForged) {
        drop(DropReason::not_authentic);
      } else if (counter < seen.size() && seen[counter]) {
        drop(DropReason::replayed);
      } else {
        if (counter >= seen.size()) seen.resize(counter + 1);
        seen[counter] = true;
        ++accepted_;
        due_[2].push_back(serial);
        if (batch_of_->install.link == 1) due_[3].push_back(serial);
      }
    }
    batch_.clear();
  }
  void drop(DropReason reason) { ++dropped_[static_cast<uint32_t>(reason)]; }
  AttackedSession* named(uint32_t index) {
    for (auto& of : sessions_) {
      for (auto& session : of) {
        if (session->installed && session->install.receive_index == index) return session.get();
      }
    }
    return nullptr;
  }
  // Of a genuine datagram, opened once more with the peer's own keys.
  uint64_t serials_of(ByteVector bytes, AttackedSession& session, uint8_t lane) {
    relay::OpenJob job{bytes.data(), static_cast<uint32_t>(bytes.size()), false};
    session.ours->open(CoreId{lane}, kCore, {&job, 1});
    EXPECT_TRUE(job.authentic) << "the test takes it to be genuine";
    return relay::load_be64(&bytes[relay::kHeaderBytes + relay::kRecordHeaderBytes + 12]);
  }

  // Opens all that left, as its receivers do. Sources get heartbeats, and no media.
  void look_at_what_left() {
    for (SentRun& run : port_.sent) {
      const auto link = static_cast<LinkId>(run.to.ip[3] - peer_address(0).ip[3]);
      ASSERT_LT(link, kLinks);
      const auto to = static_cast<uint8_t>(run.to.port - peer_address(link).port);
      for (ByteVector& datagram : run.datagrams()) {
        relay::OpenJob job{datagram.data(), static_cast<uint32_t>(datagram.size()), false};
        current(link).peer->open(kCore, CoreId{to}, {&job, 1});
        ASSERT_TRUE(job.authentic);
        take_records(link, datagram);
      }
    }
    port_.sent.clear();
  }
  void take_records(LinkId link, const ByteVector& datagram) {
    const size_t end = datagram.size() - relay::kTagBytes;
    for (size_t at = relay::kHeaderBytes; at + relay::kRecordHeaderBytes <= end;) {
      const relay::RecordHeader header = relay::decode_record(&datagram[at]);
      if (header.kind == relay::RecordKind::kPadding) break;
      at += relay::kRecordHeaderBytes;
      if (header.kind == relay::RecordKind::kMedia) {
        const uint64_t serial = relay::load_be64(&datagram[at + 12]);
        ASSERT_FALSE(due_[link].empty()) << "a packet left that is nobody's";
        ASSERT_EQ(serial, due_[link].front());
        due_[link].pop_front();
      }
      at += header.length;
    }
  }

  static constexpr uint64_t kForged = UINT64_MAX;

  relay::Suite suite_;
  SealedSessions crypto_;
  relay::NodeConfig config_;
  AnyPort port_;
  core::HeapPageSource pages_;
  relay::CoreRings rings_;
  std::unique_ptr<relay::PacketPath> path_;
  Nanos now_ = core::from_s(1);

  std::array<std::deque<std::unique_ptr<AttackedSession>>, kLinks> sessions_;  // the current one last
  uint64_t serial_ = 0;
  uint64_t accepted_ = 0, handshakes_ = 0, handshakes_foreseen_ = 0;
  std::array<uint64_t, kReasons> dropped_{};
  std::array<std::deque<uint64_t>, kLinks> due_;  // serials that are to leave
  AttackedSession* batch_of_ = nullptr;
  uint8_t batch_lane_ = 0;
  struct Foreseen {
    uint64_t counter, serial;
  };
  std::vector<Foreseen> batch_;
};

}  // namespace trunkline::tests
