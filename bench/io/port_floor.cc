// What a socket port costs beside the bare system calls: forwards one flow and prints the CPU time of the
// forwarding thread per datagram (bench/io/port_floor.sh sets up the interfaces and runs every variant).
//
//   port_floor generate BIND TO SECONDS           one flow of 1200-byte datagrams, in runs of sixteen
//   port_floor paced    BIND TO SECONDS           50 000 single datagrams a second over kTaps ports from TO's
//   on port_floor VARIANT  BIND_IN BIND_OUT TO SECONDS
//
// VARIANT is mmsg or uring (the port, with the one copy that sealing makes), mmsg-nocopy, or the peers:
// bare (recvmmsg with UDP_GRO, sendmmsg with UDP_SEGMENT, nothing else) and bare-single (one datagram per
// message, batches of 32). All sleep 200 us when nothing is there, so that what the generator leaves idle is
// charged to nobody. VARIANT-taps opens kTaps endpoints from BIND_IN's port on (for `paced`).
#include <netinet/udp.h>
#include <sched.h>
#include <time.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "core/packet_pool.h"
#include "io/mmsg_port.h"
#include "io/page_source.h"
#include "io/uring_port.h"

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

namespace {

using namespace trunkline;
using core::Nanos;
using core::Packet;
using core::UdpAddress;

constexpr uint32_t kDatagram = 1200;
constexpr uint32_t kRun = 16;
constexpr uint16_t kTaps = 500;
constexpr Nanos kSleep = core::from_us(200);

Nanos read_clock(clockid_t id) {
  timespec t{};
  clock_gettime(id, &t);
  return {t.tv_sec * 1'000'000'000 + t.tv_nsec};
}

[[noreturn]] void fail(const std::string& text) {
  std::fprintf(stderr, "%s\n", text.c_str());
  std::exit(2);
}

UdpAddress address(const char* text) {
  const auto parsed = UdpAddress::parse(text);
  if (!parsed) fail(std::string("not an address: ") + text);
  return *parsed;
}

io::EndpointOptions endpoint(const char* bind, bool gro) {
  io::EndpointOptions options;
  options.bind = address(bind);
  options.gro = gro;
  return options;
}

void open(io::Port& port, const char* bind, bool gro) {
  if (auto opened = port.open_endpoint(endpoint(bind, gro)); !opened) fail(opened.error().text);
}

void pin(int core) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(core, &set);
  sched_setaffinity(0, sizeof set, &set);
}

// Runs `burst` (which returns datagrams forwarded) until the time is over, the first fifth unmeasured.
template <class Burst, class Sleep>
void measure(const char* name, double seconds, Burst&& burst, Sleep&& sleep) {
  const Nanos total{static_cast<int64_t>(seconds * 1e9)};
  const Nanos start = read_clock(CLOCK_MONOTONIC);
  Nanos wall_from = start;
  Nanos cpu_from{};
  uint64_t datagrams = 0;
  uint64_t bursts = 0;
  bool warm = false;
  for (Nanos at = start; at - start < total; at = read_clock(CLOCK_MONOTONIC)) {
    if (!warm && at - start > total / 5) {
      warm = true;
      wall_from = at;
      cpu_from = read_clock(CLOCK_THREAD_CPUTIME_ID);
      datagrams = bursts = 0;
    }
    const uint64_t got = burst(at);
    if (got == 0) sleep();
    datagrams += got;
    bursts += got != 0;
  }
  const auto cpu = static_cast<double>((read_clock(CLOCK_THREAD_CPUTIME_ID) - cpu_from).ns);
  const auto wall = static_cast<double>((read_clock(CLOCK_MONOTONIC) - wall_from).ns);
  const auto count = static_cast<double>(std::max<uint64_t>(datagrams, 1));
  std::printf(
      "{\"name\":\"%s\",\"cpu_ns_per_datagram\":%.1f,\"mpps\":%.3f,\"busy\":%.2f,\"per_burst\":%.1f}\n", name,
      cpu / count, count * 1e3 / wall, cpu / wall,
      count / static_cast<double>(std::max<uint64_t>(bursts, 1)));
}

void generate(const char* bind, const char* to, double seconds) {
  pin(1);
  io::MmapPageSource pages;
  core::PacketPool pool(io::kMaxBurst, 64u << 10, pages);
  io::PortOptions options;
  options.pages = &pages;
  io::MmsgPort port(options);
  open(port, bind, true);
  const Nanos end = read_clock(CLOCK_MONOTONIC) + Nanos{static_cast<int64_t>(seconds * 1e9)};
  while (read_clock(CLOCK_MONOTONIC) < end) {
    Packet burst[4];
    for (Packet& packet : burst) {
      packet.buffer = pool.try_alloc();
      packet.data = packet.buffer->data;
      packet.length = kDatagram * kRun;
      packet.segment_size = kDatagram;
      packet.address = address(to);
    }
    const uint32_t taken = port.transmit_burst(burst, Nanos{});
    for (uint32_t i = taken; i < 4; ++i) pool.release(burst[i].buffer);
  }
}

// Fifty datagrams each millisecond, to one tap after the other.
void generate_paced(const char* bind, const char* to_text, double seconds) {
  constexpr uint32_t kPerTick = 50;
  pin(1);
  auto socket = io::open_udp_socket(endpoint(bind, false));
  if (!socket) fail(socket.error().text);
  const UdpAddress first = address(to_text);
  const char bytes[kDatagram] = {};
  uint32_t tap = 0;
  Nanos due = read_clock(CLOCK_MONOTONIC);
  const Nanos end = due + Nanos{static_cast<int64_t>(seconds * 1e9)};
  for (; due < end; due += core::from_ms(1)) {
    const timespec at{due.ns / 1'000'000'000, due.ns % 1'000'000'000};
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, nullptr);
    for (uint32_t i = 0; i < kPerTick; ++i, tap = (tap + 1) % kTaps) {
      UdpAddress to = first;
      to.port = static_cast<uint16_t>(first.port + tap);
      io::SocketAddress name;
      const socklen_t size = io::to_socket_address(to, name);
      (void)!sendto(socket->fd.get(), bytes, sizeof bytes, MSG_DONTWAIT, &name.base, size);
    }
  }
}

// ---- the peers: the same system calls with nothing around them

struct BareSlots {
  static constexpr uint32_t kCount = 32;
  static constexpr size_t kBytes = 64u << 10;
  mmsghdr messages[kCount]{};
  iovec payloads[kCount]{};
  io::SocketAddress names[kCount]{};
  alignas(cmsghdr) uint8_t controls[kCount][CMSG_SPACE(sizeof(int))]{};

  void before_receive(uint8_t* memory, bool runs) {
    for (uint32_t i = 0; i < kCount; ++i) {
      payloads[i] = {memory + i * kBytes, kBytes};
      msghdr& m = messages[i].msg_hdr;
      m = {&names[i],
           sizeof names[i],
           &payloads[i],
           1,
           runs ? controls[i] : nullptr,
           runs ? sizeof controls[i] : 0,
           0};
    }
  }
  // Turns the received message i around; returns its datagrams.
  uint32_t before_send(int i, io::SocketAddress& to, socklen_t to_size, bool runs) {
    const uint32_t length = messages[i].msg_len;
    msghdr& m = messages[i].msg_hdr;
    int segment = 0;
    if (cmsghdr* c = runs ? CMSG_FIRSTHDR(&m) : nullptr; c != nullptr)
      std::memcpy(&segment, CMSG_DATA(c), sizeof segment);
    payloads[i].iov_len = length;
    m = {&to, to_size, &payloads[i], 1, nullptr, 0, 0};
    if (segment <= 0 || static_cast<uint32_t>(segment) >= length) return 1;
    const auto size = static_cast<uint16_t>(segment);
    m.msg_control = controls[i];
    m.msg_controllen = CMSG_SPACE(sizeof size);
    auto* c = reinterpret_cast<cmsghdr*>(controls[i]);
    c->cmsg_level = SOL_UDP;
    c->cmsg_type = UDP_SEGMENT;
    c->cmsg_len = CMSG_LEN(sizeof size);
    std::memcpy(CMSG_DATA(c), &size, sizeof size);
    return (length + size - 1u) / size;
  }
};

void forward_bare(char** arguments, double seconds, bool runs) {
  auto in = io::open_udp_socket(endpoint(arguments[2], runs));
  auto out = io::open_udp_socket(endpoint(arguments[3], false));
  if (!in || !out) fail(in ? out.error().text : in.error().text);
  io::MmapPageSource pages;
  const auto memory = pages.take(BareSlots::kCount * BareSlots::kBytes);
  io::SocketAddress to;
  const socklen_t to_size = io::to_socket_address(address(arguments[4]), to);
  auto slots = std::make_unique<BareSlots>();
  const auto burst = [&](Nanos) -> uint64_t {
    slots->before_receive(memory.data(), runs);
    const int got = recvmmsg(in->fd.get(), slots->messages, BareSlots::kCount, MSG_DONTWAIT, nullptr);
    uint64_t datagrams = 0;
    for (int i = 0; i < got; ++i) datagrams += slots->before_send(i, to, to_size, runs);
    for (int sent = 0; sent < got;) {
      const int n =
          sendmmsg(out->fd.get(), &slots->messages[sent], static_cast<unsigned>(got - sent), MSG_DONTWAIT);
      if (n <= 0) break;
      sent += n;
    }
    return datagrams;
  };
  measure(arguments[1], seconds, burst, [] {
    const timespec t{0, kSleep.ns};
    nanosleep(&t, nullptr);
  });
}

// ---- the ports

void forward_port(io::Port& port, core::PacketPool& outputs, char** arguments, double seconds, bool copy,
                  bool taps) {
  open(port, arguments[3], false);
  for (uint16_t i = 0; i < (taps ? kTaps : 1); ++i) {
    UdpAddress in = address(arguments[2]);
    in.port = static_cast<uint16_t>(in.port + i);
    open(port, in.to_string().c_str(), true);
  }
  const UdpAddress to = address(arguments[4]);
  const auto burst = [&](Nanos at) -> uint64_t {
    Packet in[io::kMaxBurst];
    Packet out[io::kMaxBurst];
    port.poll(at);
    const uint32_t got = port.receive_burst(in, at);
    uint64_t datagrams = 0;
    uint32_t count = 0;
    for (uint32_t i = 0; i < got; ++i) {
      core::Buffer* buffer = copy ? outputs.try_alloc() : in[i].buffer;
      if (buffer == nullptr) continue;
      if (!copy) buffer->pool->retain(buffer);
      if (copy) std::memcpy(buffer->data, in[i].data, in[i].length);
      out[count] = in[i];
      out[count].buffer = buffer;
      if (copy) out[count].data = buffer->data;
      out[count].owner_port = 0;
      out[count].address = to;
      datagrams += out[count].datagrams();
      ++count;
    }
    const uint32_t taken = port.transmit_burst({out, count}, at);
    for (uint32_t i = taken; i < count; ++i) out[i].buffer->pool->release(out[i].buffer);
    port.give_back({in, got});
    return datagrams;
  };
  measure(arguments[1], seconds, burst, [&] { port.wait(io::SleepUntil::kBatch, kSleep); });
  std::fprintf(stderr, "%s\n", port.describe().c_str());
  for (const auto counter :
       {io::PortCounter::syscalls, io::PortCounter::tx_runs, io::PortCounter::tx_datagrams,
        io::PortCounter::tx_errors, io::PortCounter::tx_refused, io::PortCounter::rx_no_buffer,
        io::PortCounter::wakeups})
    std::fprintf(stderr, "  %s %llu", io::port_counter_name(counter),
                 static_cast<unsigned long long>(port.counters().value(counter)));
  std::fprintf(stderr, "\n");
}

}  // namespace

int main(int argc, char** argv) {
  std::string variant = argc > 1 ? argv[1] : "";
  if (variant == "generate" && argc == 5) {
    generate(argv[2], argv[3], std::atof(argv[4]));
    return 0;
  }
  if (variant == "paced" && argc == 5) {
    generate_paced(argv[2], argv[3], std::atof(argv[4]));
    return 0;
  }
  if (argc != 6) fail("see the head of bench/io/port_floor.cc; bench/io/port_floor.sh runs it");
  pin(0);
  io::sharpen_thread_timers();
  const double seconds = std::atof(argv[5]);
  const bool taps = variant.ends_with("-taps");
  if (taps) variant.resize(variant.size() - std::strlen("-taps"));
  io::MmapPageSource pages;
  io::PortOptions options;
  options.pages = &pages;
  core::PacketPool outputs(512, 64u << 10, pages);  // before the port, which may hold some of it to the end
  if (variant == "bare" || variant == "bare-single") {
    forward_bare(argv, seconds, variant == "bare");
  } else if (variant == "mmsg" || variant == "mmsg-nocopy") {
    io::MmsgPort port(options);
    forward_port(port, outputs, argv, seconds, variant == "mmsg", taps);
  } else if (variant == "uring") {
    auto port = io::make_uring_port(options);
    if (!port) fail(port.error().text);
    forward_port(**port, outputs, argv, seconds, true, taps);
  } else {
    fail("unknown variant " + variant);
  }
  return 0;
}
