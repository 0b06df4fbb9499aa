// The admin socket's language on a real node: lines as a client sends them, one reply for each, which is JSON
// in one line and answers the line's id. What the client leaves behind is cleared away.
#include <nlohmann/json.hpp>

#include "relay/text.h"
#include "tests/fuzz/target.h"
#include "tests/support/lab_node.h"
#include "tools/node/admin_protocol.h"

using nlohmann::json;

namespace {

struct Server {
  trunkline::Expected<trunkline::Node> node = trunkline::tests::open_lab({});
  tl_queue* queue = nullptr;
  std::vector<std::string> sent;
  std::unique_ptr<trunkline::tools::AdminProtocol> protocol;
  uint64_t client = 0;

  Server() {
    EXPECT_TRUE(node) << node.error().text;
    EXPECT_EQ(tl_queue_open(node->get(), 0, &queue), 0);
    protocol = std::make_unique<trunkline::tools::AdminProtocol>(
        node->get(), queue, [this](uint64_t, const std::string& line) { sent.push_back(line); });
  }
  // Never taken down: a process that is ended by a failure need not end its threads in order.
  static Server& get() {
    static Server* const server = new Server;
    return *server;
  }

  // The one reply to a line; events are left out.
  json ask(std::string_view line) {
    sent.clear();
    protocol->received(client, line);
    EXPECT_EQ(sent.size(), 1u);
    if (sent.size() != 1) return {};
    EXPECT_EQ(sent[0].find('\n'), sent[0].size() - 1) << "one line";
    json reply = json::parse(sent[0], nullptr, false);
    EXPECT_TRUE(reply.is_object()) << sent[0];
    EXPECT_NE(reply.contains("result"), reply.contains("error"));
    return reply;
  }
  void clear_away() {
    protocol->disconnected(client);
    protocol->connected(++client);
    (void)ask(R"({"method":"undrain"})");
    // What was detached outlives its client.
    const json all = ask(R"({"method":"list"})");
    for (const json& entry : all.value("result", json::array())) {
      const bool publication = entry.value("kind", "") == "publication";
      (void)ask(
          json{{"method", publication ? "unpublish" : "release"}, {"params", {{"handle", entry["handle"]}}}}
              .dump());
    }
    protocol->pump_events();
  }
};

}  // namespace

TRUNKLINE_FUZZ_TARGET(admin) {
  Server& server = Server::get();
  server.protocol->connected(++server.client);
  std::string_view rest = trunkline::relay::as_text(input);
  for (int lines = 0; !rest.empty() && lines < 8; ++lines) {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    const json reply = server.ask(line);
    const json asked = json::parse(line, nullptr, false);
    if (asked.is_object() && reply.contains("id")) {
      // By reference: a copy of what nests 60 000 deep needs more stack than there is.
      const auto id = asked.find("id");
      const bool plain = id == asked.end() || id->is_string() || id->is_number() || id->is_null();
      if (plain) {
        EXPECT_EQ(reply["id"], id == asked.end() ? json() : *id);
      }
    }
    if (!asked.is_object()) {
      EXPECT_TRUE(reply.contains("error"));
    }
    server.protocol->pump_events();
  }
  server.clear_away();
}
