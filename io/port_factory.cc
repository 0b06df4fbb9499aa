// See port_factory.h.
#include "io/port_factory.h"

#include "io/mmsg_port.h"
#include "io/split_port.h"
#include "io/system_probe.h"
#include "io/uring_port.h"

namespace trunkline::io {
namespace {

void say(std::string* why, std::string text) {
  if (why != nullptr) *why = std::move(text);
}

// What `auto` needs of io_uring, worst news first. The port itself could run without DEFER_TASKRUN, but is
// then interrupted for each arrival and no better than mmsg.
Feature uring_needs() {
  for (Feature (*probe)() :
       {probe_io_uring, probe_uring_buffer_ring, probe_uring_multishot_recvmsg, probe_uring_defer_taskrun}) {
    Feature feature = probe();
    if (!feature.present) return feature;
  }
  return {true, "multishot receives, provided buffers and deferred completions", {}};
}

}  // namespace

core::Result<std::unique_ptr<Port>> make_port(PortKind kind, const PortOptions& options, std::string* why) {
  if (kind == PortKind::kMmsg) {
    say(why, "mmsg: as configured");
    return std::unique_ptr<Port>(std::make_unique<MmsgPort>(options));
  }
  if (kind == PortKind::kUring) {
    say(why, "uring: as configured");
    return make_uring_port(options);
  }
  const Feature needs = uring_needs();
  if (needs.present) {
    auto port = make_uring_port(options);
    if (port) {
      say(why, "uring: this kernel has " + needs.detail);
      return port;
    }
    say(why, port.error().text + "; using mmsg (see trunkline doctor)");
  } else {
    say(why, needs.detail + "; using mmsg (see trunkline doctor)");
  }
  return std::unique_ptr<Port>(std::make_unique<MmsgPort>(options));
}

core::Result<std::unique_ptr<Port>> make_device_port(Device& device, uint32_t queue,
                                                     const PortOptions& options, std::string* why) {
  say(why, "dpdk: as configured");
  auto wire = device.make_port(queue, options);
  if (!wire) return wire.error();
  return std::unique_ptr<Port>(std::make_unique<SplitPort>(std::move(wire).value(), device.reach(),
                                                           std::make_unique<MmsgPort>(options)));
}

}  // namespace trunkline::io
