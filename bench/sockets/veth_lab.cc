// Makes and removes the namespaces with iproute2, whose command line is the stable interface.
#include "bench/sockets/veth_lab.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cstdlib>
#include <initializer_list>

namespace trunkline::bench {
namespace {

bool shell(const std::string& command) {
  return std::system((command + " >/dev/null 2>&1").c_str()) == 0;
}

// What is left to remove, and by whom: forked children share the names but must not take them away.
std::string g_left_behind;
pid_t g_maker = 0;

// Also runs when a failed measurement ends the process by exit().
void remove_namespaces() {
  if (g_left_behind.empty() || getpid() != g_maker) return;
  for (const char* place : {"g", "r", "s"}) shell("ip netns del " + g_left_behind + place);
  g_left_behind.clear();
}

}  // namespace

bool VethLab::make(bool black_hole, VethLab& lab, std::string& error) {
  if (geteuid() != 0) {
    error = "network namespaces need root: run as root or with sudo";
    return false;
  }
  lab.prefix_ = "tlbench" + std::to_string(getpid());
  g_left_behind = lab.prefix_;
  g_maker = getpid();
  std::atexit(remove_namespaces);
  const std::string g = lab.prefix_ + "g", r = lab.prefix_ + "r", s = lab.prefix_ + "s";
  const std::string in_g = "ip -n " + g + " ", in_r = "ip -n " + r + " ", in_s = "ip -n " + s + " ";
  const std::initializer_list<std::string> steps = {
      "ip netns add " + g,
      "ip netns add " + r,
      "ip netns add " + s,
      in_r + "link add r0 type veth peer name g0 netns " + g,
      in_r + "link add r1 type veth peer name s0 netns " + s,
      in_g + "addr add " + kGeneratorIp + "/24 dev g0",
      in_r + "addr add " + kRelayIp + "/24 dev r0",
      in_r + "addr add " + kRelayOutIp + "/24 dev r1",
      in_s + "addr add " + kSinkIp + "/24 dev s0",
      in_g + "link set g0 up",
      in_r + "link set r0 up",
      in_r + "link set r1 up",
      in_s + "link set s0 up",
      in_g + "link set lo up",
      in_r + "link set lo up",
      in_s + "link set lo up",
  };
  for (const std::string& step : steps) {
    if (!shell(step)) {
      error = "'" + step + "' failed: is iproute2 installed, and may this process make network namespaces?";
      return false;
    }
  }
  if (black_hole &&
      !shell(in_r + "neigh replace " + kSinkIp + " lladdr 02:00:00:00:00:99 dev r1 nud permanent")) {
    error = "cannot set the permanent neighbour entry for the sink";
    return false;
  }
  return true;
}

VethLab::~VethLab() {
  if (!prefix_.empty()) remove_namespaces();
}

std::string VethLab::name_of(Place place) const {
  return prefix_ + (place == Place::kGenerator ? "g" : place == Place::kRelay ? "r" : "s");
}

bool VethLab::ip(Place place, const std::string& words) const {
  return shell("ip -n " + name_of(place) + " " + words);
}

bool VethLab::enter(Place place) const {
  const int fd = open(("/run/netns/" + name_of(place)).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool ok = setns(fd, CLONE_NEWNET) == 0;
  close(fd);
  return ok;
}

}  // namespace trunkline::bench
