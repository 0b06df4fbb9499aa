// The admin language: parse, check every member, call the library, answer. Exceptions are RpcError only and
// end in received(); nothing here waits.
#include "tools/node/admin_protocol.h"

#include <array>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/suggest.h"

namespace trunkline::tools {
namespace {

using nlohmann::json;

// JSON-RPC 2.0, section 5.1; -32000 is ours: the library refused, its code is in data.code.
constexpr int kParseError = -32700, kInvalidRequest = -32600, kNoMethod = -32601, kInvalidParams = -32602,
              kRefused = -32000;

struct RpcError {
  int code;
  std::string text;
};

[[noreturn]] void bad_params(const std::string& text) {
  throw RpcError{kInvalidParams, text};
}

// " - did you mean 'x'?", or "" when nothing known is near.
std::string did_you_mean(std::string_view word, std::initializer_list<std::string_view> known) {
  const std::string_view nearest = core::nearest_word(word, known);
  return nearest.empty() ? std::string() : " - did you mean '" + std::string(nearest) + "'?";
}

void check_library(int result, const char* what) {
  if (result < 0) {
    throw RpcError{kRefused, std::string(what) + ": " + tl_error_name(result) + ": " + tl_last_error()};
  }
}

// What a tl_... function writes into a buffer whose size is not known before: again, with more room, until it
// fits.
template <class Write>
std::string grown(const char* what, Write&& write) {
  std::string text(1 << 16, '\0');
  for (int tries = 0; tries < 8; ++tries) {
    const int64_t length = write(text.data(), text.size());
    check_library(static_cast<int>(length < 0 ? length : 0), what);
    const bool fits = static_cast<std::size_t>(length) < text.size();
    text.resize(static_cast<std::size_t>(length) + (fits ? 0 : 4'096));
    if (fits) return text;
  }
  throw RpcError{kRefused, std::string(what) + ": the text grows faster than it can be read: ask again"};
}

json parsed(const char* what, const std::string& text) {
  json value = json::parse(text, nullptr, false);
  if (value.is_discarded())
    throw RpcError{kRefused, std::string(what) + ": the library's JSON did not parse: please report this"};
  return value;
}

// Values are copied and written by recursion: a line of 64 KiB of brackets would need more stack than there
// is.
constexpr int kMaxNesting = 16;  // a request needs two levels
bool nests_too_deep(std::string_view line) {
  int depth = 0;
  bool in_string = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '[' || c == '{') {
      if (++depth > kMaxNesting) return true;
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return false;
}

// Unknown members are errors: a misspelt option that is silently ignored is how the wrong track gets
// published.
void allow_only(const json& params, std::initializer_list<std::string_view> known) {
  for (const auto& [key, value] : params.items()) {
    bool found = false;
    for (std::string_view k : known) found |= k == key;
    if (!found) bad_params("unknown member '" + key + "'" + did_you_mean(key, known));
  }
}

std::string bytes_member(const json& params, const char* key) {
  if (!params.contains(key)) return {};
  if (!params[key].is_string()) bad_params(std::string("'") + key + "' must be a string");
  return params[key].get<std::string>();
}

// One that the library takes as a C string: cut off at a zero it would be another name.
std::string text_member(const json& params, const char* key) {
  std::string text = bytes_member(params, key);
  if (text.find('\0') != std::string::npos) bad_params(std::string("'") + key + "' must not contain \\u0000");
  return text;
}

int64_t number_member(const json& params, const char* key, int64_t fallback, int64_t low, int64_t high) {
  if (!params.contains(key)) return fallback;
  if (!params[key].is_number_integer()) bad_params(std::string("'") + key + "' must be a whole number");
  const bool huge =
      params[key].is_number_unsigned() && params[key].get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t value = huge ? INT64_MAX : params[key].get<int64_t>();
  if (huge || value < low || value > high) {
    bad_params(std::string("'") + key + "' must be between " + std::to_string(low) + " and " +
               std::to_string(high));
  }
  return value;
}

bool flag_member(const json& params, const char* key) {
  if (!params.contains(key)) return false;
  if (!params[key].is_boolean()) bad_params(std::string("'") + key + "' must be true or false");
  return params[key].get<bool>();
}

uint64_t handle_member(const json& params) {
  if (!params.contains("handle") || !params["handle"].is_number_unsigned()) {
    bad_params("'handle' is missing: give the number that publish or acquire returned");
  }
  return params["handle"].get<uint64_t>();
}

uint32_t class_member(const json& params) {
  const std::string name = text_member(params, "class");
  if (name.empty() || name == "rest") return TL_CLASS_REST;
  if (name == "audio") return TL_CLASS_AUDIO;
  if (name == "video") return TL_CLASS_VIDEO_BASE;
  bad_params("'class' is '" + name + "': it must be \"audio\", \"video\" or \"rest\"");
}

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string hex_text(const uint8_t* bytes, std::size_t n) {
  static constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (std::size_t i = 0; i < n; ++i) {
    out += kDigits[bytes[i] >> 4];
    out += kDigits[bytes[i] & 15];
  }
  return out;
}

const char* event_name(uint32_t kind) {
  static constexpr const char* kNames[] = {"published", "publish_failed", "unpublished",
                                           "outcome",   "ended",          "too_big"};
  return kind < std::size(kNames) ? kNames[kind] : "?";
}

bool frees_handle(const tl_event& e) {
  switch (e.kind) {
    case TL_EVENT_PUBLISH_FAILED:
    case TL_EVENT_UNPUBLISHED:
    case TL_EVENT_ENDED:
      return true;
    case TL_EVENT_OUTCOME:
      return e.outcome != TL_OUTCOME_OK;
    default:
      return false;
  }
}

json describe_event(const tl_event& e, const std::string& track) {
  json out = {
      {"event", event_name(e.kind)}, {"handle", e.handle}, {"track_id", hex_text(e.track, sizeof e.track)}};
  if (!track.empty()) out["track"] = track;
  if (e.kind == TL_EVENT_OUTCOME || e.kind == TL_EVENT_ENDED) {
    out["outcome"] = tl_outcome_name(e.outcome);
    out["node"] = e.node_id;
    out["elapsed_us"] = e.elapsed_us;
    out["attempts"] = e.attempts;
    out["authoritative"] = e.authoritative != 0;
  }
  if (e.kind == TL_EVENT_OUTCOME && e.outcome == TL_OUTCOME_OK) {
    out["flowing"] = e.flowing != 0;
    out["local"] = e.local != 0;
    out["descriptor"] = hex_text(e.descriptor, e.descriptor_bytes);
  }
  if (e.generation != 0) out["generation"] = e.generation;
  if (e.address[0] != 0) out["address"] = e.address;
  if (e.text[0] != 0) out["text"] = e.text;
  if (e.kind == TL_EVENT_TOO_BIG) {
    out["size"] = e.size;
    out["size_max"] = e.size_max;
  }
  return out;
}

}  // namespace

AdminProtocol::AdminProtocol(tl_node* node, tl_queue* queue, Send send)
    : node_(node), queue_(queue), send_(std::move(send)) {}

void AdminProtocol::connected(ClientId client) {
  const json hello = {{"jsonrpc", "2.0"},
                      {"method", "hello"},
                      {"params", {{"service", "trunkline"}, {"api", kAdminApi}, {"version", tl_version()}}}};
  send_(client, hello.dump() + "\n");
}

void AdminProtocol::received(ClientId client, std::string_view line) {
  if (nests_too_deep(line)) {
    return fail(client, nullptr, kInvalidRequest,
                "nested deeper than " + std::to_string(kMaxNesting) + " levels: no request needs that");
  }
  const json request = json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (request.is_discarded()) {
    return fail(client, nullptr, kParseError, "not JSON: send one JSON-RPC 2.0 object per line");
  }
  if (!request.is_object()) {
    return fail(client, nullptr, kInvalidRequest,
                "not an object: batches are not supported, send one request per line");
  }
  const json id = request.value("id", json(nullptr));
  if (!request.contains("method") || !request["method"].is_string()) {
    return fail(client, id, kInvalidRequest, "'method' is missing or not a string");
  }
  const json params = request.value("params", json::object());
  if (!params.is_object())
    return fail(client, id, kInvalidRequest, "'params' must be an object with named members");
  try {
    reply(client, id, call(client, request["method"].get<std::string>(), params));
  } catch (const RpcError& e) {
    fail(client, id, e.code, e.text);
  }
}

void AdminProtocol::overlong(ClientId client) {
  fail(client, nullptr, kInvalidRequest,
       "the line is longer than " + std::to_string(kAdminLineBytesMax) + " bytes: it was skipped");
}

void AdminProtocol::disconnected(ClientId client) {
  for (auto& [handle, entry] : handles_) {
    if (entry.client != client) continue;
    entry.client = 0;
    if (entry.detached) continue;
    if (entry.publication) {
      tl_unpublish(queue_, handle);
    } else {
      tl_release(queue_, handle);
    }
  }
}

int AdminProtocol::pump_events() {
  std::array<tl_event, 16> events;
  int total = 0;
  for (int rounds = 0; rounds < 64; ++rounds) {  // bounded: the caller comes back
    const int n = tl_queue_events(queue_, events.data(), static_cast<uint32_t>(events.size()));
    for (int i = 0; i < n; ++i) deliver(events[static_cast<std::size_t>(i)]);
    total += n > 0 ? n : 0;
    if (n < static_cast<int>(events.size())) break;
  }
  return total;
}

void AdminProtocol::deliver(const tl_event& event) {
  const auto entry = handles_.find(event.handle);
  if (entry == handles_.end()) return;
  entry->second.state =
      event.kind == TL_EVENT_OUTCOME ? tl_outcome_name(event.outcome) : event_name(event.kind);
  if (entry->second.client != 0) {
    const json note = {
        {"jsonrpc", "2.0"}, {"method", "event"}, {"params", describe_event(event, entry->second.track)}};
    send_(entry->second.client, note.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
  }
  if (frees_handle(event)) handles_.erase(entry);
}

void AdminProtocol::reply(ClientId client, const json& id, const json& result) {
  const json message = {{"jsonrpc", "2.0"}, {"id", id}, {"result", result}};
  send_(client, message.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
}

void AdminProtocol::fail(ClientId client, const json& id, int code, const std::string& text) {
  const json message = {{"jsonrpc", "2.0"}, {"id", id}, {"error", {{"code", code}, {"message", text}}}};
  send_(client, message.dump(-1, ' ', false, json::error_handler_t::replace) + "\n");
}

json AdminProtocol::call(ClientId client, const std::string& method, const json& params) {
  if (method == "publish") return publish(client, params);
  if (method == "acquire") return acquire(client, params);
  if (method == "unpublish") return end(params, true);
  if (method == "release") return end(params, false);
  if (method == "hint") return hint(params);
  if (method == "explain") return explain(params);
  if (method == "flights") return flights(params);
  if (method == "drain") return drain(params, true);
  if (method == "undrain") return drain(params, false);
  allow_only(params, {});
  if (method == "list") return list();
  if (method == "stats") return stats();
  if (method == "ping") return json::object();
  if (method == "describe") {
    std::array<char, 4096> text{};
    tl_describe(node_, text.data(), text.size());
    return {{"text", text.data()}};
  }
  throw RpcError{kNoMethod, "no method '" + method + "'" +
                                did_you_mean(method, {"publish", "unpublish", "acquire", "release", "hint",
                                                      "explain", "flights", "drain", "undrain", "list",
                                                      "stats", "describe", "ping"})};
}

void AdminProtocol::read_track(const json& params, uint8_t id[16], std::string& name) const {
  name = text_member(params, "track");
  const std::string digits = text_member(params, "track_id");
  if (name.empty() == digits.empty()) {
    bad_params("give either 'track' (a name) or 'track_id' (32 hexadecimal digits)");
  }
  if (!name.empty()) return check_library(tl_node_track_id(node_, name.c_str(), id), "track");
  if (digits.size() != 32)
    bad_params("'track_id' must be 32 hexadecimal digits, not " + std::to_string(digits.size()));
  for (std::size_t i = 0; i < 16; ++i) {
    const int high = hex_digit(digits[2 * i]), low = hex_digit(digits[2 * i + 1]);
    if (high < 0 || low < 0) bad_params("'track_id' has a character that is not a hexadecimal digit");
    id[i] = static_cast<uint8_t>(high * 16 + low);
  }
}

json AdminProtocol::publish(ClientId client, const json& params) {
  allow_only(params, {"track", "track_id", "class", "generation", "descriptor", "ingest", "ingest_from",
                      "codec", "ssrc", "detached"});
  tl_publish_options options{};
  options.size = sizeof options;
  Handle entry;
  read_track(params, options.track, entry.track);
  options.traffic_class = class_member(params);
  options.generation = static_cast<uint64_t>(number_member(params, "generation", 0, 0, INT64_MAX));
  options.ssrc = static_cast<uint32_t>(number_member(params, "ssrc", 0, 0, UINT32_MAX));
  const std::string descriptor = bytes_member(params, "descriptor");
  const std::string ingest = text_member(params, "ingest"), codec = text_member(params, "codec");
  const std::string from = text_member(params, "ingest_from");
  options.descriptor = descriptor.data();
  options.descriptor_bytes = static_cast<uint32_t>(descriptor.size());
  options.ingest = ingest.empty() ? nullptr : ingest.c_str();
  options.codec = codec.empty() ? nullptr : codec.c_str();
  options.ingest_from = from.empty() ? nullptr : from.c_str();
  entry.client = client;
  entry.publication = true;
  entry.detached = flag_member(params, "detached");
  entry.state = "asked";
  uint64_t handle = 0;
  check_library(tl_publish(queue_, &options, &handle), "publish");
  handles_[handle] = entry;
  return {{"handle", handle}, {"track_id", hex_text(options.track, 16)}};
}

json AdminProtocol::acquire(ClientId client, const json& params) {
  allow_only(params, {"track", "track_id", "deadline_ms", "rendezvous_ms", "egress", "detached"});
  tl_acquire_options options{};
  options.size = sizeof options;
  Handle entry;
  read_track(params, options.track, entry.track);
  options.deadline_ms = static_cast<uint32_t>(number_member(params, "deadline_ms", 0, 0, 3'600'000));
  options.rendezvous_ms = static_cast<int32_t>(number_member(params, "rendezvous_ms", 0, -1, 3'600'000));
  const std::string egress = text_member(params, "egress");
  options.egress = egress.empty() ? nullptr : egress.c_str();
  entry.client = client;
  entry.detached = flag_member(params, "detached");
  entry.state = "asked";
  uint64_t handle = 0;
  check_library(tl_acquire(queue_, &options, &handle), "acquire");
  handles_[handle] = entry;
  return {{"handle", handle}, {"track_id", hex_text(options.track, 16)}};
}

json AdminProtocol::end(const json& params, bool publication) {
  allow_only(params, {"handle"});
  const uint64_t handle = handle_member(params);
  const auto entry = handles_.find(handle);
  if (entry == handles_.end() || entry->second.publication != publication) {
    bad_params("no " + std::string(publication ? "publication" : "acquisition") + " has handle " +
               std::to_string(handle) + ": it has ended, or it belongs to another method (see list)");
  }
  check_library(publication ? tl_unpublish(queue_, handle) : tl_release(queue_, handle),
                publication ? "unpublish" : "release");
  return json::object();
}

json AdminProtocol::hint(const json& params) {
  allow_only(params, {"track", "track_id", "node"});
  uint8_t id[16];
  std::string name;
  read_track(params, id, name);
  if (!params.contains("node"))
    bad_params("'node' is missing: the id of the node that is said to have the track");
  check_library(tl_hint(queue_, id, static_cast<uint64_t>(number_member(params, "node", 0, 1, INT64_MAX))),
                "hint");
  return json::object();
}

json AdminProtocol::drain(const json& params, bool on) {
  if (on) {
    allow_only(params, {"node"});
  } else {
    allow_only(params, {});
  }
  const auto successor = static_cast<uint64_t>(number_member(params, "node", 0, 1, INT64_MAX));
  check_library(tl_drain(queue_, on ? 1 : 0, successor), on ? "drain" : "undrain");
  return json::object();
}

json AdminProtocol::explain(const json& params) {
  allow_only(params, {"track", "track_id"});
  uint8_t id[16];
  std::string name;
  read_track(params, id, name);
  const std::string text = grown("explain", [&](char* to, std::size_t bytes) {
    return tl_explain_json(node_, id, name.c_str(), to, bytes);
  });
  return parsed("explain", text);
}

json AdminProtocol::flights(const json& params) {
  allow_only(params, {"track", "track_id", "count"});
  const auto count = static_cast<uint32_t>(number_member(params, "count", 20, 1, 1'000));
  uint8_t id[16];
  std::string name;
  const bool one = params.contains("track") || params.contains("track_id");
  if (one) read_track(params, id, name);
  const std::string lines = grown("flights", [&](char* to, std::size_t bytes) {
    return tl_flights_json(node_, one ? id : nullptr, count, to, bytes);
  });
  json out = json::array();
  for (std::size_t at = 0, end; (end = lines.find('\n', at)) != std::string::npos; at = end + 1)
    out.push_back(parsed("flights", lines.substr(at, end - at)));
  return out;
}

json AdminProtocol::list() const {
  json out = json::array();
  for (const auto& [handle, entry] : handles_) {
    out.push_back({{"handle", handle},
                   {"kind", entry.publication ? "publication" : "acquisition"},
                   {"track", entry.track},
                   {"state", entry.state}});
  }
  return out;
}

json AdminProtocol::stats() const {
  return parsed("stats",
                grown("stats", [&](char* to, std::size_t bytes) { return tl_stats_json(node_, to, bytes); }));
}

}  // namespace trunkline::tools
