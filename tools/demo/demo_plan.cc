// The demo's configuration texts, written the way a person would write them.
#include "tools/demo/demo_plan.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

namespace trunkline::tools::demo {

int round_trip_ms(uint64_t a, uint64_t b) {
  if (a > b) std::swap(a, b);
  if (a == 1 && b == 2) return kWashingtonLondonMs;
  if (a == 1 && b == 3) return kWashingtonTokyoMs;
  if (a == 2 && b == 3) return kLondonTokyoMs;
  return 0;
}

std::string config_text(const Place& self, const std::vector<Member>& members, const Variant& variant,
                        const std::string& port_kind, const DevCluster& keys) {
  std::ostringstream out;
  const auto own =
      std::find_if(members.begin(), members.end(), [&](const Member& m) { return m.place.id == self.id; });
  out << "[node]\nid = " << self.id << "\nname = \"" << self.name << "\"\ncluster = \"lab-demo\"\nregion = \""
      << self.name << "\"\nlab = true\nlisten = \"127.0.0.1:" << own->port << "\"\nport = \"" << port_kind
      << "\"\nidle = \"adaptive\"\nhost_queues = 1\n\n[wire]\n";
  if (!variant.without_namespace) out << "track_namespace = \"" << variant.track_namespace << "\"\n";
  out << "mtu = 1500\nsuite = \"" << DevCluster::suite() << "\"\n\n" << keys.security(self.id) << "\n";
  if (variant.silent || variant.endless) {
    out << "[lab]\nwithout = [" << (variant.silent ? "\"negative_answers\"" : "")
        << (variant.silent && variant.endless ? ", " : "") << (variant.endless ? "\"deadlines\"" : "")
        << "]\n\n";
  }
  for (const Member& m : members) {
    if (m.place.id == self.id) continue;
    const double one_way_ms = round_trip_ms(self.id, m.place.id) / 2.0;
    out << "[[peer]]\nid = " << m.place.id << "\nname = \"" << m.place.name
        << "\"\naddress = \"127.0.0.1:" << m.port << "\"\n"
        << keys.public_key(m.place.id) << "\n[[lab.impair]]\nto = \"127.0.0.1:" << m.port
        << "\"\ndelay_ms = " << one_way_ms << "\n\n";
  }
  return out.str();
}

std::vector<uint16_t> free_ports(std::size_t n) {
  std::vector<uint16_t> ports;
  std::vector<int> held;
  for (std::size_t i = 0; i < n; ++i) {
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    sockaddr_in a{};
    a.sin_family = AF_INET;
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof a;
    if (fd < 0 || bind(fd, reinterpret_cast<sockaddr*>(&a), sizeof a) != 0) break;
    getsockname(fd, reinterpret_cast<sockaddr*>(&a), &length);
    ports.push_back(ntohs(a.sin_port));
    held.push_back(fd);
  }
  for (int fd : held) close(fd);
  return ports;
}

}  // namespace trunkline::tools::demo
