// Before TOML is parsed: letters beyond ASCII may stand in strings and comments only (TOML 1.0: bare keys and
// values are ASCII). Found here, because toml++ 3.3, asked whether such a letter is whitespace, says
// something or nothing (__builtin_unreachable). It also asks of letters in quotes, which are found as well:
// in a number that quotes are a part of (`1"\u00e9"`, no TOML), and behind a backslash in a string of several
// lines (of which TOML 1.0 allows the one behind a backslash that ends a line).
//
// Pure. Reads each byte once. What else is wrong with the text is the parser's to say: where that would stop
// anyway, as at the end of a line within a string, this may go on as it likes.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace trunkline::relay {

struct TextPlace {
  uint32_t line = 1;    // from 1
  uint32_t column = 1;  // from 1; a letter is one, whatever its bytes
};

// The first letter beyond ASCII that stands where none may; nothing: there is none. A byte order mark at the
// beginning is none.
std::optional<TextPlace> misplaced_letter(std::string_view toml) noexcept;

}  // namespace trunkline::relay
