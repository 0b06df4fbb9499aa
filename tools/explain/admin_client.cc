// See admin_client.h. The socket's own timeouts bound each call; lines that are not the answer (the greeting,
// events) are skipped, a bounded number of them.
#include "tools/explain/admin_client.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

namespace trunkline::tools {

namespace {

using nlohmann::json;

constexpr time_t kPatienceSeconds = 3;           // the node gives up after one
constexpr std::size_t kLineBytesMax = 8u << 20;  // a thousand flights are a tenth of it
constexpr int kForeignLinesMax = 1'000;

}  // namespace

AdminClient::~AdminClient() {
  if (fd_ >= 0) close(fd_);
}

std::string AdminClient::connect(const std::string& path) {
  path_ = path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return "'" + path + "' is too long for a Unix socket";
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  fd_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return std::string("socket: ") + std::strerror(errno);
  const timeval patience{kPatienceSeconds, 0};
  setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  setsockopt(fd_, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return "";
  const int error = errno;
  if (error == ENOENT) return "there is no socket '" + path + "'";
  if (error == ECONNREFUSED) return "nobody listens on '" + path + "'";
  return "'" + path + "': " + std::strerror(error);
}

bool AdminClient::read_line(std::string& line) {
  for (;;) {
    const std::size_t end = input_.find('\n');
    if (end != std::string::npos) {
      line = input_.substr(0, end);
      input_.erase(0, end + 1);
      return true;
    }
    if (input_.size() > kLineBytesMax) return false;
    char bytes[64 * 1024];
    const ssize_t n = recv(fd_, bytes, sizeof bytes, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    input_.append(bytes, static_cast<std::size_t>(n));
  }
}

std::string AdminClient::call(const char* method, const json& params, json& result) {
  const std::string request =
      json{{"jsonrpc", "2.0"}, {"id", 1}, {"method", method}, {"params", params}}.dump() + "\n";
  const std::string silence = "the process behind '" + path_ +
                              "' takes connections and does not answer: it is stopped, "
                              "or busy beyond measure";
  if (send(fd_, request.data(), request.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(request.size()))
    return silence;
  std::string line;
  for (int lines = 0; lines < kForeignLinesMax && read_line(line); ++lines) {
    const json message = json::parse(line, nullptr, false);
    if (!message.is_object()) return "'" + path_ + "' does not speak the admin protocol";
    if (message.contains("method")) continue;
    if (message.contains("error")) return message["error"].value("message", std::string("refused"));
    if (!message.contains("result")) return "'" + path_ + "' does not speak the admin protocol";
    result = message["result"];
    return "";
  }
  return silence;
}

}  // namespace trunkline::tools
