// The DPDK plug-in, libtrunkline-dpdk.so: found, loaded and checked when a configuration asks for a device.
// The library itself links no DPDK, so a node on kernel sockets runs where none is installed.
//
// Looked for, in this order: DeviceOptions::plugin; beside the library or program that this code is part of;
// its build directory; ../lib/trunkline and the directory of the installation. It must be of the same build:
// its first word is the interface's number, and its name for the build is compared.
//
// Control path, any thread. Once loaded it stays: DPDK cannot be unloaded.
#pragma once

#include <memory>
#include <string>

#include "core/result.h"
#include "io/device.h"
#include "io/system_probe.h"

namespace trunkline::io {

// What the plug-in exports, as `trunkline_dpdk_plugin`.
struct DpdkPlugin {
  static constexpr uint32_t kInterface =
      1;  // raised when anything below, or io/device.h, or io/port.h changes

  uint32_t interface_number;
  uint32_t options_bytes = sizeof(DeviceOptions);  // a build in between changed it
  const char* build;                               // version of Trunkline
  core::Result<std::unique_ptr<Device>> (*open)(const DeviceOptions& options);
  // For `trunkline doctor`: does DPDK find its drivers and memory? Starts nothing.
  Feature (*probe)();
  // And could AF_XDP share this interface with the kernel? Attaches nothing.
  Feature (*probe_interface)(const std::string& interface);
};

// Errors: one sentence that says where it was looked for, why it cannot be used, and what to install.
core::Result<const DpdkPlugin*> load_dpdk_plugin(const std::string& path);

// For `trunkline doctor`: the plug-in and what it says of this machine, and of one interface of the kernel's.
Feature probe_dpdk();
Feature probe_af_xdp(const std::string& interface);

}  // namespace trunkline::io
