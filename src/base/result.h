#pragma once

#include <optional>
#include <string>
#include <utility>
#include <variant>

#include "base/error.h"

namespace lifeboat::base {

// A value or an Error. The type itself is nodiscard: dropping one is a compiler warning, hence an
// error in CI. Member names follow std::expected, so that it can be swapped in when the compilers
// of the day have it.
template <class T = void>
class [[nodiscard]] Result {
  public:
    Result(T value)
        : v_(std::in_place_index<0>, std::move(value)) {
    }  // NOLINT(google-explicit-constructor): returns read naturally

    Result(Error error)
        : v_(std::in_place_index<1>, std::move(error)) {}  // NOLINT(google-explicit-constructor)

    bool has_value() const { return v_.index() == 0; }

    explicit operator bool() const { return has_value(); }

    T& value() & { return std::get<0>(v_); }

    const T& value() const& { return std::get<0>(v_); }

    T value() && { return std::get<0>(std::move(v_)); }

    T& operator*() & { return value(); }

    const T& operator*() const& { return value(); }

    T operator*() && { return std::move(*this).value(); }

    T* operator->() { return &value(); }

    const T* operator->() const { return &value(); }

    const Error& error() const& { return std::get<1>(v_); }

    Error error() && { return std::get<1>(std::move(v_)); }

    // Names what was being done, if it failed.
    Result during(std::string step) && {
        if (has_value()) {
            return std::move(*this);
        }
        return std::get<1>(std::move(v_)).during(std::move(step));
    }

    Result hint(std::string sentence) && {
        if (has_value()) {
            return std::move(*this);
        }
        return std::get<1>(std::move(v_)).hint(std::move(sentence));
    }

    // The one way to drop a failure; `why` is for the reader.
    void discard(const char* why) && { (void)why; }

  private:
    std::variant<T, Error> v_;
};

template <>
class [[nodiscard]] Result<void> {
  public:
    Result() = default;

    Result(Error error) : e_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

    bool has_value() const { return !e_.has_value(); }

    explicit operator bool() const { return has_value(); }

    void value() const {}

    const Error& error() const& { return *e_; }

    Error error() && { return *std::move(e_); }

    Result during(std::string step) && {
        if (has_value()) {
            return {};
        }
        return (*std::move(e_)).during(std::move(step));
    }

    Result hint(std::string sentence) && {
        if (has_value()) {
            return {};
        }
        return (*std::move(e_)).hint(std::move(sentence));
    }

    void discard(const char* why) && { (void)why; }

  private:
    std::optional<Error> e_;
};

}  // namespace lifeboat::base

// Unwraps a Result, or returns its Error from the enclosing function. A whole statement or a whole
// initializer, never inside braces or arguments (g++ 12 leaks already built members there);
// tools/check_try.py enforces it.
#define TRY(expr)                                 \
    (__extension__({                              \
        auto lb_result_ = (expr);                 \
        if (!lb_result_.has_value())              \
            return std::move(lb_result_).error(); \
        std::move(lb_result_).value();            \
    }))
