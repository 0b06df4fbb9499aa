// The figures of whole hops (bench/seal/hop.h), as `tools/dev figures seal` prints them: ours and each peer
// on the same thread, by turns, each on bytes of its own.
#pragma once

#include "bench/core/contest.h"

namespace trunkline::bench {

// Prints the figures of whole hops (bench/seal/hop.h), those that are wanted.
void hop_figures(const CoreOptions& options);

}  // namespace trunkline::bench
