// See eal.h.
#include "io/dpdk/eal.h"

#include <dirent.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <utility>
#include <vector>

#include "io/dpdk/rte.h"
#include "io/thread.h"

namespace trunkline::io {
namespace {

constexpr uint64_t kHugePageBytes = 2u << 20;

// ---- what EAL says: the last lines, kept for the text of an error

// "Failed to attach device on primary process" follows every other reason, and says none.
bool says_something(const std::string& line) {
  return !line.empty() && line.find("ailed to attach device") == std::string::npos &&
         line.find("cannot attach the device") == std::string::npos;
}

class Words {
 public:
  void add(const char* text, size_t length) {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < length; ++i) {
      if (text[i] != '\n') {
        line_ += text[i];
        continue;
      }
      if (says_something(line_)) {
        if (log_.size() < kLogged) log_.push_back(line_);
        lines_.push_back(std::move(line_));
      }
      line_.clear();
      if (lines_.size() > kKept) lines_.erase(lines_.begin());
    }
  }
  std::string take() {
    const std::lock_guard lock(mutex_);
    std::string all;
    for (const std::string& line : lines_) all += (all.empty() ? "" : "; ") + line;
    lines_.clear();
    return all;
  }
  std::vector<std::string> take_log() {
    const std::lock_guard lock(mutex_);
    return std::exchange(log_, {});
  }

 private:
  static constexpr size_t kKept = 4;
  static constexpr size_t kLogged = 256;  // until somebody takes them
  std::mutex mutex_;
  std::string line_;
  std::vector<std::string> lines_;
  std::vector<std::string> log_;
};

Words& words() {
  static Words the_words;
  return the_words;
}

ssize_t write_words(void*, const char* text, size_t length) {
  words().add(text, length);
  return static_cast<ssize_t>(length);
}

// ---- what this machine has

struct HugePages {
  uint64_t free = 0;
  uint64_t reserved = 0;
};

HugePages huge_pages() {
  HugePages pages;
  FILE* file = std::fopen("/proc/meminfo", "r");
  if (file == nullptr) return pages;
  char line[256];
  while (std::fgets(line, sizeof line, file) != nullptr) {
    unsigned long long value = 0;
    if (std::sscanf(line, "HugePages_Free: %llu", &value) == 1) pages.free = value;
    if (std::sscanf(line, "HugePages_Total: %llu", &value) == 1) pages.reserved = value;
  }
  std::fclose(file);
  return pages;
}

std::string huge_pages_command(uint64_t pages) {
  return "echo " + std::to_string(pages) + " | sudo tee /proc/sys/vm/nr_hugepages";
}

// The first CPU that this process may run on: EAL wants a main one, and uses it during its start only.
int first_cpu() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 0;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &set)) return cpu;
  }
  return 0;
}

bool is_pci(const std::string& device) {  // "0000:00:05.0"
  unsigned domain = 0, bus = 0, slot = 0, function = 0;
  return std::sscanf(device.c_str(), "%x:%x:%x.%x", &domain, &bus, &slot, &function) == 4;
}

// ---- the start

enum class State { kNot, kRunning, kFailed };

struct Eal {
  std::mutex mutex;
  State state = State::kNot;
  std::string failure;
  bool huge = false;
  bool of_the_host = false;
};

Eal& eal() {
  static Eal the_eal;
  return the_eal;
}

struct Start {
  std::vector<std::string> arguments;
  int result = 0;
  int error = 0;
};

void run_start(void* argument) {
  auto& start = *static_cast<Start*>(argument);
  std::vector<char*> words;
  for (std::string& word : start.arguments) words.push_back(word.data());
  words.push_back(nullptr);
  start.result = rte_eal_init(static_cast<int>(start.arguments.size()), words.data());
  start.error = rte_errno;
}

std::vector<std::string> eal_arguments(const DeviceOptions& options, bool huge) {
  const int cpu = first_cpu();
  std::vector<std::string> arguments = {"trunkline", "--lcores", "0@" + std::to_string(cpu),
                                        "--no-telemetry"};
  if (huge) {
    arguments.push_back("--in-memory");
  } else {
    arguments.insert(arguments.end(), {"--no-huge", "-m", std::to_string(options.memory_mib), "--no-shconf"});
  }
  if (!is_pci(options.device)) arguments.push_back("--no-pci");
  arguments.insert(arguments.end(), options.eal_arguments.begin(), options.eal_arguments.end());
  return arguments;
}

core::Result<bool> choose_pages(const DeviceOptions& options) {
  const uint64_t wanted = (uint64_t{options.memory_mib} << 20) / kHugePageBytes;
  const HugePages pages = huge_pages();
  const bool enough = pages.free >= wanted;
  if (options.pages == DevicePages::kHuge && !enough) {
    return core::Error{
        0, "dpdk.pages = \"huge\": " + std::to_string(wanted) + " free pages of 2 MiB are needed, " +
               std::to_string(pages.free) +
               " are there; as root: " + huge_pages_command(pages.reserved - pages.free + wanted)};
  }
  return enough && options.pages != DevicePages::kSmall;
}

}  // namespace

core::Result<void> start_eal(const DeviceOptions& options) {
  Eal& the = eal();
  const std::lock_guard lock(the.mutex);
  if (the.state == State::kRunning) return {};
  if (the.state == State::kFailed) return core::Error{0, the.failure};
  if (rte_lcore_count() != 0) {  // none before DPDK has started
    the.state = State::kRunning;
    the.huge = rte_eal_has_hugepages() != 0;
    the.of_the_host = true;
    return {};
  }
  const core::Result<bool> huge = choose_pages(options);
  if (!huge) return huge.error();

  // Before EAL opens the terminal and syslog for itself. The stream lives as long as the process.
  cookie_io_functions_t functions{};
  functions.write = write_words;
  if (FILE* stream = fopencookie(nullptr, "w", functions); stream != nullptr) {
    setvbuf(stream, nullptr, _IOLBF, 0);
    rte_openlog_stream(stream);
  }
  Start start;
  start.arguments = eal_arguments(options, *huge);
  Thread thread;
  if (auto made = thread.start("tl-eal", -1, run_start, &start); !made) return made.error();
  thread.join();
  const std::string said = take_eal_words();
  if (start.result < 0) {
    the.state = State::kFailed;
    the.failure = "DPDK does not start: " + (said.empty() ? std::string(rte_strerror(start.error)) : said) +
                  (*huge ? "; try dpdk.pages = \"small\", or free huge pages: " + huge_pages_command(1024)
                         : "; try huge pages: " + huge_pages_command(512) + ", or more dpdk.memory_mib");
    return core::Error{0, the.failure};
  }
  the.state = State::kRunning;
  the.huge = rte_eal_has_hugepages() != 0;
  return {};
}

std::string take_eal_words() {
  return words().take();
}
std::vector<std::string> take_eal_log() {
  return words().take_log();
}

std::string describe_eal() {
  Eal& the = eal();
  const std::lock_guard lock(the.mutex);
  if (the.state != State::kRunning) return "DPDK not started";
  return std::string(rte_version()) + (the.huge ? ", 2 MiB pages" : ", ordinary pages") +
         (the.of_the_host ? ", started by the host" : "");
}

Feature probe_eal() {
  DIR* drivers = opendir(RTE_EAL_PMD_PATH);
  if (drivers == nullptr) {
    return {false, std::string(rte_version()) + " without drivers in " RTE_EAL_PMD_PATH,
            "apt-get install libdpdk-dev"};
  }
  closedir(drivers);
  const HugePages pages = huge_pages();
  std::string detail =
      std::string(rte_version()) + ", " + std::to_string(pages.free) + " free pages of 2 MiB";
  if (pages.free == 0) detail += ": ordinary ones are used";
  return {true, detail, {}};
}

}  // namespace trunkline::io
