// What every test includes, compiled once per test executable. Nothing of ours: a file must still name what
// it needs. A guard rather than a pragma, of which g++ warns in a header that is compiled by itself.
#ifndef TRUNKLINE_TESTS_PCH
#define TRUNKLINE_TESTS_PCH

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#endif
