// path.afxdp: our DPDK port on net_af_xdp over a veth pair, copy mode, relaying mesh datagrams, beside
// testpmd's io forwarding on the same device.
//
// Both receive on r0 and send back out of it, to a station that nobody has, so that what leaves costs its
// transmit in full and the far end next to nothing (bench/sockets/veth_lab.h). The generator runs on CPU 1,
// the forwarder on CPU 0, as a process of its own; both poll without a pause, and use the driver with the
// same arguments and as many buffers. Ours opens each datagram (null suite), finds its flow among 500 and
// writes new headers; testpmd moves descriptors. CPU time is the scheduler's of the thread that forwards,
// softirq work in its context included; packets are those that the driver took to send, by each one's own
// counters.
//
// An AF_XDP socket that is bound again within a second finds its queue busy: each run waits for that.
#include "bench/path/afxdp.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netpacket/packet.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <memory>

#include "bench/path/contest.h"
#include "bench/path/relay_core.h"
#include "bench/path/testpmd.h"
#include "bench/sockets/relay_under_test.h"
#include "bench/sockets/veth_lab.h"
#include "io/dpdk_plugin.h"

namespace trunkline::bench {
namespace {

using Place = VethLab::Place;

constexpr const char* kFigure = "path.afxdp";
constexpr const char* kDevice = "net_af_xdp0,iface=r0,start_queue=0,queue_count=1";
constexpr const char* kStation = "02:00:00:00:00:02";  // of r0
constexpr uint16_t kPort = 7000, kSinkPort = 9000;
constexpr const char* kSinkIp = "198.18.1.9";  // on r0's own network
constexpr uint8_t kNobody[6] = {2, 0, 0, 0, 0, 0x99};
constexpr double kSeconds = 0.6;
constexpr double kStarts = 4, kQueueFree = 1.2;  // seconds: DPDK's start at most; see above
constexpr const char* kResult = "relayed %llu cpu_ns %llu drops %llu seconds %lf";

// ARP (RFC 826) from the sink, which is at nobody's station: who has the relay's address? So the relay knows
// where to send.
void introduce_sink() {
  std::array<uint8_t, 42> frame{};
  std::fill_n(frame.begin(), 6, uint8_t{0xff});
  std::copy_n(kNobody, 6, frame.begin() + 6);
  const std::array<uint8_t, 10> request = {0x08, 0x06, 0, 1, 0x08, 0, 6, 4, 0, 1};
  std::copy(request.begin(), request.end(), frame.begin() + 12);
  std::copy_n(kNobody, 6, frame.begin() + 22);
  inet_pton(AF_INET, kSinkIp, &frame[28]);
  inet_pton(AF_INET, VethLab::kRelayIp, &frame[38]);
  const int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(0x0806));
  sockaddr_ll to{};
  to.sll_family = AF_PACKET;
  to.sll_ifindex = static_cast<int>(if_nametoindex("g0"));
  to.sll_halen = 6;
  if (sendto(fd, frame.data(), frame.size(), 0, reinterpret_cast<sockaddr*>(&to), sizeof to) < 0)
    std::perror("bench: ARP");
  close(fd);
}

MeshTraffic video() {
  MeshTraffic traffic;
  traffic.payload_bytes = 1200;
  return traffic;
}

// Mesh datagrams for so long, from a process on CPU 1.
class Generator {
 public:
  Generator(const VethLab& lab, double seconds) {
    Load load = mesh_load(video());
    load.source_ip = VethLab::kGeneratorIp;
    load.destination_ip = VethLab::kRelayIp;
    load.destination_port = kPort;
    load.seconds = seconds;
    std::fflush(nullptr);
    pid_ = fork();
    if (pid_ != 0) return;
    if (!lab.enter(Place::kGenerator)) _exit(3);
    pin(1);
    introduce_sink();
    usleep(20'000);
    generate(load);
    _exit(0);
  }
  ~Generator() { waitpid(pid_, nullptr, 0); }
  Generator(const Generator&) = delete;
  Generator& operator=(const Generator&) = delete;

 private:
  pid_t pid_ = -1;
};

std::function<bool()> in_relay_namespace(const VethLab& lab, int cpu) {
  return [&lab, cpu] {
    if (cpu >= 0) pin(cpu);
    return lab.enter(Place::kRelay);
  };
}

std::string this_program() {
  std::array<char, 4096> path{};
  return readlink("/proc/self/exe", path.data(), path.size() - 1) > 0 ? path.data() : "figures_path";
}

struct Measured {
  double cpu_ns = 0;  // per packet
  double mpps = 0;
  unsigned long long drops = 0;
};

// False: it does not run here, `error` says why.
bool measure_ours(const VethLab& lab, double seconds, Measured& measured, std::string& error) {
  usleep(static_cast<useconds_t>(kQueueFree * 1e6));
  ChildProgram relay({this_program(), kAfxdpRelay, std::to_string(seconds)}, in_relay_namespace(lab, 0));
  if (!relay.wait_for("ready\n", kStarts)) {
    error = relay.said();
    return false;
  }
  const Generator generator(lab, seconds + 0.6);
  if (!relay.wait_for("end\n", seconds + kStarts))
    give_up("the relay on AF_XDP ended early: " + relay.said());
  unsigned long long packets = 0, cpu_ns = 0;
  double took = 0;
  const size_t at = relay.said().find("relayed");
  if (at == std::string::npos ||
      std::sscanf(relay.said().c_str() + at, kResult, &packets, &cpu_ns, &measured.drops, &took) != 4 ||
      packets == 0)
    give_up("the relay on AF_XDP relayed nothing: " + relay.said());
  measured.cpu_ns = static_cast<double>(cpu_ns) / static_cast<double>(packets);
  measured.mpps = static_cast<double>(packets) / took * 1e-6;
  return true;
}

bool measure_testpmd(const VethLab& lab, double seconds, Measured& measured, std::string& error) {
  usleep(static_cast<useconds_t>(kQueueFree * 1e6));
  Testpmd testpmd({.devices = {kDevice},
                   .mode = "io",
                   .more = {"--port-topology=loop"},
                   .prepare = in_relay_namespace(lab, -1)});
  if (!testpmd.ready()) {
    error = testpmd.said();
    return false;
  }
  const Generator generator(lab, seconds + 0.6);
  usleep(200'000);  // the load is there before it starts
  const Testpmd::Run run = testpmd.forward(seconds);
  measured.cpu_ns = run.cpu_ns_per_packet();
  measured.mpps = static_cast<double>(run.packets) / run.seconds * 1e-6;
  return true;
}

bool make_lab(VethLab& lab, std::string& error) {
  if (!VethLab::make(true, lab, error)) return false;
  const std::string neighbour =
      std::string("neigh replace ") + VethLab::kRelayIp + " lladdr " + kStation + " dev g0 nud permanent";
  if (lab.ip(Place::kRelay, std::string("link set r0 address ") + kStation) &&
      lab.ip(Place::kGenerator, neighbour))
    return true;
  error = "cannot set the relay's station address";
  return false;
}

std::string one_line(std::string text) {
  for (char& c : text) c = c == '\n' ? ' ' : c;
  return text;
}

void skip(const std::string& why) {
  std::fprintf(stderr, "figures_path: %s: skipped: %s\n", kFigure, one_line(why).c_str());
}

}  // namespace

void afxdp_figures(const PathOptions& options) {
  Figure figure{.name = kFigure, .unit = "CPU-ns/packet", .peer = "dpdk-testpmd, io", .goal = 1.1};
  if (!options.wants(figure.name)) return;
  if (const std::string missing = Testpmd::missing(); !missing.empty()) return skip(missing);
  VethLab lab;
  std::string error;
  if (!make_lab(lab, error)) return skip(error);
  const double seconds = std::max(0.2, kSeconds * options.scale);
  for (int run = 0; run < options.repeat; ++run) {
    Measured ours, peer;
    if (!measure_ours(lab, seconds, ours, error)) return skip("AF_XDP does not open: " + error);
    if (!measure_testpmd(lab, seconds, peer, error)) return skip("testpmd does not start: " + error);
    figure.ours.push_back(ours.cpu_ns);
    figure.peers.push_back(peer.cpu_ns);
    std::array<char, 160> note;
    std::snprintf(note.data(), note.size(), "veth, copy mode, 1200 bytes; %.2f against %.2f Mpps; drops %llu",
                  ours.mpps, peer.mpps, ours.drops);
    figure.note = note.data();
  }
  print(figure);
}

int run_afxdp_relay(double seconds) {
  io::DeviceOptions options;
  options.device = kDevice;
  options.addresses = {{core::UdpAddress::parse(std::string(VethLab::kRelayIp) + ":0").value(), 24}};
  options.verify_udp_checksum = false;  // a veth's sender leaves it to an offload that nobody does
  options.udp_checksum_ipv4 = false;    // testpmd sums nothing either
  options.buffers = 16'384;             // as testpmd is given: the driver's own rings hold 8 192
  options.memory_mib = 512;
  auto device = io::open_device(options);
  if (!device) give_up(device.error().text);
  io::MmapPageSource pages;
  io::PortOptions port_options;
  port_options.pages = &pages;
  auto port = (*device)->make_port(0, port_options);
  if (!port) give_up(port.error().text);
  RelayOptions relay;
  relay.traffic = video();
  relay.listen_ip = VethLab::kRelayIp;
  relay.listen_port = kPort;
  relay.to_ip = kSinkIp;
  relay.to_port = kSinkPort;
  relay.seconds = seconds;
  relay.busy = true;  // as testpmd is
  const RelayResult result = run_relay_on(relay, std::move(port).value(), pages, [&device] {
    if (auto started = (*device)->start(); !started) give_up(started.error().text);
    std::printf("ready\n");
    std::fflush(stdout);
  });
  std::printf((std::string(kResult) + "\nend\n").c_str(), static_cast<unsigned long long>(result.packets),
              static_cast<unsigned long long>(result.cpu_ns), static_cast<unsigned long long>(result.drops),
              result.seconds);
  return 0;
}

}  // namespace trunkline::bench
