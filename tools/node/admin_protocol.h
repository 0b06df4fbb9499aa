// The admin socket's language: newline-delimited JSON-RPC 2.0, one object per line, on the C ABI of the
// library.
//
//   on connect   <- {"jsonrpc":"2.0","method":"hello","params":{"service":"trunkline","api":1,...}}
//   publish      {"track":"room/cam","class":"video","ingest":"127.0.0.1:5004"}  ->  {"handle":1}
//   unpublish    {"handle":1}
//   acquire      {"track":"room/cam","deadline_ms":1000,"egress":"127.0.0.1:6004"}  ->  {"handle":2}
//   release      {"handle":2}
//   hint         {"track":"room/cam","node":2}
//   drain        {"node":3}   new requests of peers are referred to node 3; undrain {} ends it
//   explain      {"track":"room/cam"}  ->  {"line":"track 'room/cam' flows from node 2 ...",...}
//   flights      {"count":20,"track":"room/cam"}  ->  [{"outcome":"OK",...}, ...], the newest first
//   list | stats | describe | ping   {}
//   events       <- {"method":"event","params":{"event":"outcome","handle":2,"outcome":"OK",...}}
//
// A handle belongs to the connection that made it: its events go there, and it is released when the
// connection ends ("detached": true keeps it, without events). Any `track` is a name; "track_id" with 32
// hexadecimal digits may stand in for it. Every error says what is wrong and what to do. One thread; nothing
// here blocks, but explain and flights wait for the mesh thread's word, at most a second.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "trunkline/trunkline.h"

namespace trunkline::tools {

inline constexpr int kAdminApi = 1;
inline constexpr std::size_t kAdminLineBytesMax = 64 * 1024;

class AdminProtocol {
 public:
  using ClientId = uint64_t;
  using Send = std::function<void(ClientId, const std::string& line)>;  // `line` ends in \n

  // `queue` is used by this object only. `send` is called from the methods below.
  AdminProtocol(tl_node* node, tl_queue* queue, Send send);

  void connected(ClientId client);
  // `line` without its newline.
  void received(ClientId client, std::string_view line);
  // The line was longer than kAdminLineBytesMax; the transport skips to the next newline.
  void overlong(ClientId client);
  void disconnected(ClientId client);
  // Takes what the queue has and sends it to whom it belongs. Returns how many events.
  int pump_events();

 private:
  struct Handle {
    ClientId client = 0;
    bool detached = false;
    bool publication = false;
    std::string track;
    std::string state;  // for list
  };

  void reply(ClientId client, const nlohmann::json& id, const nlohmann::json& result);
  void fail(ClientId client, const nlohmann::json& id, int code, const std::string& text);
  nlohmann::json call(ClientId client, const std::string& method, const nlohmann::json& params);
  nlohmann::json publish(ClientId client, const nlohmann::json& params);
  nlohmann::json acquire(ClientId client, const nlohmann::json& params);
  nlohmann::json end(const nlohmann::json& params, bool publication);
  nlohmann::json hint(const nlohmann::json& params);
  nlohmann::json drain(const nlohmann::json& params, bool on);
  nlohmann::json explain(const nlohmann::json& params);
  nlohmann::json flights(const nlohmann::json& params);
  nlohmann::json list() const;
  nlohmann::json stats() const;
  void deliver(const tl_event& event);
  void read_track(const nlohmann::json& params, uint8_t id[16], std::string& name) const;

  tl_node* node_;
  tl_queue* queue_;
  Send send_;
  std::map<uint64_t, Handle> handles_;
};

}  // namespace trunkline::tools
