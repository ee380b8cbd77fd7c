#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace lifeboat::base {

// A JSON value; objects keep the order in which their members were set. nlohmann-json parses and
// stays in json.cc.
class Json {
  public:
    using Array = std::vector<Json>;
    using Member = std::pair<std::string, Json>;
    using Object = std::vector<Member>;

    Json() = default;  // null

    Json(bool v) : v_(v) {}  // NOLINT(google-explicit-constructor): literals read naturally

    Json(std::int64_t v) : v_(v) {}  // NOLINT(google-explicit-constructor)

    Json(int v) : v_(static_cast<std::int64_t>(v)) {}  // NOLINT(google-explicit-constructor)

    Json(unsigned v) : v_(static_cast<std::int64_t>(v)) {}  // NOLINT(google-explicit-constructor)

    Json(std::uint64_t v);  // NOLINT(google-explicit-constructor)

    Json(double v) : v_(v) {}  // NOLINT(google-explicit-constructor)

    Json(std::string v) : v_(std::move(v)) {}  // NOLINT(google-explicit-constructor)

    Json(std::string_view v) : v_(std::string(v)) {}  // NOLINT(google-explicit-constructor)

    Json(const char* v) : v_(std::string(v)) {}  // NOLINT(google-explicit-constructor)

    Json(Array v) : v_(std::move(v)) {}  // NOLINT(google-explicit-constructor)

    static Json object() { return Json(Object{}); }

    static Json array() { return Json(Array{}); }

    bool is_null() const { return std::holds_alternative<std::monostate>(v_); }

    bool is_object() const { return std::holds_alternative<Object>(v_); }

    bool is_array() const { return std::holds_alternative<Array>(v_); }

    bool is_string() const { return std::holds_alternative<std::string>(v_); }

    // Sets or replaces a member; this must be an object. Returns *this, so calls chain.
    Json& set(std::string key, Json value);
    Json& push(Json value);  // this must be an array

    // Readers of outside documents: Corrupt when the member is missing or of another type.
    Result<std::string> text(std::string_view key) const;
    Result<std::int64_t> integer(std::string_view key) const;
    Result<bool> boolean(std::string_view key) const;
    Result<const Array*> list(std::string_view key) const;  // borrowed from this
    Result<const Json*> member(std::string_view key) const;
    const Json* find(std::string_view key) const;  // nullptr when absent

    const Array& items() const;     // empty unless an array
    const Object& members() const;  // empty unless an object
    std::string as_text(std::string_view otherwise = "") const;
    std::int64_t as_integer(std::int64_t otherwise = 0) const;

    std::string dump(int indent = -1) const;  // -1: one line
    // Corrupt on anything but one JSON value; also when nested deeper than 64, when a member
    // appears twice in one object, and when an integer does not fit 64 bits.
    static Result<Json> parse(std::string_view text);

  private:
    class Writer;
    class Builder;

    explicit Json(Object v) : v_(std::move(v)) {}

    // The unsigned alternative holds only what a signed number cannot.
    std::variant<std::monostate, bool, std::int64_t, std::uint64_t, double, std::string, Array,
                 Object>
        v_;
};

}  // namespace lifeboat::base
