// DPDK's environment (EAL), of which a process has one: shared by all devices, accepted when the host runs
// one already, never taken down.
//
// It is started on a thread of its own that ends right after: rte_eal_init() binds the thread that calls it
// to a CPU. Signals stay the host's (all are blocked in that thread and so in those that EAL makes), and what
// EAL would print is kept: the text of an error is made of it, and the node's log takes it. Nothing is
// written to stdio.
//
// Control path, any thread; calls are serialised.
#pragma once

#include <string>
#include <vector>

#include "core/result.h"
#include "io/device.h"
#include "io/system_probe.h"

namespace trunkline::io {

// Starts EAL, or finds it running. Errors say what is missing and the command that provides it. A start that
// failed within DPDK cannot be repeated in this process, so what can be known before is looked at before.
core::Result<void> start_eal(const DeviceOptions& options);

// What DPDK said since the last call, for the text of an error: the last lines, joined with "; ".
std::string take_eal_words();
// All of it since the last call, line by line, for the node's log: the oldest 256.
std::vector<std::string> take_eal_log();

// "DPDK 22.11.11, 2 MiB pages" once it runs.
std::string describe_eal();

Feature probe_eal();

}  // namespace trunkline::io
