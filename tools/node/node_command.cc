// The life of `trunkline node`: configuration, library, admin socket, a signal, an orderly end.
#include "tools/node/node_command.h"

#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

#include "relay/config_toml.h"
#include "relay/topology.h"
#include "tools/node/admin_server.h"
#include "tools/node/dev_node.h"
#include "tools/node/logging.h"
#include "trunkline/trunkline.h"

namespace trunkline::tools {
namespace {

constexpr int kExitUsage = 1, kExitSystem = 3;
constexpr uint32_t kDrainMs = 1'000;

int complain(const std::string& text, int code) {
  std::fprintf(stderr, "trunkline node: %s\n", text.c_str());
  return code;
}

core::Result<std::string> read_text(const NodeCommand& command) {
  if (command.dev != 0 && !command.config_path.empty())
    return core::Error{0, "--config and --dev exclude each other: give one of them"};
  if (command.dev != 0) return dev_config(command.dev);
  if (command.config_path.empty())
    return core::Error{0, "no configuration: give --config FILE, or --dev 1 to try it on this machine alone"};
  std::ifstream file(command.config_path);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file)
    return core::Error{0, "cannot read '" + command.config_path + "': check the path and its permissions"};
  return text;
}

int check_config(const std::string& name, const std::string& config) {
  std::array<char, 2048> text{};
  if (tl_check_config(name.c_str(), config.c_str(), text.data(), text.size()) == 0) {
    std::printf("%s: OK\n", name.c_str());
    return 0;
  }
  std::fprintf(stderr, "%s\n", text.data());
  return kExitUsage;
}

// Blocks SIGTERM and SIGINT for this and all later threads and turns them into a descriptor.
int signal_descriptor() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
  return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

// Serves the admin socket until a signal arrives.
void serve(int signals, tl_queue* queue, AdminServer& admin) {
  std::vector<pollfd> descriptors;
  for (;;) {
    descriptors.clear();
    descriptors.push_back({signals, POLLIN, 0});
    descriptors.push_back({tl_queue_fd(queue), POLLIN, 0});
    admin.collect(descriptors);
    const int timeout_ms = tl_queue_arm(queue) == 1 ? 0 : 1'000;
    if (poll(descriptors.data(), descriptors.size(), timeout_ms) < 0) continue;
    if (descriptors[0].revents != 0) return;
    if (descriptors[1].revents != 0) {
      uint64_t count = 0;
      (void)!read(tl_queue_fd(queue), &count, sizeof count);
    }
    admin.handle(descriptors);
    if (admin.listening()) {
      admin.pump_events();
    } else {
      std::array<tl_event, 16> unread;
      tl_queue_events(queue, unread.data(), unread.size());
    }
  }
}

int print_topology(const relay::NodeConfig& config) {
  std::fputs(relay::topology_text(config).c_str(), stdout);
  return 0;
}

}  // namespace

int run_node(const NodeCommand& command) {
  const std::string bad_log = configure_logging(
      command.log_format == "json" ? LogFormat::kJson : LogFormat::kHuman, command.log_level);
  if (!bad_log.empty()) return complain(bad_log, kExitUsage);
  const std::string name = command.dev != 0 ? "--dev " + std::to_string(command.dev) : command.config_path;
  const core::Result<std::string> text = read_text(command);
  if (!text) return complain(text.error().text, kExitUsage);
  if (command.check_config) return check_config(name, *text);
  const core::Result<relay::NodeConfig> config = relay::parse_config(*text, name);
  if (!config) return complain(config.error().text, kExitUsage);
  if (command.print_topology) return print_topology(*config);

  const int signals = signal_descriptor();
  tl_options options{};
  options.size = sizeof options;
  options.abi = TL_ABI_VERSION;
  options.config_path = name.c_str();
  options.config_text = text->c_str();
  options.log = log_line;
  tl_node* node = nullptr;
  const int opened = tl_open(&options, &node);
  if (opened != 0) {
    return complain(std::string(tl_error_name(opened)) + ": " + tl_last_error(),
                    opened == TL_ECONFIG ? kExitUsage : kExitSystem);
  }
  tl_queue* queue = nullptr;
  tl_queue_open(node, 0, &queue);

  int exit_code = 0;
  {
    AdminServer admin;
    std::string refused;
    if (!config->admin_socket.empty()) refused = admin.listen(config->admin_socket, node, queue);
    if (refused.empty()) {
      if (admin.listening())
        log_line(nullptr, TL_LOG_INFO, ("admin socket: " + config->admin_socket).c_str());
      log_line(nullptr, TL_LOG_INFO, "ready; SIGTERM ends it");
      serve(signals, queue, admin);
      log_line(nullptr, TL_LOG_INFO, "ending: publications are withdrawn, then the threads stop");
    } else {
      exit_code = complain(refused, kExitSystem);
    }
  }
  tl_queue_close(queue);
  const int closed = tl_close(node, kDrainMs);
  if (closed != 0) return complain(std::string(tl_error_name(closed)) + ": " + tl_last_error(), kExitSystem);
  close(signals);
  return exit_code;
}

}  // namespace trunkline::tools
