// JsonWriter: builds one JSON text, value by value. Enough for statistics: objects, arrays, strings,
// integers, booleans; commas and escapes (RFC 8259, section 7) are its business, nesting is the caller's.
// Control path; allocates.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>

namespace trunkline::relay {

class JsonWriter {
 public:
  // Inside an object every value has a key; inside an array and at the top `key` is empty.
  JsonWriter& object(std::string_view key = {}) { return begin(key, '{'); }
  JsonWriter& array(std::string_view key = {}) { return begin(key, '['); }
  JsonWriter& end_object() { return end('}'); }
  JsonWriter& end_array() { return end(']'); }

  JsonWriter& number(std::string_view key, uint64_t value) { return raw(key, std::to_string(value)); }
  JsonWriter& signed_number(std::string_view key, int64_t value) { return raw(key, std::to_string(value)); }
  // `value` / 1000, with three digits behind the point. Contract: not negative.
  JsonWriter& thousandths(std::string_view key, int64_t value) {
    std::string digits = std::to_string(value % 1'000 + 1'000);
    digits[0] = '.';
    return raw(key, std::to_string(value / 1'000) + digits);
  }
  JsonWriter& boolean(std::string_view key, bool value) { return raw(key, value ? "true" : "false"); }
  JsonWriter& text(std::string_view key, std::string_view value) {
    separate(key);
    quote(value);
    return *this;
  }

  std::string take() { return std::move(out_); }

 private:
  JsonWriter& begin(std::string_view key, char bracket) {
    separate(key);
    out_ += bracket;
    first_ = true;
    return *this;
  }
  JsonWriter& end(char bracket) {
    out_ += bracket;
    first_ = false;
    return *this;
  }
  JsonWriter& raw(std::string_view key, const std::string& value) {
    separate(key);
    out_ += value;
    return *this;
  }
  void separate(std::string_view key) {
    if (!first_) out_ += ',';
    first_ = false;
    if (key.empty()) return;
    quote(key);
    out_ += ':';
  }
  void quote(std::string_view text) {
    out_ += '"';
    for (const char c : text) {
      const auto byte = static_cast<unsigned char>(c);
      if (c == '"' || c == '\\') {
        (out_ += '\\') += c;
      } else if (byte < 0x20) {
        char escape[8];
        std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(byte));
        out_ += escape;
      } else {
        out_ += c;
      }
    }
    out_ += '"';
  }

  std::string out_;
  bool first_ = true;
};

}  // namespace trunkline::relay
