// See kernel_side.h.
#include "io/dpdk/kernel_side.h"

#include <dlfcn.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

namespace trunkline::io {
namespace {

constexpr const char* kProgram = "trunkline_steer.o";
// The kernel tells of changes by itself: this bounds only how late a stop is noticed.
constexpr Nanos kLongestSleep = core::from_s(1);
constexpr Nanos kCountsInterval = core::from_s(1);

// Beside this plug-in when it is installed, below it in a build tree.
std::string program_path() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&program_path), &info) == 0) return {};
  const std::string plugin = info.dli_fname;
  const std::string here = plugin.substr(0, plugin.rfind('/') + 1);
  for (const char* below : {"", "steering/"}) {
    const std::string path = here + below + kProgram;
    if (access(path.c_str(), R_OK) == 0) return path;
  }
  return {};
}

}  // namespace

KernelSide::KernelSide(std::string interface, uint32_t queues)
    : interface_(std::move(interface)), network_(std::make_unique<KernelNetwork>()) {
  for (uint32_t i = 0; i < queues; ++i) queues_.push_back(std::make_unique<Queue>());
}

core::Result<std::unique_ptr<KernelSide>> KernelSide::open(const std::string& interface, uint32_t queues) {
  std::unique_ptr<KernelSide> side(new KernelSide(interface, queues));
  if (auto opened = side->network_->open(interface); !opened) return opened.error();
  if (side->addresses().empty()) {
    return core::Error{
        0, "interface " + interface + " has no address: ip address add ADDRESS/BITS dev " + interface};
  }
  if (!side->network_->link().up)
    return core::Error{0, "interface " + interface + " is down: ip link set " + interface + " up"};
  if (auto cleared = detach_leftover(interface); !cleared) return cleared.error();
  return side;
}

core::Result<std::string> KernelSide::device() const {
  const std::string program = program_path();
  if (program.empty()) {
    return core::Error{0, std::string("AF_XDP beside the kernel needs ") + kProgram +
                              ", which a build makes where clang and libbpf-dev are installed"};
  }
  return "net_af_xdp_" + interface_ + ",iface=" + interface_ +
         ",start_queue=0,queue_count=" + std::to_string(queues_.size()) + ",xdp_prog=" + program;
}

std::vector<InterfaceAddress> KernelSide::addresses() const {
  std::vector<InterfaceAddress> found;
  for (const LocalAddress& own : network_->addresses()) {
    if (own.usable) found.push_back({own.address, own.prefix_bits});
  }
  if (found.size() > IpHost::kMaxAddresses) found.resize(IpHost::kMaxAddresses);
  return found;
}

core::Result<void> KernelSide::start() {
  if (auto opened = steering_.open(interface_); !opened) return opened.error();
  for (const auto& queue : queues_) {
    core::UdpAddress endpoint;
    while (queue->endpoints.try_pop(endpoint)) steered_.push_back(endpoint);
  }
  if (auto set = steering_.set(steered_); !set) return set.error();
  const auto body = [](void* self) { static_cast<KernelSide*>(self)->run(); };
  if (auto made = thread_.start("tl-kernel-side", -1, body, this); !made) return made;
  running_ = true;
  return {};
}

void KernelSide::stop() {
  if (!running_) return;
  stop_.store_relaxed(true);  // a flag: the join orders the rest
  wake_.signal();
  thread_.join();
  running_ = false;
  // Nothing is ours any more; the program goes with the device.
  if (auto cleared = steering_.clear(); !cleared) return;
}

core::Result<core::UdpAddress> KernelSide::add_endpoint(uint32_t queue, const core::UdpAddress& address,
                                                        Nanos patience) {
  auto reserved = queues_[queue]->reserved.reserve(address, patience);
  if (!reserved) return reserved.error();
  if (!queues_[queue]->endpoints.try_push(*reserved))
    return core::Error{0, "too many endpoints at a time on interface " + interface_};
  wake_.signal();
  return *reserved;
}

void KernelSide::want(uint32_t queue, const core::UdpAddress& destination) noexcept {
  if (!queues_[queue]->wanted.try_push(destination)) {
    queues_[queue]->questions_lost.add();
    return;
  }
  wake_.signal();
}

// ---- the thread

void KernelSide::run() noexcept {
  while (!stop_.load_relaxed()) {
    const Nanos now = monotonic_now();
    take_endpoints();
    take_questions(now);
    if (now >= counts_at_) read_counts(now);
    for (const NetworkEvent& event : network_->poll(now)) {
      if (event.change == NetworkChange::kDestination) answer(event.destination);
    }
    const Nanos sleep = std::min(kLongestSleep, network_->next_due() - now);
    if (sleep.ns <= 0) continue;
    pollfd ready[2] = {{network_->fd(), POLLIN, 0}, {wake_.fd(), POLLIN, 0}};
    const timespec limit{sleep.ns / 1'000'000'000, sleep.ns % 1'000'000'000};
    ppoll(ready, 2, &limit, nullptr);
    wake_.drain();
  }
}

void KernelSide::take_questions(Nanos now) {
  for (const auto& queue : queues_) {
    core::UdpAddress destination;
    while (queue->wanted.try_pop(destination)) {
      if (const auto known = network_->resolve(destination, now); known) answer(*known);
    }
  }
}

// To every queue: what one of them sends to, the others will.
void KernelSide::answer(const Destination& destination) noexcept {
  if (destination.reach != Reach::kReachable) return;
  for (const auto& queue : queues_) {
    if (!queue->known.try_push({destination.address, destination.mac, true})) queue->answers_lost.add();
  }
}

void KernelSide::take_endpoints() {
  const size_t before = steered_.size();
  for (const auto& queue : queues_) {
    core::UdpAddress endpoint;
    while (queue->endpoints.try_pop(endpoint)) steered_.push_back(endpoint);
  }
  if (steered_.size() == before) return;
  if (auto set = steering_.set(steered_); set) return;
  unsteered_.add(steered_.size() - before);  // they stay reserved, and hear nothing
  steered_.resize(before);
}

void KernelSide::read_counts(Nanos now) {
  counts_at_ = now + kCountsInterval;
  const auto counts = steering_.counts();
  if (!counts) return;  // the program is gone: what it counted last stands
  redirected_.set(counts->redirected_packets);
  no_socket_.set(counts->no_socket_packets);
  fragments_.set(counts->fragment_packets);
}

std::vector<NamedCounter> KernelSide::counters(uint32_t queue) const {
  const Queue& of = *queues_[queue];
  std::vector<NamedCounter> all = {
      {"questions_lost", "neighbours that the kernel's side could not be asked for in time",
       of.questions_lost.value()},
      {"answers_lost", "drop: answers of the kernel's side for which the queue had no room",
       of.answers_lost.value()},
  };
  if (queue != 0) return all;
  all.push_back({"xdp_redirected", "packets that the XDP program gave to the node", redirected_.value()});
  all.push_back(
      {"xdp_no_socket", "packets for us on a queue that is not: the kernel got them", no_socket_.value()});
  all.push_back({"xdp_fragments", "fragments, which the kernel got", fragments_.value()});
  all.push_back({"xdp_unsteered", "endpoints that the XDP program did not take; they hear nothing",
                 unsteered_.value()});
  return all;
}

std::string KernelSide::describe() const {
  const char* mode = steering_.mode() == XdpMode::kNative    ? ", native XDP"
                     : steering_.mode() == XdpMode::kGeneric ? ", generic XDP"
                                                             : "";
  return std::string("beside the kernel") + mode;
}

}  // namespace trunkline::io
