// Who takes part in the demo: places, ports, round-trip times, and the configuration text of each node. Pure
// text and numbers; the processes are in demo_process.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tools/keys/dev_cluster.h"

namespace trunkline::tools::demo {

struct Place {
  const char* name;
  uint64_t id;
};
inline constexpr Place kWashington{"washington", 1}, kLondon{"london", 2}, kTokyo{"tokyo", 3};

// Average round-trip times in ms between public cloud regions, 28 Sep to 27 Oct 2024 (IBM Cloud VPC
// documentation, "Network latency").
inline constexpr int kWashingtonLondonMs = 76, kWashingtonTokyoMs = 169, kLondonTokyoMs = 242;
int round_trip_ms(uint64_t a, uint64_t b);

// How one node differs from what it should be; all false is Trunkline as it is.
struct Variant {
  bool silent = false;   // no negative answers
  bool endless = false;  // no deadlines
  std::string track_namespace = "demo";
  bool without_namespace = false;  // leaves the required setting out
};

struct Member {
  Place place;
  uint16_t port = 0;
};

// TOML for one node of `members`, with the impaired wire between them.
std::string config_text(const Place& self, const std::vector<Member>& members, const Variant& variant,
                        const std::string& port_kind, const DevCluster& keys);

// UDP ports that nobody used a moment ago, on 127.0.0.1.
std::vector<uint16_t> free_ports(std::size_t n);

// Tracks of act one: track i is video when even, audio when odd, and lives at place 1 + i % 3.
inline bool is_video(int track) {
  return track % 2 == 0;
}
inline uint64_t home_of(int track) {
  return 1 + static_cast<uint64_t>(track / 2) % 3;
}
inline std::string track_name(int track) {
  return (is_video(track) ? "video-" : "audio-") + std::to_string(track);
}

}  // namespace trunkline::tools::demo
