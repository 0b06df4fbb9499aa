// KeyRecording: two nodes (recorded_node.h) and the wire between them, and what happens to them: keys are
// replaced while datagrams are on their way, nodes are started again, and some come back from a snapshot. The
// judge of keys (tools/sim/auditor_keys.h) sees all of it.
//
// Media says what it is: a packet has a serial number, and its other bytes follow from that; so what is
// delivered is known for what was published, or not.
//
// The second node's ports have frames, as those that drive a device: it seals what it relays where it lies.
//
// A turn is a millisecond of virtual time, in which each core runs once. One thread, one seed.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/rng.h"
#include "tests/support/recorded_node.h"
#include "tools/sim/builds.h"

namespace trunkline::tests {

using relay::CoreCounter;
using relay::DropReason;

inline constexpr Nanos kTurn = core::from_ms(1);
// Turns that a datagram may take; a former session is received on as long.
inline constexpr uint32_t kLatest = 64;

// What ends a life, and how the next begins. In turn, so that there is a pair to be restored.
enum class Ending : uint8_t {
  restart,        // one node, as another incarnation
  both_restart,   // at once
  restored,       // one node, as it was when its life began, its clock too
  both_restored,  // as they were when both had restarted, but for their clocks
  kCount
};

class KeyRecording {
 public:
  explicit KeyRecording(uint64_t seed)
      : rng_(seed),
        options_(sim::plain_options(seed, {sim::Region::kLondon, sim::Region::kTokyo})),
        keys_(options_) {
    for (size_t i = 0; i < pattern_.size(); ++i) pattern_[i] = static_cast<uint8_t>(rng_.next());
    begin(0, {next_incarnation_++, now_});
    begin(1, {next_incarnation_++, now_});
    plan_ending();
  }

  void run(uint64_t datagrams) {
    // Some 20 are sealed in a turn; where nothing is, this ends all the same.
    const uint64_t bound = turn_ + 10'000 + datagrams;
    const uint64_t until = totals().sealed + datagrams;
    while (totals().sealed < until && turn_ < bound && !testing::Test::HasFatalFailure()) turn();
  }
  // Until both send with the newest session.
  void run_until_linked() {
    for (uint32_t i = 0; i < 10'000 && (step_ != Step::kIdle || !linked()); ++i) turn();
    ASSERT_TRUE(linked());
  }
  // From now on nothing is replaced, and nobody restarts.
  void keep_session() { step_at_ = ending_at_ = UINT64_MAX; }
  void restart(uint8_t node) { begin(node, {next_incarnation_++, now_}); }
  RecordedNode& node(uint8_t node) { return *nodes_[node]; }

  // ---- what was seen
  const sim::KeyAuditor::Totals& totals() const { return auditor_.totals(); }
  uint64_t complained() const { return complained_; }
  const std::vector<std::string>& complaints() const { return complaints_; }  // the first ones
  struct Seen {
    uint64_t published = 0, delivered = 0, came_back = 0, twice = 0, unknown = 0;
    uint64_t lost = 0, repeated = 0, late = 0;
    uint64_t sessions = 0, unfinished = 0, same_msg1 = 0;
    std::array<uint64_t, static_cast<size_t>(Ending::kCount)> endings{};
    std::array<std::array<uint64_t, kRecordedCores * kRecordedCores>, 2> lanes{};  // datagrams
    // Of lives that ended.
    std::array<uint64_t, static_cast<size_t>(DropReason::kCount)> drops{};
    std::array<uint64_t, static_cast<size_t>(CoreCounter::kCount)> counts{};
    uint64_t highest_counter = 0;
  };
  const Seen& seen() const { return seen_; }
  uint64_t dropped(DropReason reason) const {
    return seen_.drops[static_cast<size_t>(reason)] + nodes_[0]->drops(reason) + nodes_[1]->drops(reason);
  }
  uint64_t dropped() const {
    uint64_t sum = 0;
    for (size_t i = 0; i < seen_.drops.size(); ++i) sum += dropped(static_cast<DropReason>(i));
    return sum;
  }
  uint64_t counted(CoreCounter which) const {
    return seen_.counts[static_cast<size_t>(which)] + nodes_[0]->count(which) + nodes_[1]->count(which);
  }
  uint64_t least_of_a_lane() const {
    uint64_t least = UINT64_MAX;
    for (const auto& of : seen_.lanes) least = std::min(least, *std::min_element(of.begin(), of.end()));
    return least;
  }

 private:
  struct Flight {
    uint8_t to, core;
    core::UdpAddress from;
    ByteVector bytes;
  };
  enum class Step : uint8_t { kIdle, kMsg1, kMsg2, kConfirm, kLostConfirm };

  void turn() {
    ++turn_;
    now_ = now_ + kTurn;
    if (turn_ >= ending_at_ && step_ == Step::kIdle && linked()) end_lives();
    if (turn_ >= step_at_) agree();
    if (turn_ == former_until_)
      for (auto& node : nodes_) node->remove_spare();
    arrive();
    for (uint8_t n = 0; n < 2; ++n) {
      for (uint8_t k = 0; k < kRecordedCores; ++k) {
        publish(n, k);
        nodes_[n]->run(k, now_);
        take_sent(n, k);
        take_delivered(n, k);
      }
      ASSERT_TRUE(turn_ % 64 != 0 || nodes_[n]->hands_over_all());
    }
  }

  // ---- lives

  relay::NodeConfig config_of(uint8_t n) const {
    relay::NodeConfig config = sim::node_config(options_, n, {});
    keys_.put_into(config);
    config.data_cores = kRecordedCores;
    config.host_queues = 1;
    config.limits = {.max_peers = 1,
                     .max_flows_per_core = 32,
                     .max_outputs_per_core = 32,
                     .max_egress_per_core = 1,
                     .queue_depth = 256,
                     .core_ring_depth = 256,
                     .frame_ring_depth = 16,
                     .transmit_buffers = 32,
                     .handover_buffers = 64};
    return config;
  }
  void begin(uint8_t n, Beginning beginning) {
    if (nodes_[n] != nullptr) {
      for (size_t i = 0; i < seen_.drops.size(); ++i)
        seen_.drops[i] += nodes_[n]->drops(static_cast<DropReason>(i));
      for (size_t i = 0; i < seen_.counts.size(); ++i)
        seen_.counts[i] += nodes_[n]->count(static_cast<CoreCounter>(i));
    }
    nodes_[n].reset();
    nodes_[n] = std::make_unique<RecordedNode>(keys_, auditor_, config_of(n), beginning, n == 1, now_);
    linked_ = false;
    step_ = Step::kIdle;
    step_at_ = turn_;  // at once, so that who was restored does what it did then
    initiator_ = rng_.chance(0.75) ? n : static_cast<uint8_t>(1 - n);
  }
  bool linked() const { return linked_; }

  // Some soon, so that the session that a restored node begins with is the one that it ended with.
  void plan_ending() { ending_at_ = turn_ + (rng_.chance(0.5) ? rng_.below(64) : 300 + rng_.below(800)); }

  void end_lives() {
    const auto ending = static_cast<Ending>(endings_ % static_cast<uint64_t>(Ending::kCount));
    ++endings_;
    ++seen_.endings[static_cast<size_t>(ending)];
    auto one = static_cast<uint8_t>(rng_.below(2));
    switch (ending) {
      case Ending::restart:
        restart(one);
        break;
      case Ending::both_restart:
        restart(0);
        restart(1);
        pair_ = {nodes_[0]->beginning, nodes_[1]->beginning};
        pair_initiator_ = initiator_;
        break;
      case Ending::restored:
        // Most often the one that began then, which says what it said then.
        one = rng_.chance(0.75) ? pair_initiator_ : static_cast<uint8_t>(1 - pair_initiator_);
        begin(one, Beginning(nodes_[one]->beginning));
        initiator_ = pair_initiator_;
        break;
      case Ending::both_restored:
      case Ending::kCount:
        for (uint8_t n = 0; n < 2; ++n) begin(n, {pair_[n].incarnation, now_});
        initiator_ = pair_initiator_;
        break;
    }
    plan_ending();
  }

  // ---- handshakes: one step at a time, with datagrams on their way between them, and some that are lost

  void agree() {
    if (step_ == Step::kIdle && linked_) initiator_ = static_cast<uint8_t>(rng_.below(2));
    RecordedNode& initiator = *nodes_[initiator_];
    RecordedNode& responder = *nodes_[1 - initiator_];
    std::span<const uint8_t> next;
    switch (step_) {
      case Step::kIdle:
        former_until_ = 0;
        next = initiator.write_msg1(now_);
        note_msg1(next);
        break;
      case Step::kMsg1:
        next = responder.answer_msg1(message_, now_);
        break;
      case Step::kMsg2:
        next = initiator.answer_msg2(message_, now_);
        break;
      case Step::kConfirm:
        ASSERT_TRUE(responder.take_confirm(message_));
        return agreed();
      case Step::kLostConfirm:
        responder.activate();
        return agreed();
    }
    ASSERT_FALSE(next.empty()) << "a handshake message was refused";
    message_.assign(next.begin(), next.end());
    step_ = static_cast<Step>(static_cast<uint8_t>(step_) + 1);
    step_at_ = turn_ + 1 + rng_.below(8);
    if (!rng_.chance(0.05)) return;
    // The initiator sends with the new session already: its first datagram says what the confirm would have.
    if (step_ == Step::kConfirm) {
      step_ = Step::kLostConfirm;
    } else {
      step_ = Step::kIdle;
      ++seen_.unfinished;
    }
  }
  void agreed() {
    ++seen_.sessions;
    linked_ = true;
    step_ = Step::kIdle;
    former_until_ = turn_ + kLatest;
    // Now and then before the former session has ended.
    step_at_ = turn_ + (rng_.chance(0.1) ? 1 + rng_.below(kLatest) : kLatest + rng_.below(300));
  }
  // A life that was restored says what it said before, to the last bit.
  void note_msg1(std::span<const uint8_t> msg1) {
    ByteVector bytes(msg1.begin(), msg1.end());
    seen_.same_msg1 += static_cast<uint64_t>(std::count(msg1s_.begin(), msg1s_.end(), bytes));
    if (!linked_) msg1s_.push_back(std::move(bytes));
  }

  // ---- media: a serial number, and bytes that follow from it

  void publish(uint8_t n, uint8_t core) {
    const auto to = static_cast<FlowId>(rng_.below(kRecordedCores));
    const FlowId flow = (rng_.chance(0.25) ? kEchoed : kOwn) + to;
    for (uint64_t burst = rng_.below(5); burst > 0; --burst) {
      const uint64_t serial = serials_[n].size();
      const size_t length = kFixed + (flow % 2 == 0 ? rng_.below(1'000) : rng_.below(150));
      std::array<uint8_t, 1'200> packet;
      packet[0] = 0x80;
      packet[1] = 96;
      relay::store_be16(&packet[2], static_cast<uint16_t>(serial));
      relay::store_be32(&packet[4], static_cast<uint32_t>(turn_));
      relay::store_be32(&packet[8], place(n, core, flow));
      relay::store_be64(&packet[12], serial);
      std::copy_n(&pattern_[serial % kPatterns], length - kFixed, &packet[kFixed]);
      if (!nodes_[n]->publish(core, flow, std::span(packet).first(length))) continue;
      serials_[n].push_back(false);
      ++seen_.published;
    }
  }
  void take_delivered(uint8_t n, uint8_t core) {
    relay::HostPacketRing& ring = nodes_[n]->rings.cores[core]->queues[0]->to_host;
    for (auto got = ring.peek(64); !got.empty(); got = ring.peek(64)) {
      for (const relay::HostPacket& packet : got)
        if (packet.kind == relay::HostPacketKind::kMedia) judge(n, core, packet);
      ring.release(static_cast<uint32_t>(got.size()));
    }
  }
  void judge(uint8_t n, uint8_t core, const relay::HostPacket& packet) {
    const auto flow = static_cast<FlowId>(packet.handle - kRecordedHandle);
    const bool back = flow >= kBack;
    const auto publisher = static_cast<uint8_t>(back ? n : 1 - n);
    const uint32_t from = back ? place(n, core, kEchoed + flow - kBack)
                               : place(publisher, static_cast<uint8_t>(flow - kTheirs), kOwn + core);
    const uint64_t serial = packet.length < kFixed ? UINT64_MAX : relay::load_be64(packet.bytes + 12);
    if (serial >= serials_[publisher].size() || relay::load_be32(packet.bytes + 8) != from ||
        std::memcmp(packet.bytes + kFixed, &pattern_[serial % kPatterns], packet.length - kFixed) != 0) {
      ++seen_.unknown;
      return;
    }
    seen_.twice += serials_[publisher][serial] ? 1u : 0u;
    serials_[publisher][serial] = true;
    ++seen_.delivered;
    seen_.came_back += back ? 1u : 0u;
  }
  static uint32_t place(uint8_t n, uint8_t core, FlowId flow) {
    return static_cast<uint32_t>(n << 16 | core << 8) | flow;
  }

  // ---- the wire

  void take_sent(uint8_t n, uint8_t core) {
    const relay::NodeConfig& config = nodes_[n]->config;
    core::UdpAddress from = config.listen;
    from.port = static_cast<uint16_t>(from.port + core);
    for (const SentRun& run : nodes_[n]->cores[core].port->sent) {
      const auto to = static_cast<uint8_t>(run.to.port - config.peers[0].address.port);
      for (ByteVector& bytes : run.datagrams()) {
        const relay::DatagramHeader header = relay::decode_header(bytes.data());
        const uint8_t owner = relay::SessionIndex::core(header.session_index);
        ASSERT_TRUE(to < kRecordedCores && owner == to && header.lane == core);
        ++seen_.lanes[n][size_t{core} * kRecordedCores + owner];
        seen_.highest_counter = std::max(seen_.highest_counter, header.counter);
        carry({static_cast<uint8_t>(1 - n), to, from, std::move(bytes)});
      }
    }
    nodes_[n]->cores[core].port->sent.clear();
  }
  void carry(Flight flight) {
    const uint64_t fate = rng_.below(100);
    if (fate == 0) {
      ++seen_.lost;
      return;
    }
    if (fate == 1) {
      ++seen_.repeated;
      put(flight, rng_.chance(0.5) ? 1 : 1 + rng_.below(kLatest - 1));  // in the same burst, or later
    }
    if (fate == 2) {
      // On a queue of the wrong core, as devices do.
      flight.core = static_cast<uint8_t>((flight.core + 1) % kRecordedCores);
    }
    const bool late = fate >= 3 && fate < 8;
    seen_.late += late ? 1u : 0u;
    put(std::move(flight), late ? 1 + rng_.below(kLatest - 1) : 1);
  }
  void put(Flight flight, uint64_t turns) {
    flights_[(turn_ + turns) % kLatest].push_back(std::move(flight));
  }
  void arrive() {
    auto& due = flights_[turn_ % kLatest];
    for (Flight& flight : due)
      nodes_[flight.to]->cores[flight.core].port->put(0, flight.from, std::move(flight.bytes));
    due.clear();
  }

  static constexpr size_t kFixed = 20;  // RTP's header and the serial number
  static constexpr size_t kPatterns = 251;
  std::array<uint8_t, kPatterns + 1'200> pattern_{};

  core::Rng rng_;
  sim::Options options_;
  sim::ClusterKeys keys_;
  uint64_t complained_ = 0;
  std::vector<std::string> complaints_;  // the first ones
  sim::KeyAuditor auditor_{[this](std::string text) {
    ++complained_;
    if (complaints_.size() < 64) complaints_.push_back(std::move(text));
  }};
  Nanos now_ = core::from_s(1);
  uint64_t turn_ = 0;

  std::array<std::unique_ptr<RecordedNode>, 2> nodes_;
  uint64_t next_incarnation_ = 1;
  uint64_t ending_at_ = 0, endings_ = 0;
  std::array<Beginning, 2> pair_{};
  uint8_t pair_initiator_ = 0;

  Step step_ = Step::kIdle;
  uint64_t step_at_ = 0, former_until_ = 0;
  uint8_t initiator_ = 0;
  bool linked_ = false;
  ByteVector message_;
  std::vector<ByteVector> msg1s_;  // the first ones of all lives

  std::array<std::vector<Flight>, kLatest> flights_;
  std::array<std::vector<bool>, 2> serials_;  // by publisher: was it delivered?
  Seen seen_;
};

}  // namespace trunkline::tests
