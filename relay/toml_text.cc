// See relay/toml_text.h.
#include "relay/toml_text.h"

#include <algorithm>

namespace trunkline::relay {
namespace {

constexpr std::string_view kWhitespace = " \t\n\v\f\r";

constexpr bool is_beyond_ascii(char c) noexcept {
  return static_cast<unsigned char>(c) >= 0x80;
}
// Not the second or a later byte of a letter (RFC 3629).
constexpr bool begins_letter(char c) noexcept {
  return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
}

// Behind the comment that begins at `at`.
size_t end_of_comment(std::string_view text, size_t at) noexcept {
  return std::min(text.find('\n', at), text.size());
}

constexpr bool is_digit(char c) noexcept {
  return c >= '0' && c <= '9';
}
constexpr bool is_bare(char c) noexcept {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-';
}

constexpr bool begins_number(std::string_view text, size_t at) noexcept {
  const bool first = is_digit(text[at]) || text[at] == '+' || text[at] == '-';
  return first && (at == 0 || !is_bare(text[at - 1]));
}

// Behind all that toml++ reads as one number before it looks at it: quotes, too.
size_t end_of_number(std::string_view text, size_t at) noexcept {
  constexpr std::string_view kEnds = " \t\n\r],}#";
  while (at < text.size() && kEnds.find(text[at]) == kEnds.npos && !is_beyond_ascii(text[at])) ++at;
  return at;
}

// Behind the string that begins at `at`, with one quote or three. Three end it, and up to two more are its
// own. Or at a letter beyond ASCII that follows a backslash, or the whitespace behind one.
size_t end_of_string(std::string_view text, size_t at) noexcept {
  const char quote = text[at];
  const std::string_view three = quote == '"' ? R"(""")" : "'''";
  const bool long_string = text.substr(at, 3) == three;
  for (at += long_string ? 3 : 1; at < text.size(); ++at) {
    if (text[at] == '\\' && quote == '"') {
      const size_t next = std::min(text.find_first_not_of(kWhitespace, at + 1), text.size());
      if (next < text.size() && is_beyond_ascii(text[next])) return next;
      at = std::max(at + 1, next - 1);
    } else if (!long_string && (text[at] == quote || text[at] == '\n')) {
      return at + 1;
    } else if (long_string && text.substr(at, 3) == three) {
      at += 3;
      for (int own = 0; own < 2 && at < text.size() && text[at] == quote; ++own) ++at;
      return at;
    }
  }
  return text.size();
}

TextPlace place_of(std::string_view text, size_t at) noexcept {
  const std::string_view before = text.substr(0, at);
  const size_t line_begins = before.rfind('\n') + 1;  // npos + 1 is 0
  TextPlace place;
  place.line += static_cast<uint32_t>(std::count(before.begin(), before.end(), '\n'));
  for (const char c : before.substr(line_begins)) place.column += begins_letter(c) ? 1u : 0u;
  return place;
}

}  // namespace

std::optional<TextPlace> misplaced_letter(std::string_view toml) noexcept {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  for (size_t at = toml.substr(0, kMark.size()) == kMark ? kMark.size() : 0; at < toml.size();) {
    if (toml[at] == '#') {
      at = end_of_comment(toml, at);
    } else if (toml[at] == '"' || toml[at] == '\'') {
      at = std::min(end_of_string(toml, at), toml.size());
    } else if (is_beyond_ascii(toml[at])) {
      return place_of(toml, at);
    } else if (begins_number(toml, at)) {
      at = end_of_number(toml, at);
    } else {
      ++at;
    }
  }
  return std::nullopt;
}

}  // namespace trunkline::relay
