// Takes the place of the io_uring port and probes in a build without liburing: says so, and nothing else.
#include "io/system_probe.h"
#include "io/uring_port.h"

namespace trunkline::io {
namespace {

constexpr const char* kText = "io_uring: this program was built without io_uring";
constexpr const char* kRemedy = "install liburing-dev and build again with -Dio_uring=enabled";

}  // namespace

core::Result<std::unique_ptr<Port>> make_uring_port(const PortOptions&) {
  return core::Error{0, std::string(kText) + "; " + kRemedy};
}

Feature probe_io_uring() {
  return {false, kText, kRemedy};
}
Feature probe_uring_buffer_ring() {
  return {false, kText, kRemedy};
}
Feature probe_uring_multishot_recvmsg() {
  return {false, kText, kRemedy};
}
Feature probe_uring_defer_taskrun() {
  return {false, kText, kRemedy};
}

}  // namespace trunkline::io
