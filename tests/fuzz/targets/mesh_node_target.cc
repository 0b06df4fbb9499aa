// Three nodes of a mesh whose hosts, wires and machines do what the input says: tracks published, wanted and
// given up under handles that may be taken, wires cut and lossy, nodes paused and killed, and a peer that
// writes what it likes into its control stream and handshakes. Afterwards all is well again, and every
// acquire has had its one outcome by its deadline, nothing is left over, and no node has met a defect.
#include "relay/crc32c.h"
#include "relay/mesh/messages.h"
#include "tests/fuzz/target.h"
#include "tests/support/mesh_harness.h"

using namespace trunkline::relay;
using trunkline::core::from_ms;

namespace {

constexpr uint32_t kNodes = 3;
constexpr uint64_t kTracks = 3;

class Story {
 public:
  explicit Story(trunkline::fuzz::Bytes bytes) : in_(bytes) {
    mesh_.make(kNodes, 1);
    for (uint32_t i = 0; i < kNodes; ++i) {
      NodeLimits& limits = mesh_.config(i).limits;
      limits.max_tracks = limits.max_acquires = limits.max_requests = 32;
      limits.max_flows_per_core = limits.max_outputs_per_core = 64;
      limits.max_egress_per_core = 4;
    }
    mesh_.start_all();
    mesh_.run_for(from_ms(60));
  }

  void run() {
    for (int steps = 0; !in_.empty() && steps < 150 && !testing::Test::HasFatalFailure(); ++steps) step();
    settle();
  }

 private:
  uint32_t node() { return in_.below(kNodes); }
  trunkline::core::TrackId track() { return test_track(in_.below(kTracks)); }
  // One that was given out, or the next.
  uint64_t handle() { return 1 + in_.u8() % (next_ + 1); }

  void step() {
    const uint32_t i = node();
    switch (in_.below(14)) {
      case 0:
        if (free_handle(i)) mesh_.publish(i, last_, track(), in_.below(4), in_.flag() ? "codec" : "");
        break;
      case 1:
        mesh_.unpublish(i, handle());
        break;
      case 2:
      case 3:
        if (!free_handle(i)) break;
        mesh_.acquire(i, last_, track(), from_ms(in_.below(200)),
                      in_.flag() ? from_ms(in_.below(100)) : Nanos{-1});
        asked_[i].insert(last_);
        break;
      case 4:
        if (!free_handle(i)) break;
        mesh_.acquire_egress(i, last_, track());
        asked_[i].insert(last_);
        break;
      case 5:
        mesh_.release(i, handle());
        break;
      case 6:
        mesh_.hint(i, track(), node());
        break;
      case 7:
        wire(i);
        break;
      case 8:
        machine(i);
        break;
      case 9:
        lie(i);
        break;
      case 10:
        strange_handshake(i);
        break;
      case 11:
        mesh_.send_media(i, track());
        break;
      case 12:
        drain(i);
        break;
      default:
        mesh_.run_for(from_ms(in_.u8()));
        break;
    }
  }
  // The handle of the next command, when the host may use it: none that it still holds.
  bool free_handle(uint32_t i) {
    last_ = ++next_;
    return mesh_.node(i).running && !mesh_.node(i).paused;
  }
  void wire(uint32_t i) {
    MeshHarness::Wire wire;
    wire.delay = from_ms(1 + in_.below(40));
    wire.loss = in_.below(4) * 0.2;
    wire.cut = in_.below(4) == 3;
    mesh_.wire(i, (i + 1 + in_.below(2)) % kNodes) = wire;
  }
  void machine(uint32_t i) {
    MeshHarness::Node& node = mesh_.node(i);
    switch (in_.below(4)) {
      case 0:
        if (node.running && !node.paused) mesh_.pause(i);
        break;
      case 1:
        if (node.paused) mesh_.resume(i);
        break;
      case 2:
        if (!node.running) mesh_.restart(i);
        break;
      default:
        if (!node.running) break;
        mesh_.crash(i);
        node.heard.clear();  // its host is gone with it
        asked_[i].clear();
        break;
    }
  }
  void drain(uint32_t i) {
    HostCommand c;
    c.kind = HostCommandKind::kDrain;
    c.submitted = mesh_.now();
    c.on = in_.flag();
    c.node = {in_.below(5)};
    if (mesh_.node(i).running) mesh_.give_command(i, c);
  }
  // A control segment of an authenticated peer that says anything.
  void lie(uint32_t i) {
    MeshHarness::Node& node = mesh_.node(i);
    if (!node.running || node.paused || node.sessions.empty()) return;
    auto session = node.sessions.begin();
    std::advance(session, in_.u8() % node.sessions.size());
    Frame frame;
    frame.kind = FrameKind::kControl;
    frame.link = session->second.link;
    frame.session_index = in_.below(8) == 7 ? in_.u32() : session->second.receive_index;
    store_be32(&frame.bytes[0], in_.below(8) == 7 ? in_.u32() : in_.below(12));
    store_be32(&frame.bytes[4], in_.below(8) == 7 ? in_.u32() : in_.below(8));
    store_be64(&frame.bytes[8], in_.u8());
    frame.bytes[16] = 1;
    size_t length = 17;
    for (uint32_t messages = 1 + in_.below(3); messages > 0; --messages) length += message(frame, length);
    store_be32(&frame.bytes[length], crc32c({frame.bytes.data(), length}));
    frame.length = static_cast<uint16_t>(length + 4);
    mesh_.give_foreign_frame(i, frame);
    lied_ = true;
  }
  size_t message(Frame& frame, size_t at) {
    const auto out =
        std::span(frame.bytes).subspan(at, std::min<size_t>(kMaxMessageBytes, frame.bytes.size() - at - 4));
    const Label label{in_.flag() ? in_.u32() : mesh_.newest_flow(node()).label.value};
    const uint64_t request = in_.flag() ? in_.u64() : in_.u8();
    switch (in_.below(7)) {
      case 0:
        return encode(Announce{track(), in_.u8(), in_.flag(), static_cast<TrafficClass>(in_.below(4))}, out);
      case 1:
        return encode(Withdraw{track(), in_.u8()}, out);
      case 2:
        return encode(SnapshotEnd{}, out);
      case 3: {
        Acquire m;
        m.request_id = request;
        m.track = track();
        m.label = label;
        m.owner_core = {static_cast<uint8_t>(in_.below(16))};
        m.budget_us = in_.u32();
        m.hop_limit = in_.u8();
        m.believed_generation = in_.u8();
        m.path_length = static_cast<uint8_t>(in_.below(9));
        for (auto& n : m.path) n = {1 + in_.below(6)};
        return encode(m, out);
      }
      case 4: {
        Answer m;
        m.request_id = request;
        m.outcome = static_cast<Outcome>(in_.below(14));
        m.authoritative = in_.flag(), m.flowing = in_.flag(), m.pending = in_.flag();
        m.generation = in_.u8();
        m.node = {in_.below(6)};
        m.feedback_label = label;
        m.core = {static_cast<uint8_t>(in_.below(16))};
        m.retry_after_us = in_.u32();
        m.next_by_us = in_.u32();
        m.path_length = static_cast<uint8_t>(in_.below(9));
        for (auto& n : m.path) n = {1 + in_.below(6)};
        return encode(m, out);
      }
      case 5:
        return encode(Release{request, label, track()}, out);
      default:
        return encode(Ended{request, track(), label, static_cast<Outcome>(in_.below(14)), in_.u8()}, out);
    }
  }
  // A handshake datagram of anybody: any bytes, or with a CRC that fits, which in the null suite is all that
  // it takes.
  void strange_handshake(uint32_t i) {
    if (!mesh_.node(i).running || mesh_.node(i).paused) return;
    Frame frame;
    frame.kind = FrameKind::kHandshake;
    frame.address = UdpAddress::v4(198, 18, 0, static_cast<uint8_t>(1 + in_.below(4)), 7'000);
    DatagramHeader header;
    header.type = static_cast<DatagramType>(in_.below(8));
    header.session_index = in_.flag() ? 0 : in_.u32();
    frame.bytes.fill(0);
    encode_header(frame.bytes.data(), header);
    const auto payload = in_.counted16();
    const size_t room = kMaxHandshakeBytes - kNullHandshakeOverhead;
    const size_t n = std::min(payload.size(), room);
    store_be16(&frame.bytes[12 + 32], static_cast<uint16_t>(n));
    std::copy_n(payload.begin(), n, &frame.bytes[12 + 34]);
    const bool whole = in_.below(8) != 7;
    frame.length = static_cast<uint16_t>(whole ? kMaxFrameBytes : 12 + in_.u16() % kMaxHandshakeBytes);
    if (whole) {
      std::vector<uint8_t> covered{static_cast<uint8_t>(header.type)};
      covered.insert(covered.end(), &frame.bytes[12], &frame.bytes[kMaxFrameBytes - 4]);
      store_be32(&frame.bytes[kMaxFrameBytes - 4], crc32c(covered));
    }
    mesh_.give_foreign_frame(i, frame);
    lied_ = true;
  }

  // All wires are good, all nodes run, and nobody wants anything any more.
  void settle() {
    mesh_.all_wires({});
    for (uint32_t i = 0; i < kNodes; ++i) {
      if (mesh_.node(i).paused) mesh_.resume(i);
    }
    mesh_.run_for(from_ms(1'200));
    for (uint32_t i = 0; i < kNodes; ++i) {
      if (!mesh_.node(i).running) continue;
      if (!mesh_.node(i).was_paused) {
        EXPECT_EQ(mesh_.mesh(i).counters().value(MeshCounter::acquires_overdue), 0u) << "node " << i;
      }
      for (const uint64_t handle : asked_[i]) {
        EXPECT_EQ(mesh_.outcomes(i, handle).size(), 1u) << "node " << i << ", handle " << handle;
        mesh_.release(i, handle);
      }
      for (uint64_t handle = 1; handle <= next_; ++handle) mesh_.unpublish(i, handle);
      EXPECT_TRUE(mesh_.node(i).errors.empty());
    }
    if (lied_) return;  // a liar's requests live as long as its session
    mesh_.run_for(from_ms(15'000));
    for (uint32_t i = 0; i < kNodes; ++i) {
      if (!mesh_.node(i).running) continue;
      const MeshNode::Usage usage = mesh_.mesh(i).usage();
      EXPECT_EQ(usage.acquires + usage.requests + usage.publications + usage.subscriptions_up, 0u)
          << "node " << i;
    }
  }

  trunkline::fuzz::Input in_;
  MeshHarness mesh_{7};
  std::array<std::set<uint64_t>, kNodes> asked_;
  uint64_t next_ = 0, last_ = 0;
  bool lied_ = false;
};

}  // namespace

TRUNKLINE_FUZZ_TARGET(mesh_node) {
  Story(input).run();
}
