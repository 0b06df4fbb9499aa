// The admin socket's transport: a Unix stream socket, one line per message, any number of short-lived clients
// up to a bound. Non-blocking throughout: a client that does not read is disconnected when its output passes
// a bound, so that it can never hold up another. One thread (the node command's main thread), driven by poll
// descriptors.
#pragma once

#include <poll.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tools/node/admin_protocol.h"

namespace trunkline::tools {

inline constexpr std::size_t kAdminClientsMax = 64;
inline constexpr std::size_t kAdminOutputBytesMax = 8u << 20;  // 10 000 outcomes in flight to one client fit

class AdminServer {
 public:
  AdminServer() = default;
  ~AdminServer();
  AdminServer(const AdminServer&) = delete;
  AdminServer& operator=(const AdminServer&) = delete;

  // Binds `path` with mode 0660. A socket file that nobody listens on any more is replaced; a live one is an
  // error. Returns "" or a sentence: what, where, what to do.
  std::string listen(const std::string& path, tl_node* node, tl_queue* queue);
  bool listening() const { return listener_ >= 0; }

  // The descriptors to poll, and what to do with the results: call handle() with the same vector after
  // poll().
  void collect(std::vector<pollfd>& descriptors) const;
  void handle(const std::vector<pollfd>& descriptors);
  // Moves events from the queue to clients.
  void pump_events();

 private:
  struct Client {
    int fd = -1;
    std::string input;
    std::string output;
    bool skipping = false;  // inside an overlong line
    bool broken = false;
  };

  void accept_clients();
  void read_client(AdminProtocol::ClientId id, Client& client);
  void write_client(Client& client);
  void drop_broken();

  int listener_ = -1;
  std::string path_;
  AdminProtocol::ClientId next_id_ = 1;
  std::map<AdminProtocol::ClientId, Client> clients_;
  std::unique_ptr<AdminProtocol> protocol_;
};

}  // namespace trunkline::tools
