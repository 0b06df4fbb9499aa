// See xdp_steering.h.
#include "io/dpdk/steering/xdp_steering.h"

#include <fcntl.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "io/dpdk/steering/steer_maps.h"

namespace trunkline::io {
namespace {

using core::Error;
using core::Result;
using core::UdpAddress;

// An endpoint is its own key: no conversion that could differ from the program's.
static_assert(sizeof(trunkline_bind) == sizeof(UdpAddress));
static_assert(offsetof(trunkline_bind, family) == offsetof(UdpAddress, family));
static_assert(offsetof(trunkline_bind, port) == offsetof(UdpAddress, port));
static_assert(offsetof(trunkline_bind, ip) == offsetof(UdpAddress, ip));
static_assert(kMaxSteered == TRUNKLINE_MAX_BINDS);

// CPUs that may ever exist: a per-CPU map is read with one value for each. The kernel's list ends with the
// highest number: "0-127", "0", "0,2-3".
size_t possible_cpus() {
  const FileDescriptor file(::open("/sys/devices/system/cpu/possible", O_RDONLY | O_CLOEXEC));
  char text[256];
  const ssize_t got = file ? ::read(file.get(), text, sizeof text - 1) : -1;
  if (got <= 0) return static_cast<size_t>(std::max(1l, ::sysconf(_SC_NPROCESSORS_CONF)));
  text[got] = 0;
  const char* last = text;
  for (const char* at = text; *at != 0; ++at)
    if (*at == ',' || *at == '-') last = at + 1;
  return static_cast<size_t>(std::strtoul(last, nullptr, 10)) + 1;
}

}  // namespace

Error XdpSteering::failed(const char* doing, int error) const {
  const char* words = error == E2BIG || error == ENOSPC ? "the program's map is full" : std::strerror(error);
  return Error{
      0, "XDP on " + interface_ + ": cannot " + doing + ": " + words + "; close the port and open it again"};
}

Result<void> XdpSteering::open(const std::string& interface) {
  interface_ = interface;
  const Result<XdpAttachment> attachment = query_xdp(interface);
  if (!attachment) return attachment.error();
  Result<OurProgram> program = open_our_program(interface, *attachment);
  if (!program) return program.error();
  program_ = std::move(program).value();
  mode_ = attachment->mode;
  return {};
}

Result<void> XdpSteering::set(std::span<const UdpAddress> endpoints) {
  if (!program_.binds) return Error{0, "XDP steering is not open: open() comes before set()"};
  if (endpoints.size() > kMaxSteered)
    return Error{0, "XDP on " + interface_ + ": " + std::to_string(endpoints.size()) +
                        " endpoints are too many; listen on at most " + std::to_string(kMaxSteered)};
  for (const UdpAddress& endpoint : endpoints)
    if ((endpoint.family != 4 && endpoint.family != 6) || endpoint.port == 0)
      return Error{0, "XDP on " + interface_ + ": '" + endpoint.to_string() +
                          "' cannot be an endpoint; give an IPv4 or IPv6 address with a port"};
  // When the map is full of old ones their places are needed first.
  int error = add_binds(endpoints);
  if (error == E2BIG || error == ENOSPC) {
    error = erase_other_binds(endpoints);
    if (error == 0) error = add_binds(endpoints);
  }
  if (error == 0) error = write_ports(endpoints);
  if (error == 0) error = erase_other_binds(endpoints);
  if (error != 0) return failed("set the endpoints", error);
  return {};
}

int XdpSteering::add_binds(std::span<const UdpAddress> endpoints) const {
  const uint32_t present = 1;
  for (const UdpAddress& endpoint : endpoints)
    if (const int error = bpf_map_update(program_.binds.get(), &endpoint, &present, BPF_ANY)) return error;
  return 0;
}

int XdpSteering::write_ports(std::span<const UdpAddress> endpoints) const {
  std::array<uint64_t, TRUNKLINE_PORT_WORDS> words{};
  for (const UdpAddress& endpoint : endpoints)
    words[endpoint.port / 64] |= uint64_t{1} << (endpoint.port % 64);
  for (uint32_t i = 0; i < words.size(); ++i) {
    uint64_t now = 0;
    int error = bpf_map_lookup(program_.ports.get(), &i, &now);
    if (error == 0 && now != words[i]) error = bpf_map_update(program_.ports.get(), &i, &words[i], BPF_ANY);
    if (error != 0) return error;
  }
  return 0;
}

int XdpSteering::erase_other_binds(std::span<const UdpAddress> endpoints) const {
  std::vector<UdpAddress> others;
  UdpAddress bind;
  const UdpAddress* previous = nullptr;
  int error = 0;
  // Bounded, should somebody else change the map meanwhile: the walk then may start over.
  for (size_t i = 0; i < 2 * kMaxSteered; ++i) {
    UdpAddress next;
    error = bpf_map_next(program_.binds.get(), previous, &next);
    if (error != 0) break;
    bind = next;
    previous = &bind;
    if (std::find(endpoints.begin(), endpoints.end(), bind) == endpoints.end()) others.push_back(bind);
  }
  if (error != 0 && error != ENOENT) return error;
  for (const UdpAddress& other : others) {
    error = bpf_map_erase(program_.binds.get(), &other);
    if (error != 0 && error != ENOENT) return error;
  }
  return 0;
}

Result<SteeringCounts> XdpSteering::counts() const {
  if (!program_.count) return Error{0, "XDP steering is not open: open() comes before counts()"};
  std::vector<uint64_t> per_cpu(possible_cpus());
  std::array<uint64_t, TRUNKLINE_COUNTS> sums{};
  for (uint32_t i = 0; i < sums.size(); ++i) {
    if (const int error = bpf_map_lookup(program_.count.get(), &i, per_cpu.data()))
      return failed("read the counters", error);
    for (const uint64_t packets : per_cpu) sums[i] += packets;
  }
  return SteeringCounts{sums[TRUNKLINE_REDIRECTED], sums[TRUNKLINE_NO_SOCKET], sums[TRUNKLINE_FRAGMENTS]};
}

}  // namespace trunkline::io
