// One table of a TOML file while it is read: each key is asked for by name, type and range, and what does not
// fit becomes one sentence that begins with file:line:column.
//
// The idea: the first error is kept in the Reader that all sections share, and after it every call does
// nothing; so the code that reads a table is a list of its keys, without a branch per key. A section is told
// all its keys at once, because a misspelt key should be called unknown, not its right form missing.
//
// Included by config_toml.cc only, below its toml++ header. One thread, at start.
#pragma once

#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.h"
#include "core/suggest.h"
#include "core/udp_address.h"

namespace trunkline::relay {

// "; did you mean 'x'?" for the nearest of `known` when one is near, otherwise the whole list: it is short.
template <class Words>
std::string suggestion(std::string_view word, const Words& known) {
  const std::string_view nearest = core::nearest_word(word, known);
  if (!nearest.empty()) return "; did you mean '" + std::string(nearest) + "'?";
  std::string text = "; known here: ";
  std::string_view separator;
  for (const auto& candidate : known) {
    text.append(separator).append(candidate);
    separator = ", ";
  }
  return text;
}

inline std::string quoted(std::string_view text) {
  return "'" + std::string(text) + "'";
}

// The file's name and the first error.
class TomlReader {
 public:
  TomlReader(std::string_view file, int code) : file_(file), code_(code) {}

  void fail(const toml::source_region& where, std::string_view key, const std::string& what) {
    if (error_) return;
    std::string text(file_);
    // A table that is implied by its parent has no place of its own: the beginning of the file, then.
    const auto line = std::max<toml::source_index>(1, where.begin.line);
    const auto column = std::max<toml::source_index>(1, where.begin.column);
    text += ':' + std::to_string(line) + ':' + std::to_string(column) + ": ";
    if (!key.empty()) text.append(key) += ": ";
    error_ = core::Error{code_, text + what};
  }
  bool failed() const { return error_.has_value(); }
  const std::string& file() const { return file_; }
  const core::Error& error() const { return *error_; }

 private:
  std::string file_;
  int code_;
  std::optional<core::Error> error_;
};

class TomlSection {
 public:
  // `path` is how people find it: "node", "wire.accept", "peer[2]". Every key must be one of `known`.
  TomlSection(TomlReader& reader, const toml::table& table, std::string path,
              const std::vector<std::string_view>& known)
      : reader_(reader), table_(table), path_(std::move(path)) {
    for (auto&& [key, node] : table_) {
      if (std::find(known.begin(), known.end(), key.str()) == known.end())
        reader_.fail(key.source(), name(key.str()), "unknown key" + suggestion(key.str(), known));
    }
  }

  bool has(std::string_view key) const { return table_.contains(key); }

  // An error when `key` is absent; `why` says what to write.
  void require(std::string_view key, std::string_view why) {
    if (!has(key)) fail_here(key, "is required and absent: " + std::string(why));
  }

  // Each of these leaves `out` alone when the key is absent.
  template <class Int>
  void integer(std::string_view key, Int& out, int64_t min, int64_t max) {
    if (const auto value = typed<int64_t>(key, "an integer")) {
      if (*value < min || *value > max) return out_of_range(key, min, max);
      out = static_cast<Int>(*value);
    }
  }

  // Rings count with masks.
  void power_of_two(std::string_view key, uint32_t& out, int64_t min, int64_t max) {
    integer(key, out, min, max);
    if (has(key) && (out & (out - 1)) != 0)
      fail(key, "must be a power of two, as 1024; it is " + std::to_string(out));
  }

  // `unit_ns` nanoseconds each: core::from_ms and from_us take the same numbers.
  void duration(std::string_view key, core::Nanos& out, int64_t unit_ns, int64_t min, int64_t max) {
    int64_t value = out.ns / unit_ns;
    integer(key, value, min, max);
    if (has(key)) out = core::Nanos{value * unit_ns};
  }

  void number(std::string_view key, double& out, double min, double max) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return;
    const auto value = node->value<double>();  // an integer is a number too
    if (!value || (!node->is_integer() && !node->is_floating_point())) return wrong_type(key, "a number");
    if (!(*value >= min && *value <= max)) return out_of_range(key, min, max);
    out = *value;
  }

  void boolean(std::string_view key, bool& out) {
    if (const auto value = typed<bool>(key, "true or false")) out = *value;
  }

  void text(std::string_view key, std::string& out, size_t max_bytes) {
    if (const auto value = typed<std::string>(key, "a string")) {
      if (value->empty()) return fail(key, "must not be empty");
      if (value->size() > max_bytes)
        return fail(key, "is " + std::to_string(value->size()) + " bytes; at most " +
                             std::to_string(max_bytes) + " fit");
      out = *value;
    }
  }

  void address(std::string_view key, core::UdpAddress& out, bool any_port) {
    if (const auto value = typed<std::string>(key, "a string with an address")) {
      const auto parsed = core::UdpAddress::parse(*value);
      if (!parsed)
        return fail(key, quoted(*value) +
                             " is not an address; write IP:port, as \"192.0.2.1:7000\" or "
                             "\"[2001:db8::1]:7000\" (names are not looked up)");
      if (parsed->port == 0 && !any_port)
        return fail(key, quoted(*value) + " has port 0; write the port to send to");
      out = *parsed;
    }
  }

  // A string that is one of `words`; its position in them.
  void choice(std::string_view key, size_t& out, const std::vector<std::string_view>& words) {
    if (const auto value = typed<std::string>(key, "a string")) {
      const auto found = std::find(words.begin(), words.end(), *value);
      if (found == words.end())
        return fail(key, quoted(*value) + " is not one of its values" + suggestion(*value, words));
      out = static_cast<size_t>(found - words.begin());
    }
  }

  // Calls fn(node, "key[1]") for each element of an array.
  template <class Fn>
  void each(std::string_view key, Fn&& fn) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return;
    const toml::array* array = node->as_array();
    if (array == nullptr) {
      return wrong_type(key, node->is_table() ? "an array of tables: [[" + name(key) + "]]" : "an array");
    }
    size_t number = 0;
    for (const toml::node& element : *array) {
      fn(element, std::string(key) + '[' + std::to_string(++number) + ']');
      if (reader_.failed()) return;
    }
  }

  // The sub-table `key`, or nullptr when it is absent or (an error) not a table.
  const toml::table* table(std::string_view key) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return nullptr;
    if (!node->is_table()) wrong_type(key, "a table: [" + name(key) + "]");
    return node->as_table();
  }

  // At the value of `key`, or at the table when it is absent.
  void fail(std::string_view key, const std::string& what) {
    const toml::node* node = table_.get(key);
    reader_.fail(node != nullptr ? node->source() : table_.source(), name(key), what);
  }
  void fail_here(std::string_view key, const std::string& what) {
    reader_.fail(table_.source(), name(key), what);
  }
  std::string name(std::string_view key) const {
    return path_.empty() ? std::string(key) : path_ + '.' + std::string(key);
  }
  const toml::node* node(std::string_view key) const { return table_.get(key); }
  bool failed() const { return reader_.failed(); }

 private:
  template <class T>
  std::optional<T> typed(std::string_view key, const std::string& wanted) {
    const toml::node* node = table_.get(key);
    if (node == nullptr) return std::nullopt;
    auto value = node->value_exact<T>();
    if (!value) wrong_type(key, wanted);
    return value;
  }
  void wrong_type(std::string_view key, const std::string& wanted) {
    static constexpr std::string_view kNames[] = {
        "nothing",   "a table", "an array", "a string",       "an integer", "a floating-point number",
        "a boolean", "a date",  "a time",   "a date and time"};
    fail(key,
         "must be " + wanted + ", and is " + std::string(kNames[static_cast<size_t>(node(key)->type())]));
  }
  template <class T>
  void out_of_range(std::string_view key, T min, T max) {
    fail(key, "must be from " + plain(min) + " to " + plain(max));
  }
  static std::string plain(int64_t value) { return std::to_string(value); }
  static std::string plain(double value) { return std::to_string(static_cast<int64_t>(value)); }

  TomlReader& reader_;
  const toml::table& table_;
  std::string path_;
};

}  // namespace trunkline::relay
