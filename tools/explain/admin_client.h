// AdminClient: one connection to a node's admin socket, for a command that asks one thing and ends. Every
// wait is bounded; what goes wrong is one sentence. One thread.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace trunkline::tools {

class AdminClient {
 public:
  AdminClient() = default;
  ~AdminClient();
  AdminClient(const AdminClient&) = delete;
  AdminClient& operator=(const AdminClient&) = delete;

  // "" or why nobody is there.
  std::string connect(const std::string& path);
  // Sends one request and waits for its result. "" or what went wrong: the node's own words, or its silence.
  std::string call(const char* method, const nlohmann::json& params, nlohmann::json& result);

 private:
  bool read_line(std::string& line);

  int fd_ = -1;
  std::string path_;
  std::string input_;
};

}  // namespace trunkline::tools
