// The C ABI, part 1: nodes, configuration, names, statistics. Each function checks its arguments, says in one
// sentence what is wrong with them, and otherwise is a few calls. Queues are in relay/abi_queue.cc.
#include <algorithm>
#include <cstdio>
#include <ctime>
#include <string>

#include "relay/abi_state.h"
#include "relay/config_toml.h"
#include "relay/node_keys.h"
#include "relay/outcome.h"
#include "relay/stats_json.h"

namespace trunkline::relay {

namespace {

thread_local char last_error[1024] = "";

core::Result<NodeConfig> read_config(const char* path, const char* text) {
  if (text != nullptr) return parse_config(text, path != nullptr ? path : "config");
  return load_config(path);
}

// The configuration, and the key files that it names.
core::Result<void> check_config(const char* path, const char* text) {
  const auto config = read_config(path, text);
  if (!config) return config.error();
  if (!seals(*config)) return {};
  const auto keys = read_node_keys(*config, static_cast<uint64_t>(std::time(nullptr)));
  if (keys) return {};
  return core::Error{TL_ECONFIG, std::string(path != nullptr ? path : "config") + ": " + keys.error().text};
}

}  // namespace

int abi_error(int code, const char* format, ...) {
  va_list values;
  va_start(values, format);
  std::vsnprintf(last_error, sizeof last_error, format, values);
  va_end(values);
  return code;
}

int64_t copy_out(const std::string& from, char* to, size_t bytes) {
  if (to != nullptr && from.size() < bytes) std::memcpy(to, from.c_str(), from.size() + 1);
  return static_cast<int64_t>(from.size());
}

}  // namespace trunkline::relay

using trunkline::relay::abi_error;
using trunkline::relay::copy_out;

// ---- errors and names

const char* tl_error_name(int code) {
  switch (code) {
    case 0:
      return "OK";
    case TL_EINVAL:
      return "TL_EINVAL";
    case TL_ECONFIG:
      return "TL_ECONFIG";
    case TL_ESYSTEM:
      return "TL_ESYSTEM";
    case TL_EABI:
      return "TL_EABI";
    case TL_EFULL:
      return "TL_EFULL";
    case TL_ENOHANDLE:
      return "TL_ENOHANDLE";
    case TL_ENOTREADY:
      return "TL_ENOTREADY";
    case TL_EINUSE:
      return "TL_EINUSE";
    case TL_ETOOBIG:
      return "TL_ETOOBIG";
    case TL_ECLOSED:
      return "TL_ECLOSED";
    case TL_ETIMEOUT:
      return "TL_ETIMEOUT";
    default:
      return "?";
  }
}

const char* tl_last_error(void) {
  return trunkline::relay::last_error;
}

const char* tl_version(void) {
  return TRUNKLINE_VERSION;
}

const char* tl_outcome_name(uint32_t outcome) {
  if (outcome >= trunkline::relay::kOutcomeNumbers) return "?";
  return trunkline::relay::outcome_name(static_cast<trunkline::relay::Outcome>(outcome));
}

// ---- nodes

int tl_open(const tl_options* options, tl_node** node) {
  using namespace trunkline::relay;
  if (node == nullptr) return abi_error(TL_EINVAL, "tl_open: node is NULL: where should the node be put?");
  *node = nullptr;
  if (options == nullptr) return abi_error(TL_EINVAL, "tl_open: options is NULL");
  tl_options given{};
  if (!read_options(options, given))
    return abi_error(TL_EABI,
                     "tl_open: options.size is %u, and this library knows %zu bytes: set it to "
                     "sizeof(tl_options), or update the library",
                     options->size, sizeof(tl_options));
  if (given.abi != TL_ABI_VERSION)
    return abi_error(TL_EABI,
                     "tl_open: options.abi is %u, and this library speaks %u: set it to TL_ABI_VERSION, "
                     "or install the header that belongs to the library",
                     given.abi, TL_ABI_VERSION);
  if (given.config_path == nullptr && given.config_text == nullptr)
    return abi_error(TL_EINVAL, "tl_open: config_path and config_text are both NULL: give one of them");
  auto config = read_config(given.config_path, given.config_text);
  if (!config) return abi_error(TL_ECONFIG, "%s", config.error().text.c_str());
  auto runtime = NodeRuntime::start(std::move(config).value(), {given.log, given.log_user});
  if (!runtime) return abi_error(runtime.error().code, "%s", runtime.error().text.c_str());
  auto opened = std::make_unique<tl_node>();
  opened->runtime = std::move(runtime).value();
  NodeRings& rings = opened->runtime->rings();
  for (size_t i = 0; i < rings.channels.size(); ++i) {
    auto queue = std::make_unique<tl_queue>();
    queue->node = opened.get();
    queue->runtime = opened->runtime.get();
    queue->channel = rings.channels[i].get();
    for (const auto& core : rings.cores) queue->rings.push_back(core->queues[i].get());
    queue->rx_taken.resize(rings.cores.size());
    opened->queues.push_back(std::move(queue));
  }
  *node = opened.release();
  return 0;
}

int tl_close(tl_node* node, uint32_t drain_ms) {
  using namespace trunkline;
  if (node == nullptr) return 0;
  for (size_t i = 0; i < node->queues.size(); ++i) {
    if (node->runtime->rings().channels[i]->state() == relay::HostChannel::kOpen)
      return abi_error(TL_EINUSE, "tl_close: queue %zu is open: call tl_queue_close on every queue first", i);
  }
  node->runtime->stop(core::from_ms(drain_ms));
  delete node;
  return 0;
}

int tl_check_config(const char* config_path, const char* config_text, char* text, size_t text_bytes) {
  if (config_path == nullptr && config_text == nullptr)
    return abi_error(TL_EINVAL,
                     "tl_check_config: config_path and config_text are both NULL: give one of them");
  const auto checked = trunkline::relay::check_config(config_path, config_text);
  if (checked) return 0;
  if (text != nullptr && text_bytes > 0) std::snprintf(text, text_bytes, "%s", checked.error().text.c_str());
  return abi_error(TL_ECONFIG, "%s", checked.error().text.c_str());
}

// ---- names

int tl_track_id(const char* track_namespace, const char* name, uint8_t id[16]) {
  if (track_namespace == nullptr || name == nullptr || id == nullptr)
    return abi_error(TL_EINVAL, "tl_track_id: track_namespace, name and id must not be NULL");
  if (name[0] == 0) return abi_error(TL_EINVAL, "tl_track_id: name is empty: a track needs a name");
  const auto track = trunkline::relay::track_id(track_namespace, name);
  std::memcpy(id, track.bytes.data(), track.bytes.size());
  return 0;
}

int tl_node_track_id(const tl_node* node, const char* name, uint8_t id[16]) {
  if (node == nullptr) return abi_error(TL_EINVAL, "tl_node_track_id: node is NULL");
  const auto* setting = node->runtime->config().find_setting("track_namespace");
  return tl_track_id(setting != nullptr ? setting->current.c_str() : "", name, id);
}

// ---- statistics

int64_t tl_stats_json(const tl_node* node, char* json, size_t bytes) {
  if (node == nullptr) return abi_error(TL_EINVAL, "tl_stats_json: node is NULL");
  return copy_out(trunkline::relay::stats_json(*node->runtime), json, bytes);
}

int64_t tl_explain_json(tl_node* node, const uint8_t track[16], const char* name, char* json, size_t bytes) {
  using namespace trunkline::relay;
  if (node == nullptr || track == nullptr)
    return abi_error(TL_EINVAL, "tl_explain_json: node and track must not be NULL");
  Question question;
  std::memcpy(question.track.bytes.data(), track, question.track.bytes.size());
  const auto reply = std::make_unique<Reply>();
  if (auto asked = node->runtime->ask(question, *reply); !asked)
    return abi_error(asked.error().code, "tl_explain_json: %s", asked.error().text.c_str());
  return copy_out(explain_json(reply->explanation, name != nullptr ? name : ""), json, bytes);
}

int64_t tl_flights_json(tl_node* node, const uint8_t* track, uint32_t n, char* json, size_t bytes) {
  using namespace trunkline::relay;
  if (node == nullptr) return abi_error(TL_EINVAL, "tl_flights_json: node is NULL");
  Question question;
  question.kind = QuestionKind::kFlights;
  if (track != nullptr) std::memcpy(question.track.bytes.data(), track, question.track.bytes.size());
  const auto reply = std::make_unique<Reply>();
  std::string lines;
  for (uint32_t left = std::min(n, FlightRecorder::kKept); left > 0;) {
    if (auto asked = node->runtime->ask(question, *reply); !asked)
      return abi_error(asked.error().code, "tl_flights_json: %s", asked.error().text.c_str());
    const uint32_t count = std::min(left, reply->flight_count);
    for (uint32_t i = 0; i < count; ++i) lines += flight_json(reply->flights[i], reply->now) + "\n";
    if (reply->flight_count < kFlightsPerReply) break;
    question.before = reply->flights[count - 1].serial;
    left -= count;
  }
  return copy_out(lines, json, bytes);
}

int64_t tl_describe(const tl_node* node, char* text, size_t bytes) {
  if (node == nullptr) return abi_error(TL_EINVAL, "tl_describe: node is NULL");
  return copy_out(node->runtime->description(), text, bytes);
}

int64_t tl_listen_address(const tl_node* node, char* text, size_t bytes) {
  if (node == nullptr) return abi_error(TL_EINVAL, "tl_listen_address: node is NULL");
  return copy_out(node->runtime->listen_address().to_string(), text, bytes);
}
