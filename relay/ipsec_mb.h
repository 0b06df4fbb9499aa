// Intel's multi-buffer library, as the ciphers need it: self-tested, and one copy per data core.
//
// The idea: version 1.3 resets a global error word in every call, a store into one cache line of the process.
// Two cores that seal at once take that line from each other for each datagram, 10 to 30 ns on top of 27 (172
// bytes) or 83 (1200). So the library is loaded again for other cores (dlmopen: same file, same pages of
// code, data of its own), and the cost is gone (`tools/dev figures seal.cores2`).
//
// Three copies beside the ordinary one, shared in turn by the cores beyond the fourth: glibc reserves
// thread-local memory for four namespaces (its tunable rtld.nns), and taking more could keep a host from
// loading a library of its own. What cannot be loaded again is shared by all cores, and works.
//
// Copies are made once per process, when a node of several cores first asks, and stay.
#pragma once

#include <intel-ipsec-mb.h>

#include <cstdlib>
#include <memory>

#include "core/ids.h"
#include "core/result.h"

namespace trunkline::relay {

struct FreeManager {
  void operator()(IMB_MGR* manager) const noexcept { std::free(manager); }
};
// 52 KiB: the table of functions for this CPU, and the queues of the job interface. Used by one thread.
using Manager = std::unique_ptr<IMB_MGR, FreeManager>;

// A manager of the copy of the library that `core` of a node with so many data cores uses. Chooses the code
// for this CPU and has it test itself, 0.3 ms; the error says what is wrong and what to do. Any thread, at
// start.
core::Result<Manager> make_manager(core::CoreId core, uint32_t data_cores);

// What a cipher of this kind says when it cannot be.
core::Error sealed_suites_error(const std::string& text);

}  // namespace trunkline::relay
