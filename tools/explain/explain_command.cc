// See explain_command.h.
#include "tools/explain/explain_command.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "relay/config_toml.h"
#include "tools/explain/admin_client.h"
#include "trunkline/trunkline.h"

namespace trunkline::tools {
namespace {

using nlohmann::json;

constexpr int kAnswered = 0, kExitUsage = 1, kExitNoNode = 3;

bool is_id(const std::string& track) {
  return track.size() == 32 && track.find_first_not_of("0123456789abcdefABCDEF") == std::string::npos;
}

json track_params(const std::string& track) {
  return track.empty() ? json::object() : json{{is_id(track) ? "track_id" : "track", track}};
}

// Where the node is to be found, or why it cannot run.
struct Target {
  std::string admin;
  std::string trouble;  // what --check-config would say
};

Target find_target(const std::string& config_path, const std::string& admin_path) {
  Target target{admin_path, ""};
  if (config_path.empty()) return target;
  std::array<char, 2'048> text{};
  if (tl_check_config(config_path.c_str(), nullptr, text.data(), text.size()) != 0) {
    target.trouble = text.data();
    return target;
  }
  if (!target.admin.empty()) return target;
  const auto config = relay::load_config(config_path.c_str());
  if (config) target.admin = config->admin_socket;
  return target;
}

int no_socket(const std::string& what) {
  std::fprintf(
      stderr,
      "trunkline %s: where is the node? Give --config with a file that has node.admin, or --admin with the "
      "path of its socket\n",
      what.c_str());
  return kExitUsage;
}

// What the first line says when no node answers: the configuration, if it is the cause.
int no_node(const ExplainCommand& command, const Target& target, const std::string& why, std::string next) {
  std::string line = "track '" + command.track + "' does not flow: ";
  if (!target.trouble.empty()) {
    line += "no node can start from this configuration: " + target.trouble;
    next = "repair the configuration, then start the node";
  } else {
    line += why;
  }
  if (command.json) {
    const json object = {{"line", line}, {"cause", "NOT_RUNNING"}, {"next", next}, {"text", line + "\n"}};
    std::printf("%s\n", object.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
  } else {
    std::printf("%s\n\n  next         %s\n", line.c_str(), next.c_str());
    if (!target.trouble.empty() && !why.empty()) std::printf("  node         %s\n", why.c_str());
  }
  return target.trouble.empty() ? kExitNoNode : kExitUsage;
}

}  // namespace

int run_explain(const ExplainCommand& command) {
  const Target target = find_target(command.config_path, command.admin_path);
  if (target.admin.empty())
    return target.trouble.empty() ? no_socket("explain") : no_node(command, target, "", "");
  AdminClient client;
  if (const std::string why = client.connect(target.admin); !why.empty()) {
    const std::string config = command.config_path.empty() ? "FILE" : command.config_path;
    return no_node(command, target, "no node runs here: " + why,
                   "start it: trunkline node --config " + config);
  }
  json result;
  if (const std::string why = client.call("explain", track_params(command.track), result); !why.empty())
    return no_node(command, target, "the node does not say why: " + why,
                   "see the state of its process, and its log");
  const std::string text =
      command.json
          ? result.dump(-1, ' ', false, json::error_handler_t::replace) + "\n"
          : result.value("text", std::string("the node's answer has no text: is it of another version?\n"));
  std::fputs(text.c_str(), stdout);
  // It runs on an older version of the file: the next start would fail.
  if (!target.trouble.empty() && !command.json)
    std::printf("\n  warning      the node would not start again: %s\n", target.trouble.c_str());
  return kAnswered;
}

int run_flights(const FlightsCommand& command) {
  const Target target = find_target(command.config_path, command.admin_path);
  if (target.admin.empty()) {
    if (target.trouble.empty()) return no_socket("flights");
    std::fprintf(stderr, "trunkline flights: %s\n", target.trouble.c_str());
    return kExitUsage;
  }
  AdminClient client;
  json params = track_params(command.track);
  params["count"] = command.count;
  json result;
  std::string why = client.connect(target.admin);
  if (why.empty()) why = client.call("flights", params, result);
  if (!why.empty()) {
    std::fprintf(stderr, "trunkline flights: %s\n", why.c_str());
    return kExitNoNode;
  }
  for (const json& flight : result)
    std::printf("%s\n", flight.dump(-1, ' ', false, json::error_handler_t::replace).c_str());
  return kAnswered;
}

}  // namespace trunkline::tools
