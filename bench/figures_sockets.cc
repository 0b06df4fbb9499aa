// `tools/dev figures sockets`: the relay on kernel sockets against what one would write without it.
//
// Three network namespaces in a row (bench/sockets/veth_lab.h). The relay runs on CPU 0, the generator on CPU
// 1; ours and the peer's runs alternate. CPU-ns per packet is the forwarding thread's scheduler time,
// transmit softirq included, divided by the media packets that left. Ours parses, routes by label, re-bundles
// and re-frames (null suite; in sockets.sealed it opens and seals by AES-128-GCM as well); the peers copy.
//
// usage: figures_sockets [--repeat N] [--seconds S] [name prefix]...
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

#include "bench/figure.h"
#include "bench/sockets/forwarders.h"
#include "bench/sockets/generator.h"
#include "bench/sockets/relay_under_test.h"
#include "bench/sockets/veth_lab.h"
#include "relay/sealed_suite.h"

namespace trunkline::bench {
namespace {

constexpr uint16_t kListenPort = 7000, kSinkPort = 9000;
constexpr double kPacedPerS = 50'000;
constexpr double kOpusStreams = 500, kOpusPerS = 50;
constexpr uint32_t kSleepUs = 250;
constexpr uint32_t kAudioBytes = 172, kVideoBytes = 1200;
constexpr uint32_t kAudioPerDatagram = 8;  // 12 + 8 x 180 + 16 = 1468 bytes: what a 1500-byte MTU carries

struct Options {
  int repeat = 5;
  double seconds = 0.6;
  std::vector<std::string> only;
};

// Runs `body` in a child of its own on `cpu` in `place`; the child writes one Result into a pipe.
template <class Result>
pid_t spawn(const VethLab& lab, VethLab::Place place, int cpu, int fd, const std::function<Result()>& body) {
  std::fflush(nullptr);
  const pid_t pid = fork();
  if (pid != 0) return pid;
  if (!lab.enter(place)) _exit(3);
  pin(cpu);
  const Result result = body();
  _exit(fd < 0 || write(fd, &result, sizeof result) == static_cast<ssize_t>(sizeof result) ? 0 : 3);
}

template <class Result>
Result under_load(const VethLab& lab, const Load& load, const std::function<Result()>& relay) {
  int pipe_fds[2];
  if (pipe(pipe_fds) != 0) std::exit(3);
  const pid_t measured = spawn<Result>(lab, VethLab::Place::kRelay, 0, pipe_fds[1], relay);
  usleep(60'000);  // sockets are bound before the load begins
  const pid_t loader =
      spawn<uint64_t>(lab, VethLab::Place::kGenerator, 1, -1, [&load] { return generate(load); });
  Result result{};
  close(pipe_fds[1]);
  const bool ok = read(pipe_fds[0], &result, sizeof result) == static_cast<ssize_t>(sizeof result);
  close(pipe_fds[0]);
  int status = 0;
  waitpid(measured, &status, 0);
  waitpid(loader, nullptr, 0);
  if (!ok) {
    std::fprintf(stderr, "figures: the measuring process ended early, with status 0x%x\n",
                 static_cast<unsigned>(status));
    std::exit(3);
  }
  return result;
}

Load addressed(Load load, double seconds, double datagrams_per_s) {
  load.source_ip = VethLab::kGeneratorIp;
  load.destination_ip = VethLab::kRelayIp;
  load.destination_port = kListenPort;
  load.seconds = seconds;
  load.datagrams_per_s = datagrams_per_s;
  return load;
}

// What a peer without Trunkline receives: one packet per datagram.
Load plain_load(uint32_t sources, uint32_t bytes, uint32_t run_datagrams, bool mix) {
  Load load;
  load.sources = sources;
  for (uint32_t i = 0; i < sources * (mix ? 4 : 1); ++i) {
    Load::Run run;
    run.source = mix ? i / 4 : i;
    run.segments = run_datagrams;
    run.segment_bytes = !mix ? bytes : i % 4 == 3 ? kAudioBytes : bytes - 1 + i % 4;
    // The mix has as many audio as video packets on both sides: 8 per mesh datagram there, runs 8/3 as long
    // here would exceed 64 datagrams, so audio runs are repeated instead.
    run.fill = [n = run_datagrams, size = run.segment_bytes](uint8_t* out, uint64_t now_ns) {
      for (uint32_t d = 0; d < n; ++d) {
        for (uint32_t k = 0; k < 8; ++k)
          out[d * size + 12 + k] = static_cast<uint8_t>(now_ns >> (56 - 8 * k));
      }
    };
    load.runs.push_back(run);
    if (mix && i % 4 == 3) {
      for (uint32_t k = 1; k < kAudioPerDatagram; ++k) load.runs.push_back(run);
    }
  }
  return load;
}

// A figure of nothing is a failure, not a zero.
double per_packet(uint64_t amount, uint64_t packets) {
  if (packets == 0) {
    std::fprintf(stderr, "figures: a measured run relayed nothing\n");
    std::exit(1);
  }
  return static_cast<double>(amount) / static_cast<double>(packets);
}

class Bench {
 public:
  Bench(const VethLab& lab, const Options& options) : lab_(lab), options_(options) {}

  bool wanted(const std::string& name) const {
    if (options_.only.empty()) return true;
    for (const std::string& prefix : options_.only) {
      if (name.rfind(prefix, 0) == 0) return true;
    }
    return false;
  }

  // Whether a row may be wanted whose name begins like one of these.
  bool wanted_any(std::initializer_list<std::string> groups) const {
    if (options_.only.empty()) return true;
    for (const std::string& group : groups) {
      for (const std::string& prefix : options_.only) {
        if (prefix.rfind(group, 0) == 0 || group.rfind(prefix, 0) == 0) return true;
      }
    }
    return false;
  }

  RelayResult relay(const MeshTraffic& traffic, double datagrams_per_s = 0, uint32_t sleep_us = 0,
                    uint32_t bundle_wait_us = 0, double seconds = 0) const {
    RelayOptions o;
    o.traffic = traffic;
    o.port = port_;
    o.sleep_us = sleep_us;
    o.stamp = datagrams_per_s > 0;
    o.bundle_wait_us = bundle_wait_us;
    o.listen_ip = VethLab::kRelayIp;
    o.listen_port = kListenPort;
    o.to_ip = VethLab::kSinkIp;
    o.to_port = kSinkPort;
    o.seconds = seconds > 0 ? seconds : options_.seconds;
    const Load load = addressed(mesh_load(traffic), o.seconds + 0.6, datagrams_per_s);
    return under_load<RelayResult>(lab_, load, [&o] { return run_relay(o); });
  }

  ForwarderResult forwarder(Forwarder kind, Pace pace, const Load& load, uint32_t destinations = 1) const {
    ForwarderOptions o;
    o.kind = kind;
    o.pace = pace;
    o.sleep_us = kSleepUs;
    o.listen_ip = VethLab::kRelayIp;
    o.listen_port = kListenPort;
    o.to_ip = VethLab::kSinkIp;
    o.to_port = kSinkPort;
    o.destinations = destinations;
    o.seconds = options_.seconds + 0.06;
    o.stamp = load.datagrams_per_s > 0;
    return under_load<ForwarderResult>(lab_, addressed(load, o.seconds, load.datagrams_per_s),
                                       [&o] { return forward(o); });
  }

  // The cheaper of the two socket ports, measured at the load of the rows that follow.
  void choose_port(const MeshTraffic& traffic, double datagrams_per_s, uint32_t sleep_us) {
    double best = 0;
    for (relay::PortChoice choice : {relay::PortChoice::kMmsg, relay::PortChoice::kUring}) {
      port_ = choice;
      const RelayResult r = relay(traffic, datagrams_per_s, sleep_us);
      const double cost = per_packet(r.cpu_ns, r.packets);
      std::fprintf(stderr, "  port %-6s %7.1f CPU-ns per packet, %.2f Mpps\n", r.port, cost,
                   static_cast<double>(r.packets) / r.seconds * 1e-6);
      if (cost > 0 && (best == 0 || cost < best)) {
        best = cost;
        best_port_ = choice;
      }
    }
    port_ = best_port_;
  }

  void cost_row(const std::string& name, double goal, const MeshTraffic& traffic,
                const std::string& peer_name, Forwarder peer, const Load& peer_load, uint32_t destinations) {
    if (!wanted(name)) return;
    Figure f{name, "CPU-ns/packet", peer_name, goal};
    for (int i = 0; i < options_.repeat; ++i) {
      const RelayResult ours = relay(traffic);
      if (traffic.suite != relay::Suite::kNull && ours.drops != 0) give_up(name, ours.drops);
      const ForwarderResult theirs = forwarder(peer, Pace::kBlock, peer_load, destinations);
      f.ours.push_back(per_packet(ours.cpu_ns, ours.packets));
      f.peers.push_back(per_packet(theirs.cpu_ns, theirs.packets));
      char note[160];
      std::snprintf(note, sizeof note, "port %s; %.2f against %.2f Mpps; drops %llu", ours.port,
                    static_cast<double>(ours.packets) / ours.seconds * 1e-6,
                    static_cast<double>(theirs.packets) / theirs.seconds * 1e-6,
                    static_cast<unsigned long long>(ours.drops));
      f.note = note;
    }
    print(f);
  }

  void paced_row(const std::string& name, double goal, const std::string& peer_name, Pace pace) {
    if (!wanted(name)) return;
    MeshTraffic single;
    single.run_datagrams = 1;
    Load peer = plain_load(1, kVideoBytes, 1, false);
    peer.datagrams_per_s = kPacedPerS;
    Figure f{name, "CPU-ns/packet", peer_name, goal};
    for (int i = 0; i < options_.repeat; ++i) {
      const RelayResult ours = relay(single, kPacedPerS, kSleepUs);
      const ForwarderResult theirs = forwarder(Forwarder::kMmsg, pace, peer);
      f.ours.push_back(per_packet(ours.cpu_ns, ours.packets));
      f.peers.push_back(per_packet(theirs.cpu_ns, theirs.packets));
      char note[160];
      std::snprintf(note, sizeof note, "port %s; 50 kpps; p99 from send to forward %.0f us against %.0f us",
                    ours.port, ours.p99_us, theirs.p99_us);
      f.note = note;
    }
    print(f);
  }

  void bundle_row(const std::string& name, double goal, double datagrams_per_s, uint32_t sleep_us,
                  uint32_t wait_us) {
    if (!wanted(name)) return;
    MeshTraffic audio;
    audio.payload_bytes = kAudioBytes;
    audio.traffic_class = relay::TrafficClass::kAudio;
    if (datagrams_per_s > 0) audio.run_datagrams = 1;
    Figure f{name, "datagrams/packet", "one packet per datagram", goal};
    for (int i = 0; i < options_.repeat; ++i) {
      const RelayResult ours = relay(audio, datagrams_per_s, sleep_us, wait_us);
      f.ours.push_back(per_packet(ours.datagrams, ours.packets));
      f.peers.push_back(1);
      char note[160];
      std::snprintf(note, sizeof note, "port %s; bundle_wait_us %u; arrives one per datagram%s", ours.port,
                    wait_us, datagrams_per_s > 0 ? "; 500 Opus streams at 50/s" : "; saturated");
      f.note = note;
    }
    print(f);
  }

 private:
  // What was not authentic costs half of what it should.
  [[noreturn]] static void give_up(const std::string& name, uint64_t drops) {
    std::fprintf(stderr, "figures: %s: the relay dropped %llu packets\n", name.c_str(),
                 static_cast<unsigned long long>(drops));
    std::exit(1);
  }

  const VethLab& lab_;
  const Options& options_;
  relay::PortChoice port_ = relay::PortChoice::kAuto;
  relay::PortChoice best_port_ = relay::PortChoice::kMmsg;
};

// The same traffic as in sockets.plain, opened and sealed, against the same forwarder, which still copies.
void sealed_rows(Bench& bench, MeshTraffic video, MeshTraffic audio, const std::string& peer) {
  if (!bench.wanted_any({"sockets.sealed"})) return;
  video.suite = audio.suite = relay::Suite::kAes128Gcm;
  if (const auto made = relay::SealedSuite::make(video.suite, 1); !made) {
    std::fprintf(stderr, "figures: sockets.sealed skipped: %s\n", made.error().text.c_str());
    return;
  }
  bench.choose_port(video, 0, 0);
  bench.cost_row("sockets.sealed.1200", 0.25, video, peer, Forwarder::kMmsg,
                 plain_load(1, kVideoBytes, 16, false), 1);
  bench.cost_row("sockets.sealed.172", 0.08, audio, peer, Forwarder::kMmsg,
                 plain_load(1, kAudioBytes, 16, false), 1);
}

void run(Bench& bench) {
  const std::string mmsg = "recvmmsg/sendmmsg, batch 32";
  MeshTraffic video;
  MeshTraffic audio;
  audio.payload_bytes = kAudioBytes;
  audio.records = kAudioPerDatagram;
  audio.traffic_class = relay::TrafficClass::kAudio;
  MeshTraffic peers32 = video;
  peers32.peers_in = peers32.peers_out = 32;
  peers32.flows = 512;
  MeshTraffic mix = video;
  mix.mix = true;

  if (bench.wanted_any({"sockets.plain", "sockets.floor", "sockets.peers32", "sockets.mix"}))
    bench.choose_port(video, 0, 0);
  bench.cost_row("sockets.plain.1200", 0.15, video, mmsg, Forwarder::kMmsg,
                 plain_load(1, kVideoBytes, 16, false), 1);
  bench.cost_row("sockets.plain.172", 0.04, audio, mmsg, Forwarder::kMmsg,
                 plain_load(1, kAudioBytes, 16, false), 1);
  bench.cost_row("sockets.floor.1200", 1.2, video, "bare UDP_GRO + UDP_SEGMENT", Forwarder::kGroGso,
                 plain_load(1, kVideoBytes, 16, false), 1);
  bench.cost_row("sockets.peers32", 0.3, peers32, mmsg, Forwarder::kMmsg,
                 plain_load(32, kVideoBytes, 16, false), 32);
  bench.cost_row("sockets.mix", 0.25, mix, mmsg, Forwarder::kMmsg, plain_load(1, kVideoBytes, 16, true), 1);
  sealed_rows(bench, video, audio, mmsg);
  MeshTraffic single = video;
  single.run_datagrams = 1;
  if (bench.wanted_any({"sockets.paced", "sockets.bundle"})) bench.choose_port(single, kPacedPerS, kSleepUs);
  bench.paced_row("sockets.paced.1200", 0.6, mmsg + ", sleeps 250 us when empty", Pace::kSleep);
  bench.paced_row("sockets.paced.wake.1200", 0.3, mmsg + ", wakes per packet", Pace::kBlock);
  bench.bundle_row("sockets.bundle", 0.2, 0, 0, 0);
  bench.bundle_row("sockets.bundle.wait", 0.2, kOpusStreams * kOpusPerS, kSleepUs, 250);
}

}  // namespace
}  // namespace trunkline::bench

int main(int argc, char** argv) {
  trunkline::bench::Options options;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--repeat") == 0 && i + 1 < argc) {
      options.repeat = std::atoi(argv[++i]);
    } else if (std::strcmp(argv[i], "--seconds") == 0 && i + 1 < argc) {
      options.seconds = std::atof(argv[++i]);
    } else {
      options.only.emplace_back(argv[i]);
    }
  }
  trunkline::bench::VethLab lab;
  std::string error;
  if (!trunkline::bench::VethLab::make(true, lab, error)) {
    std::fprintf(stderr, "figures sockets: %s\n", error.c_str());
    return 77;
  }
  trunkline::bench::Bench bench(lab, options);
  trunkline::bench::run(bench);
  return 0;
}
