// Who is measured on the load of load.h: the relay, and what one would build instead. Each is a loop body
// over the same device; one turn takes at most a burst of 32 and reports how many packets it has moved.
//
// All of them run on the thread that made them, one after the other, on devices of their own.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "bench/path/load.h"

namespace trunkline::bench {

class Contestant {
 public:
  virtual ~Contestant() = default;
  virtual uint32_t turn() = 0;
  // Ends the process with a message when something was lost that should not have been.
  virtual void check() const {}
  // Whether the stage clock of relay/stage_clock.h is on; it is off at first. Only the relay has one.
  virtual void time_stages(bool) {}
};

// PacketPath on a DpdkPort: 1 in, `outputs` out, each to a link of its own.
std::unique_ptr<Contestant> make_relay(const LoadShape& shape, uint32_t outputs);

// Exactly testpmd's 5tswap: Ethernet, IP and UDP addresses swapped, the frame goes back.
std::unique_ptr<Contestant> make_swap(const LoadShape& shape);
// The same between two devices that receive whatever lies in their buffers, as testpmd does on net_null.
std::unique_ptr<Contestant> make_bare_swap(const LoadShape& shape);

// A relay of stock parts: rte_hash (lock-free readers, bulk) from label to record, a last-seen stamp in the
// record, and rte_pktmbuf_clone with a header mbuf in front for each output.
std::unique_ptr<Contestant> make_stock(const LoadShape& shape, uint32_t outputs);

// 5tswap, with `outputs` - 1 clones, or copies, of each packet sent as well.
std::unique_ptr<Contestant> make_cloner(const LoadShape& shape, uint32_t outputs);
std::unique_ptr<Contestant> make_copier(const LoadShape& shape, uint32_t outputs);

// CPU cycles (TSC) per packet of one contestant over about so many packets.
double cycles_per_packet(Contestant& contestant, uint64_t packets);
// TSC cycles per prefetched random line of DRAM, 32 in flight.
double cycles_per_random_line(uint64_t lines);

}  // namespace trunkline::bench
