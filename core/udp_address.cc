// UdpAddress as text (RFC 4291 section 2.2 to read, RFC 5952 to write), and its predicates.
#include "core/udp_address.h"

#include <algorithm>
#include <array>
#include <cstring>

namespace trunkline::core {
namespace {

// Decimal digits only, at most `digits_max`, at most `limit`.
std::optional<uint32_t> parse_decimal(std::string_view text, size_t digits_max, uint32_t limit) {
  if (text.empty() || text.size() > digits_max) return std::nullopt;
  uint32_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + static_cast<uint32_t>(c - '0');
  }
  if (value > limit) return std::nullopt;
  return value;
}

std::optional<uint32_t> hex_digit(char c) {
  if (c >= '0' && c <= '9') return static_cast<uint32_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<uint32_t>(c - 'a' + 10);
  if (c >= 'A' && c <= 'F') return static_cast<uint32_t>(c - 'A' + 10);
  return std::nullopt;
}

bool parse_v4(std::string_view text, uint8_t* out) {
  for (int i = 0; i < 4; ++i) {
    const size_t end = i < 3 ? text.find('.') : text.size();
    if (end == std::string_view::npos) return false;
    const std::string_view octet = text.substr(0, end);
    if (octet.size() > 1 && octet[0] == '0') return false;  // octal to some readers
    const auto value = parse_decimal(octet, 3, 255);
    if (!value) return false;
    out[i] = static_cast<uint8_t>(*value);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return true;
}

// Groups separated by colons, at most `groups_max`; the last may be a dotted IPv4 address, which counts as
// two, where `v4_tail` allows it. Returns how many groups were written, or nothing.
std::optional<size_t> parse_groups(std::string_view text, uint8_t* out, size_t groups_max, bool v4_tail) {
  if (text.empty()) return 0;
  size_t groups = 0;
  while (true) {
    const size_t colon = text.find(':');
    const std::string_view group = text.substr(0, colon);
    const bool is_last = colon == std::string_view::npos;
    if (is_last && v4_tail && group.find('.') != std::string_view::npos) {
      if (groups + 2 > groups_max || !parse_v4(group, out + 2 * groups)) return std::nullopt;
      return groups + 2;
    }
    if (group.empty() || group.size() > 4 || groups == groups_max) return std::nullopt;
    uint32_t value = 0;
    for (char c : group) {
      const auto digit = hex_digit(c);
      if (!digit) return std::nullopt;
      value = value * 16 + *digit;
    }
    out[2 * groups] = static_cast<uint8_t>(value >> 8);
    out[2 * groups + 1] = static_cast<uint8_t>(value);
    ++groups;
    if (is_last) return groups;
    text.remove_prefix(colon + 1);
  }
}

bool parse_v6(std::string_view text, uint8_t* out) {
  const size_t gap = text.find("::");
  if (gap == std::string_view::npos) return parse_groups(text, out, 8, true) == size_t{8};
  // "::" stands for at least one group of zeros (RFC 5952 section 4.2.2 calls for two; RFC 4291 reads one).
  uint8_t tail[16]{};
  const auto before = parse_groups(text.substr(0, gap), out, 7, false);
  if (!before) return false;
  const auto after = parse_groups(text.substr(gap + 2), tail, 7 - *before, true);
  if (!after) return false;
  std::copy_n(tail, 2 * *after, out + 16 - 2 * *after);
  return true;
}

void append_v4(std::string& text, const uint8_t* ip) {
  for (int i = 0; i < 4; ++i) {
    if (i > 0) text += '.';
    text += std::to_string(ip[i]);
  }
}

void append_hex(std::string& text, uint32_t value) {
  static constexpr char kDigits[] = "0123456789abcdef";
  bool started = false;
  for (int shift = 12; shift >= 0; shift -= 4) {
    const uint32_t digit = (value >> shift) & 15;
    started = started || digit != 0 || shift == 0;
    if (started) text += kDigits[digit];
  }
}

bool is_v4_mapped(const uint8_t* ip) {  // ::ffff:0:0/96
  return std::all_of(ip, ip + 10, [](uint8_t b) { return b == 0; }) && ip[10] == 0xff && ip[11] == 0xff;
}

void append_v6(std::string& text, const uint8_t* ip) {
  if (is_v4_mapped(ip)) {  // RFC 5952 section 5
    text += "::ffff:";
    return append_v4(text, ip + 12);
  }
  std::array<uint32_t, 8> groups{};
  for (size_t i = 0; i < 8; ++i) groups[i] = static_cast<uint32_t>(ip[2 * i] << 8 | ip[2 * i + 1]);
  // RFC 5952 section 4.2: "::" for the first of the longest runs of at least two zero groups.
  size_t gap = 8;
  size_t gap_length = 1;
  for (size_t i = 0; i < 8; ++i) {
    size_t length = 0;
    while (i + length < 8 && groups[i + length] == 0) ++length;
    if (length > gap_length) {
      gap = i;
      gap_length = length;
    }
  }
  for (size_t i = 0; i < 8; ++i) {
    if (i == gap) {
      text += "::";
      i += gap_length - 1;
      continue;
    }
    if (i > 0 && text.back() != ':') text += ':';
    append_hex(text, groups[i]);
  }
}

}  // namespace

std::optional<UdpAddress> UdpAddress::parse(std::string_view text) {
  const size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = parse_decimal(text.substr(colon + 1), 5, 65535);
  if (!port) return std::nullopt;
  const std::string_view host = text.substr(0, colon);
  UdpAddress address;
  address.port = static_cast<uint16_t>(*port);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    address.family = 6;
    if (!parse_v6(host.substr(1, host.size() - 2), address.ip)) return std::nullopt;
  } else {
    address.family = 4;
    if (!parse_v4(host, address.ip)) return std::nullopt;
  }
  return address;
}

std::string UdpAddress::to_string() const {
  std::string text;
  if (family == 4) {
    append_v4(text, ip);
  } else if (family == 6) {
    text += '[';
    append_v6(text, ip);
    text += ']';
  } else {
    return "none";
  }
  return text + ':' + std::to_string(port);
}

// The finaliser of MurmurHash3 (Appleby, public domain) over the words, one after the other.
uint64_t UdpAddress::hash() const noexcept {
  uint64_t words[2];
  std::memcpy(words, ip, sizeof words);
  uint64_t h = uint64_t{family} << 16 | port;
  for (uint64_t word : words) {
    h = (h ^ word) * 0xff51afd7ed558ccdu;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
    h ^= h >> 33;
  }
  return h;
}

bool UdpAddress::is_loopback() const noexcept {
  if (family == 4) return ip[0] == 127;
  return family == 6 && std::all_of(ip, ip + 15, [](uint8_t b) { return b == 0; }) && ip[15] == 1;
}

bool UdpAddress::is_multicast() const noexcept {
  return (family == 4 && (ip[0] & 0xf0) == 0xe0) || (family == 6 && ip[0] == 0xff);
}

bool UdpAddress::is_unspecified() const noexcept {
  return (family == 4 || family == 6) && std::all_of(ip, ip + 16, [](uint8_t b) { return b == 0; });
}

bool UdpAddress::in_lab_range() const noexcept {
  static constexpr uint8_t kBenchmarkV6[6] = {0x20, 0x01, 0x00, 0x02, 0x00, 0x00};
  if (is_loopback()) return true;
  if (family == 4) return ip[0] == 198 && (ip[1] & 0xfe) == 18;
  return family == 6 && std::equal(kBenchmarkV6, kBenchmarkV6 + 6, ip);
}

}  // namespace trunkline::core
