// `trunkline demo`: three nodes on three continents, as three processes on this machine, in one command and
// without set-up. Act one relays real RTP over an impaired loopback wire with the round-trip times of
// Washington, London and Tokyo; act two is an outage, side by side: a naive variant that waits, and Trunkline
// that answers.
//
// Exit code 0 only when every outcome and every count held. Latencies do not count: a shared CPU is not a
// benchmark.
#pragma once

#include <string>

namespace trunkline::tools {

struct DemoCommand {
  int seconds = 10;  // of act one
  int tracks = 40;   // half video (1200-byte packets, 2 Mbit/s), half Opus (50 packets/s)
  std::string port = "auto";
};

int run_demo(const DemoCommand& command);

}  // namespace trunkline::tools
