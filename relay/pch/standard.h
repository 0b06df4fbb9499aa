// What nearly every file of relay includes of the standard library, read once for the sanitizers' builds,
// where that takes longer than compiling what follows. Nothing of ours: a file must still name what it needs.
// A guard rather than a pragma, of which g++ warns in a header that is compiled by itself.
#ifndef TRUNKLINE_RELAY_PCH
#define TRUNKLINE_RELAY_PCH

#include <algorithm>
#include <array>
#include <bit>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#endif
