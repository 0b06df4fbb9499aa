// What this machine, kernel and container really grant. Each probe tries the thing itself (sends a run to
// itself over loopback, sets a ring up) instead of trusting a version number, because a container may forbid
// what its kernel has.
//
// `trunkline doctor` prints them; `port = auto` decides by them. Control path: they make system calls and
// take up to some milliseconds. Any thread.
#pragma once

#include <string>

namespace trunkline::io {

struct Feature {
  bool present = false;
  std::string detail;  // what was found, one phrase
  std::string remedy;  // the command that repairs it; empty when there is nothing to repair
};

// The sockets.
Feature probe_udp_socket();      // one can be opened and bound: without it no node starts
Feature probe_udp_gso();         // a run in one send arrives as separate datagrams
Feature probe_udp_gro();         // a run in one send arrives as one slab
Feature probe_receive_buffer();  // net.core.rmem_max, or the right to exceed it

// io_uring; io/uring_probe.cc, or "built without".
Feature probe_io_uring();                 // a ring can be set up
Feature probe_uring_buffer_ring();        // Linux 5.19
Feature probe_uring_multishot_recvmsg();  // Linux 6.0: two datagrams by one submission, over loopback
Feature probe_uring_defer_taskrun();      // Linux 6.1

// The machine.
Feature probe_huge_pages();  // 2 MiB pages that are free
Feature probe_memlock();     // RLIMIT_MEMLOCK
Feature probe_cores();       // how many this process may run on
Feature probe_isolation();   // CPUs that the scheduler keeps free for data cores
Feature probe_clock();       // CLOCK_MONOTONIC without a system call: clocksource tsc, invariant TSC

}  // namespace trunkline::io
