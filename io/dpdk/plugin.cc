// What libtrunkline-dpdk.so exports.
#include "io/dpdk/dpdk_device.h"
#include "io/dpdk/eal.h"
#include "io/dpdk/steering/xdp_attachment.h"
#include "io/dpdk_plugin.h"

extern "C" [[gnu::visibility("default")]] const trunkline::io::DpdkPlugin trunkline_dpdk_plugin;

extern "C" const trunkline::io::DpdkPlugin trunkline_dpdk_plugin = {
    .interface_number = trunkline::io::DpdkPlugin::kInterface,
    .build = TRUNKLINE_VERSION,
    .open = trunkline::io::DpdkDevice::open,
    .probe = trunkline::io::probe_eal,
    .probe_interface = trunkline::io::probe_xdp,
};
