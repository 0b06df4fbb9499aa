// DPDK within a process: started once, shared, accepted when the host runs it already, and the host left as
// it was. Each test runs in a child process of its own, because DPDK cannot be started twice.
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <functional>
#include <string>

#include "io/dpdk/rte.h"
#include "io/dpdk_plugin.h"
#include "tests/io/port_harness.h"

namespace trunkline::io {
namespace {

// What the child says is wrong; empty: nothing. Ends the child's process, so that no test framework does.
using Body = std::function<std::string()>;

std::string in_a_child(const Body& body) {
  int words[2];
  if (pipe(words) != 0) return "no pipe";
  std::fflush(nullptr);  // or the child would write it too
  const pid_t child = fork();
  if (child == 0) {
    const std::string wrong = body();
    const ssize_t written = write(words[1], wrong.data(), wrong.size());
    _exit(written == static_cast<ssize_t>(wrong.size()) ? 0 : 1);
  }
  close(words[1]);
  std::string said;
  char block[4096];
  for (ssize_t n = 0; (n = read(words[0], block, sizeof block)) > 0;)
    said.append(block, static_cast<size_t>(n));
  close(words[0]);
  int status = 0;
  waitpid(child, &status, 0);
  if (!WIFEXITED(status)) return "ended by signal " + std::to_string(WTERMSIG(status));
  return WEXITSTATUS(status) == 0 ? said : "exit code " + std::to_string(WEXITSTATUS(status));
}

DeviceOptions options_for(const char* device) {
  DeviceOptions options;
  options.device = device;
  options.addresses = {{core::UdpAddress::v4(198, 18, 0, 1, 0), 24}};
  options.pages = DevicePages::kSmall;
  options.memory_mib = 96;
  options.buffers = 2'048;
  options.plugin = TRUNKLINE_PLUGIN;
  return options;
}

// Everything about a process that a library has no business to change.
struct HostState {
  cpu_set_t affinity{};
  std::array<void*, 32> handlers{};
  sigset_t blocked{};

  static HostState now() {
    HostState state;
    sched_getaffinity(0, sizeof state.affinity, &state.affinity);
    for (int signal = 1; signal < 32; ++signal) {
      struct sigaction action {};
      sigaction(signal, nullptr, &action);
      state.handlers[static_cast<size_t>(signal)] = reinterpret_cast<void*>(action.sa_handler);
    }
    pthread_sigmask(SIG_SETMASK, nullptr, &state.blocked);
    return state;
  }
  bool operator==(const HostState& other) const {
    return CPU_EQUAL(&affinity, &other.affinity) && handlers == other.handlers &&
           std::memcmp(&blocked, &other.blocked, sizeof blocked) == 0;
  }
};

// stdout and stderr of this process go to a file from here on; what was written to it.
class Output {
 public:
  Output() : file_(std::tmpfile()) {
    dup2(fileno(file_), 1);
    dup2(fileno(file_), 2);
  }
  std::string text() {
    std::fflush(nullptr);
    std::string all(static_cast<size_t>(lseek(fileno(file_), 0, SEEK_END)), '\0');
    if (pread(fileno(file_), all.data(), all.size(), 0) < 0) return "unreadable";
    return all;
  }

 private:
  std::FILE* file_;
};

TEST(DpdkDevice, LeavesTheHostsThreadsSignalsAndOutputAlone) {
  EXPECT_EQ(in_a_child([]() -> std::string {
              Output output;
              const HostState before = HostState::now();
              auto device = open_device(options_for("net_null0"));
              if (!device) return device.error().text;
              if (auto started = (*device)->start(); !started) return started.error().text;
              (*device)->close();
              if (auto none = open_device(options_for("net_af_packet0,iface=none-such")); none)
                return "opened";
              if (!(HostState::now() == before)) return "affinity, signals or mask have changed";
              const std::string said = output.text();
              return said.empty() ? "" : "it wrote: " + said;
            }),
            "");
}

TEST(DpdkDevice, NodesOfAProcessShareOneStartAndHaveADeviceEach) {
  EXPECT_EQ(in_a_child([]() -> std::string {
              auto one = open_device(options_for("net_null0"));
              auto two = open_device(options_for("net_null1"));
              if (!one || !two) return "two devices do not open";
              auto again = open_device(options_for("net_null1"));
              if (again) return "the same device twice";
              if (again.error().text.find("another node") == std::string::npos) return again.error().text;
              (*two)->close();
              auto after = open_device(options_for("net_null1"));
              return after ? "" : "a device that was closed: " + after.error().text;
            }),
            "");
}

TEST(DpdkDevice, AcceptsAHostThatRunsDpdkAlready) {
  EXPECT_EQ(in_a_child([]() -> std::string {
              const char* words[] = {"host",     "--no-huge",      "-m",          "96", "--no-shconf",
                                     "--no-pci", "--no-telemetry", "--log-level", "1"};
              if (rte_eal_init(sizeof words / sizeof *words, const_cast<char**>(words)) < 0) return "no EAL";
              auto device = open_device(options_for("net_null0"));
              if (!device) return device.error().text;
              const std::string text = (*device)->describe();
              return text.find("started by the host") != std::string::npos ? "" : text;
            }),
            "");
}

TEST(DpdkDevice, SaysWhatToDoWhenThereIsNoMemory) {
  EXPECT_EQ(in_a_child([]() -> std::string {
              DeviceOptions options = options_for("net_null0");
              options.buffers = 1 << 20;
              auto device = open_device(options);
              if (device) return "a million buffers in 96 MiB";
              return device.error().text.find("dpdk.memory_mib") != std::string::npos ? ""
                                                                                      : device.error().text;
            }),
            "");
}

// What a device without a wire receives is whatever its memory holds: counted, none of it a datagram. What is
// sent to a neighbour who never answers waits, then is dropped, counted. In the end every buffer is back.
TEST(DpdkDevice, AccountsForEveryFrameAndGivesEveryBufferBack) {
  for (const char* name : {"net_null0", "net_ring0"}) {
    EXPECT_EQ(in_a_child([name]() -> std::string {
                PortHarness harness;
                auto device = open_device(options_for(name));
                if (!device) return device.error().text;
                auto made = (*device)->make_port(0, harness.options());
                if (!made) return made.error().text;
                Port& port = **made;
                const uint16_t endpoint = open(port, core::UdpAddress::v4(198, 18, 0, 1, 7000));
                if (auto started = (*device)->start(); !started) return started.error().text;
                port.enter_thread();
                std::vector<Datagram> got;
                for (int i = 0; i < 100; ++i) {
                  const auto to = core::UdpAddress::v4(198, 18, 0, 9, 7000);
                  if (!harness.send(port, {harness.packet(content(7, 500), to, endpoint)}))
                    return "not taken";
                  harness.receive_once(port, got);
                }
                if (!got.empty()) return "a datagram that nobody sent";
                if (harness.in_use() != 0) return "buffers of the sender's are missing";
                uint64_t held = 0, unresolved = 0;
                for (const NamedCounter& counter : port.more_counters()) {
                  if (std::string(counter.name) == "held") held = counter.value;
                  if (std::string(counter.name) == "tx_unresolved") unresolved = counter.value;
                }
                if (held == 0 || unresolved != 100)
                  return "100 datagrams for a silent neighbour are not counted";
                port.leave_thread();
                made->reset();
                const uint32_t missing = (*device)->close();
                return missing == 0 ? "" : std::to_string(missing) + " buffers are missing";
              }),
              "")
        << name;
  }
}

}  // namespace
}  // namespace trunkline::io
