// Result<T>: a value or an Error, in the shape of std::expected (which g++ 12 does not have under C++20).
// Used on control paths only; the data path counts a DropReason instead and never builds a text.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "core/check.h"

namespace trunkline::core {

// What went wrong, where, and what to do about it: one sentence or more, for a person.
// `code` is one of the ABI's append-only error codes (trunkline.h), 0 where no code applies.
struct Error {
  int code = 0;
  std::string text;
};

template <class T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit by design

  bool has_value() const { return state_.index() == 0; }
  explicit operator bool() const { return has_value(); }
  // Contract: has_value().
  T& value() & {
    TL_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    TL_CHECK(has_value());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    TL_CHECK(has_value());
    return std::move(*std::get_if<0>(&state_));
  }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }
  // Contract: !has_value().
  const Error& error() const {
    TL_CHECK(!has_value());
    return *std::get_if<1>(&state_);
  }

 private:
  std::variant<T, Error> state_;
};

// Success without a value.
template <>
class [[nodiscard]] Result<void> {
 public:
  Result() = default;
  Result(Error error) : error_(std::move(error)) {}  // NOLINT: implicit by design

  bool has_value() const { return !error_.has_value(); }
  explicit operator bool() const { return has_value(); }
  const Error& error() const {
    TL_CHECK(error_.has_value());
    return *error_;
  }

 private:
  std::optional<Error> error_;
};

}  // namespace trunkline::core
