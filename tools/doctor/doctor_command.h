// `trunkline doctor`: what this machine offers to a node, feature by feature: PASS, WARN (works, but slower
// or with less room) or FAIL (a node would not start), each with the exact command that repairs it. Exit code
// 1 if anything FAILs.
#pragma once

#include <string>

namespace trunkline::tools {

struct DoctorCommand {
  bool json = false;
  std::string interface = "lo";  // which one AF_XDP would share with the kernel
};

int run_doctor(const DoctorCommand& command);

}  // namespace trunkline::tools
