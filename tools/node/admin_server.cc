// The admin transport: accept, read lines, write what is queued, drop who is broken. All bounded, all
// non-blocking.
#include "tools/node/admin_server.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace trunkline::tools {
namespace {

bool somebody_listens(const sockaddr_un& address) {
  const int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (probe < 0) return false;
  const bool live = connect(probe, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
  close(probe);
  return live;
}

std::string system_text(const std::string& what, const std::string& remedy) {
  return what + ": " + std::strerror(errno) + "; " + remedy;
}

}  // namespace

AdminServer::~AdminServer() {
  for (auto& [id, client] : clients_) close(client.fd);
  if (listener_ >= 0) {
    close(listener_);
    unlink(path_.c_str());
  }
}

std::string AdminServer::listen(const std::string& path, tl_node* node, tl_queue* queue) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return "node.admin: '" + path + "' is longer than " + std::to_string(sizeof address.sun_path - 1) +
           " bytes, the most a Unix socket path may have: choose a shorter one";
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  struct stat existing {};
  if (lstat(path.c_str(), &existing) == 0) {
    if (!S_ISSOCK(existing.st_mode)) {
      return "node.admin: '" + path + "' exists and is not a socket: choose another path";
    }
    if (somebody_listens(address)) {
      return "node.admin: another process listens on '" + path + "': stop it, or choose another path";
    }
    unlink(path.c_str());
  }
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return system_text("node.admin: socket", "raise the limit of open files (ulimit -n)");
  const mode_t before = umask(0117);
  const int bound = bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  umask(before);
  if (bound != 0 || ::listen(fd, 16) != 0) {
    const std::string text = system_text("node.admin: cannot listen on '" + path + "'",
                                         "the directory must exist and be writable by this user");
    close(fd);
    return text;
  }
  listener_ = fd;
  path_ = path;
  protocol_ = std::make_unique<AdminProtocol>(node, queue,
                                              [this](AdminProtocol::ClientId id, const std::string& line) {
                                                const auto client = clients_.find(id);
                                                if (client == clients_.end()) return;
                                                client->second.output += line;
                                                if (client->second.output.size() > kAdminOutputBytesMax)
                                                  client->second.broken = true;
                                              });
  return "";
}

void AdminServer::collect(std::vector<pollfd>& descriptors) const {
  if (listener_ < 0) return;
  descriptors.push_back({listener_, POLLIN, 0});
  for (const auto& [id, client] : clients_) {
    descriptors.push_back(
        {client.fd, static_cast<short>(client.output.empty() ? POLLIN : POLLIN | POLLOUT), 0});
  }
}

void AdminServer::handle(const std::vector<pollfd>& descriptors) {
  for (const pollfd& d : descriptors) {
    if (d.revents == 0) continue;
    if (d.fd == listener_) {
      accept_clients();
      continue;
    }
    for (auto& [id, client] : clients_) {
      if (client.fd == d.fd && (d.revents & (POLLIN | POLLHUP | POLLERR)) != 0) read_client(id, client);
    }
  }
  for (auto& [id, client] : clients_) write_client(client);
  drop_broken();
}

void AdminServer::pump_events() {
  if (!protocol_) return;
  protocol_->pump_events();
  for (auto& [id, client] : clients_) write_client(client);
  drop_broken();
}

void AdminServer::accept_clients() {
  for (int i = 0; i < 16; ++i) {
    const int fd = accept4(listener_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (clients_.size() >= kAdminClientsMax) {
      static constexpr char kFull[] =
          "{\"jsonrpc\":\"2.0\",\"id\":null,\"error\":{\"code\":-32000,\"message\":"
          "\"64 clients are connected already: close one and connect again\"}}\n";
      (void)!send(fd, kFull, sizeof kFull - 1, MSG_NOSIGNAL);
      close(fd);
      continue;
    }
    const AdminProtocol::ClientId id = next_id_++;
    clients_[id].fd = fd;
    protocol_->connected(id);
  }
}

void AdminServer::read_client(AdminProtocol::ClientId id, Client& client) {
  char bytes[16 * 1024];
  const ssize_t n = recv(client.fd, bytes, sizeof bytes, 0);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
    client.broken = true;
    return;
  }
  if (n < 0) return;
  client.input.append(bytes, static_cast<std::size_t>(n));
  std::size_t begin = 0;
  for (std::size_t end; (end = client.input.find('\n', begin)) != std::string::npos; begin = end + 1) {
    const std::string_view line(client.input.data() + begin, end - begin);
    if (client.skipping) {
      client.skipping = false;
    } else if (line.size() > kAdminLineBytesMax) {  // its end came with the bytes that made it too long
      protocol_->overlong(id);
    } else if (!line.empty()) {
      protocol_->received(id, line);
    }
  }
  client.input.erase(0, begin);
  if (client.input.size() > kAdminLineBytesMax) {
    if (!client.skipping) protocol_->overlong(id);
    client.skipping = true;
    client.input.clear();
  }
}

void AdminServer::write_client(Client& client) {
  if (client.output.empty() || client.broken) return;
  const ssize_t n = send(client.fd, client.output.data(), client.output.size(), MSG_NOSIGNAL);
  if (n > 0) client.output.erase(0, static_cast<std::size_t>(n));
  if (n < 0 && errno != EAGAIN && errno != EINTR) client.broken = true;
}

void AdminServer::drop_broken() {
  for (auto it = clients_.begin(); it != clients_.end();) {
    if (!it->second.broken) {
      ++it;
      continue;
    }
    protocol_->disconnected(it->first);
    close(it->second.fd);
    it = clients_.erase(it);
  }
}

}  // namespace trunkline::tools
