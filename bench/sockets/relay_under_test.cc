// The relay under test and its load. The commands that the mesh thread would send are put into the rings by
// hand; the loop is the data core's: run, and sleep in the port when there was nothing to do.
#include "bench/sockets/relay_under_test.h"

#include <sys/prctl.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>

#include "bench/sockets/forwarders.h"
#include "core/histogram.h"
#include "io/page_source.h"
#include "io/port_factory.h"
#include "relay/null_suite.h"
#include "relay/packet_path.h"
#include "tests/support/sealed_sessions.h"

namespace trunkline::bench {
namespace {

using namespace relay;

constexpr uint16_t kNonce = 0x5a5a;
constexpr CoreId kCore0{0};
constexpr uint64_t kWaitForLoadNs = 2'000'000'000;

Nanos now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
}

core::UdpAddress address(const char* ip, uint16_t port) {
  return core::UdpAddress::parse(std::string(ip) + ":" + std::to_string(port)).value();
}

std::unique_ptr<Crypto> crypto_of(Suite suite, core::Rng& rng) {
  if (suite == Suite::kNull) return std::make_unique<NullCrypto>(rng);
  return std::make_unique<tests::SealedSessions>(suite);
}

// The same secrets at both ends, without a handshake.
SessionKeys keys_of(Suite suite, uint32_t peer, bool relay_side) {
  SessionKeys keys;
  keys.suite = suite;
  keys.send_secret.fill(static_cast<uint8_t>(relay_side ? 1 + peer : 101 + peer));
  keys.receive_secret.fill(static_cast<uint8_t>(relay_side ? 101 + peer : 1 + peer));
  return keys;
}

constexpr uint32_t slot_of(uint32_t link) {
  return link * 2;
}
constexpr uint32_t index_of(uint32_t link) {
  return SessionIndex::make(kCore0, slot_of(link), kNonce);
}
constexpr Label label_of(uint32_t flow) {
  return flow_label(flow, kCore0, 0, 1);
}

// What one flow's packets look like: audio flows are small.
bool is_audio(const MeshTraffic& t, uint32_t flow) {
  return t.mix ? flow % 2 == 1 : t.traffic_class == TrafficClass::kAudio;
}

NodeConfig config_for(const RelayOptions& o) {
  NodeConfig config;
  config.id = {1};
  config.name = "relay";
  config.cluster = "lab-bench";
  config.lab = true;
  config.listen = address(o.listen_ip, o.listen_port);
  config.bundle_wait = core::from_us(o.bundle_wait_us);
  config.idle_bound = core::from_us(o.sleep_us != 0 ? o.sleep_us : 250);
  config.limits.max_peers = o.traffic.peers_in + o.traffic.peers_out;
  return config;
}

void push(CoreRings& rings, const CoreCommand& command) {
  if (!rings.commands.try_push(command)) {
    std::fprintf(stderr, "bench: the command ring is too short for this set-up\n");
    std::exit(3);
  }
}

void install_session(CoreRings& rings, Suite suite, uint32_t link, const core::UdpAddress& peer) {
  CoreCommand c;
  c.kind = CoreCommandKind::kSessionInstall;
  c.session.slot = slot_of(link);
  c.session.link = static_cast<LinkId>(link);
  c.session.receive_index = index_of(link);
  c.session.keys = keys_of(suite, link, true);
  c.session.peer_address = peer;
  c.session.peer_cores = 1;
  c.session.peer_ports[0] = peer.port;
  c.session.peer_indexes[0] = index_of(link);
  push(rings, c);
  c.kind = CoreCommandKind::kSessionActivate;
  c.slot = slot_of(link);
  push(rings, c);
}

void install_flow(CoreRings& rings, const MeshTraffic& t, uint32_t flow) {
  CoreCommand c;
  c.kind = CoreCommandKind::kFlowOpen;
  c.open.flow = flow;
  c.open.label = label_of(flow);
  c.open.source = FlowSource::kUpstream;
  c.open.traffic_class = is_audio(t, flow) ? TrafficClass::kAudio : TrafficClass::kVideoBase;
  c.open.link = static_cast<LinkId>(flow % t.peers_in);
  c.open.keyframe_interval = core::from_ms(200);
  push(rings, c);
  c.kind = CoreCommandKind::kOutputAdd;
  c.change.flow = flow;
  c.change.output.kind = OutputKind::kLink;
  c.change.output.target = static_cast<uint16_t>(t.peers_in + flow % t.peers_out);
  c.change.output.label = label_of(flow);
  push(rings, c);
}

// Passes everything on, and reads the send time out of each datagram that leaves (the null suite leaves it
// readable).
class StampedPort final : public io::Port {
 public:
  explicit StampedPort(io::Port& inner) : inner_(inner) {}
  core::Result<uint16_t> open_endpoint(const io::EndpointOptions& o) override {
    return inner_.open_endpoint(o);
  }
  void enter_thread() noexcept override { inner_.enter_thread(); }
  void leave_thread() noexcept override { inner_.leave_thread(); }
  core::UdpAddress endpoint_address(uint16_t e) const override { return inner_.endpoint_address(e); }
  uint32_t receive_burst(std::span<core::Packet> out, Nanos t) noexcept override {
    return inner_.receive_burst(out, t);
  }
  void give_back(std::span<core::Packet> packets) noexcept override { inner_.give_back(packets); }
  uint32_t transmit_burst(std::span<core::Packet> packets, Nanos t) noexcept override {
    constexpr uint32_t kTimeAt = kHeaderBytes + kRecordHeaderBytes + 12;
    const Nanos clock = now();
    for (const core::Packet& p : packets) {
      const uint32_t step = p.segment_size != 0 ? p.segment_size : p.length;
      for (uint32_t at = 0; at + kTimeAt + 8 <= p.length; at += step) {
        const auto sent = static_cast<int64_t>(load_be64(p.data + at + kTimeAt));
        if (sent > 0 && sent <= clock.ns) took.record(clock.ns - sent);
      }
    }
    return inner_.transmit_burst(packets, t);
  }
  void poll(Nanos t) noexcept override { inner_.poll(t); }
  Nanos next_due() const noexcept override { return inner_.next_due(); }
  void wait(io::SleepUntil until, Nanos bound) noexcept override { inner_.wait(until, bound); }
  void wake() noexcept override { inner_.wake(); }
  const io::PortCounters& counters() const noexcept override { return inner_.counters(); }
  const char* name() const noexcept override { return inner_.name(); }
  std::string describe() const override { return inner_.describe(); }

  core::Histogram took;

 private:
  io::Port& inner_;
};

struct Totals {
  uint64_t packets, datagrams, drops;
};

Totals totals(const PacketPath& path, const io::Port& port) {
  Totals t{path.counters().value(CoreCounter::units_forwarded),
           port.counters().value(io::PortCounter::tx_datagrams), 0};
  for (uint32_t r = 0; r < static_cast<uint32_t>(DropReason::kCount); ++r) {
    t.drops += path.drops().value(static_cast<DropReason>(r));
  }
  return t;
}

// Discards what the path reports to a mesh thread that is not there.
void drain(CoreRings& rings) {
  CoreEvent event;
  while (rings.events.try_pop(event)) {
  }
}

// The loop: until the load has begun, and for the time that is measured.
RelayResult measure(const RelayOptions& o, const NodeConfig& config, PacketPath& path, io::Port& port,
                    CoreRings& rings) {
  RelayResult result;
  std::snprintf(result.port, sizeof result.port, "%s", port.name());
  Totals before{};
  uint64_t cpu_before = 0;
  Nanos start = now(), end{};
  const Nanos give_up = start + core::from_ns(kWaitForLoadNs);
  uint32_t empty = 0;
  for (Nanos t = now();; t = now()) {
    const uint32_t work = path.run_once(t);
    if (work != 0) {
      empty = 0;
    } else if (!o.busy && ++empty > (o.sleep_us != 0 ? 0 : 4)) {
      const bool amortise = o.sleep_us != 0;
      Nanos bound = amortise ? config.idle_bound : core::from_ms(1);
      const Nanos due = path.next_due();
      if (due - t < bound) bound = due > t ? due - t : Nanos{0};
      if (bound > Nanos{0}) port.wait(amortise ? io::SleepUntil::kBatch : io::SleepUntil::kAnyPacket, bound);
    }
    drain(rings);
    if (end == Nanos{0}) {
      const Totals seen = totals(path, port);
      if (seen.packets > 20'000 || (seen.packets > 500 && o.sleep_us != 0)) {  // warm
        before = seen;
        cpu_before = thread_cpu_ns();
        start = t;
        end = t + core::from_ns(static_cast<int64_t>(o.seconds * 1e9));
      } else if (t > give_up) {
        break;
      }
    } else if (t >= end) {
      break;
    }
  }
  const Totals after = totals(path, port);
  result.cpu_ns = thread_cpu_ns() - cpu_before;
  result.packets = after.packets - before.packets;
  result.datagrams = after.datagrams - before.datagrams;
  result.drops = after.drops - before.drops;
  result.seconds = static_cast<double>((now() - start).ns) * 1e-9;
  return result;
}

[[noreturn]] void give_up(const core::Error& error) {
  std::fprintf(stderr, "bench: %s\n", error.text.c_str());
  std::exit(3);
}

}  // namespace

RelayResult run_relay(const RelayOptions& o) {
  io::MmapPageSource pages;
  const io::PortKind kind = o.port == PortChoice::kMmsg    ? io::PortKind::kMmsg
                            : o.port == PortChoice::kUring ? io::PortKind::kUring
                                                           : io::PortKind::kAuto;
  io::PortOptions port_options;
  port_options.pages = &pages;
  auto made = io::make_port(kind, port_options, nullptr);
  if (!made) give_up(made.error());
  return run_relay_on(o, std::move(made).value(), pages, nullptr);
}

RelayResult run_relay_on(const RelayOptions& o, std::unique_ptr<io::Port> inner, core::PageSource& pages,
                         const std::function<void()>& when_open) {
  prctl(PR_SET_TIMERSLACK, 1000);
  NodeConfig config = config_for(o);
  core::Rng rng(7);
  const std::unique_ptr<Crypto> crypto = crypto_of(o.traffic.suite, rng);
  CoreRings rings(config.limits, 1);
  StampedPort stamped(*inner);
  io::Port& port = o.stamp ? static_cast<io::Port&>(stamped) : *inner;
  auto path = std::make_unique<PacketPath>(config, kCore0, port, *crypto, pages, rings);
  if (const auto opened = path->open_mesh(config.listen); !opened) give_up(opened.error());
  if (when_open) when_open();
  port.enter_thread();
  for (uint32_t i = 0; i < o.traffic.peers_in; ++i) {
    install_session(rings, o.traffic.suite, i, address("198.18.1.1", static_cast<uint16_t>(20'000 + i)));
  }
  for (uint32_t i = 0; i < o.traffic.peers_out; ++i) {
    install_session(rings, o.traffic.suite, o.traffic.peers_in + i,
                    address(o.to_ip, static_cast<uint16_t>(o.to_port + i)));
  }
  for (uint32_t f = 0; f < o.traffic.flows; ++f) install_flow(rings, o.traffic, f);
  RelayResult result = measure(o, config, *path, port, rings);
  result.p99_us = static_cast<double>(stamped.took.percentile(99)) * 1e-3;
  port.leave_thread();
  // What is in flight goes back to the path's pool, which therefore ends later; or the path's stock of frames
  // to the port.
  if (port.frames() != nullptr) path.reset();
  inner.reset();
  return result;
}

namespace {

// The state of one peer that sends: its session with the relay and the flows that it feeds.
struct Source {
  std::unique_ptr<SessionCrypto> session;
  uint64_t counter = 0;
  uint32_t next_flow = 0;
};

// All of them, made when the first is asked for.
class Sources {
 public:
  explicit Sources(const MeshTraffic& traffic) : traffic_(traffic) {}

  Source& at(uint32_t i) {
    if (all_.empty()) make();
    return all_[i];
  }

 private:
  void make() {
    crypto_ = crypto_of(traffic_.suite, rng_);
    all_.resize(traffic_.peers_in);
    for (uint32_t i = 0; i < traffic_.peers_in; ++i) {
      all_[i].session = crypto_->make_session();
      crypto_->key_session(*all_[i].session, keys_of(traffic_.suite, i, false));
    }
  }

  MeshTraffic traffic_;
  core::Rng rng_{7};
  std::unique_ptr<Crypto> crypto_;
  std::vector<Source> all_;
};

// One datagram of `records` equal records; returns its length, tag included.
uint32_t write_datagram(uint8_t* out, const MeshTraffic& t, Source& s, uint32_t source, uint32_t records,
                        uint32_t bytes, uint64_t now_ns) {
  DatagramHeader h;
  h.counter = s.counter++;
  h.session_index = index_of(source);
  encode_header(out, h);
  uint32_t at = kHeaderBytes;
  for (uint32_t i = 0; i < records; ++i) {
    // Flows of this source: source, source + peers_in, ...
    const uint32_t flow = source + s.next_flow * t.peers_in;
    s.next_flow = source + (s.next_flow + 1) * t.peers_in < t.flows ? s.next_flow + 1 : 0;
    RecordHeader r;
    r.label = label_of(flow);
    r.kind = RecordKind::kMedia;
    r.traffic_class = bytes < 400 ? TrafficClass::kAudio : TrafficClass::kVideoBase;
    r.frame_end = true;
    r.ttl = 4;
    r.length = static_cast<uint16_t>(bytes);
    encode_record(out + at, r);
    uint8_t* rtp = out + at + kRecordHeaderBytes;
    std::memset(rtp, 0, 12);
    rtp[0] = 0x80;
    rtp[1] = 96;
    store_be16(rtp + 2, static_cast<uint16_t>(s.counter));
    store_be32(rtp + 8, flow + 1);
    store_be64(rtp + 12, now_ns);
    at += kRecordHeaderBytes + bytes;
  }
  return at;
}

}  // namespace

Load mesh_load(const MeshTraffic& t) {
  Load load;
  load.sources = t.peers_in;
  const auto sources = std::make_shared<Sources>(t);
  // With a mix, runs of video of one size alternate with runs of bundled audio: sizes differ between runs.
  const uint32_t kinds = t.mix ? 4 : 1;
  for (uint32_t i = 0; i < t.peers_in * kinds; ++i) {
    const uint32_t source = i / kinds, shape = i % kinds;
    const bool audio = t.mix && shape == 3;
    const uint32_t bytes = audio ? 172 : t.mix ? t.payload_bytes - 1 + shape : t.payload_bytes;
    const uint32_t records = audio ? 8 : t.records;
    Load::Run run;
    run.source = source;
    run.segments = t.run_datagrams;
    run.segment_bytes = kHeaderBytes + records * (kRecordHeaderBytes + bytes) + kTagBytes;
    run.fill = [sources, t, source, records, bytes, size = run.segment_bytes](uint8_t* out, uint64_t now_ns) {
      Source& s = sources->at(source);
      SealJob jobs[64];
      for (uint32_t d = 0; d < t.run_datagrams; ++d) {
        uint8_t* at = out + d * size;
        jobs[d] = {at, write_datagram(at, t, s, source, records, bytes, now_ns)};
      }
      s.session->seal(kCore0, kCore0, {jobs, t.run_datagrams});
    };
    load.runs.push_back(run);
  }
  return load;
}

}  // namespace trunkline::bench
