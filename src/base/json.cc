#include "base/json.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <limits>
#include <optional>

namespace lifeboat::base {

namespace {

constexpr std::size_t kMaxDepth = 64;

Error missing(std::string_view key, const char* wanted) {
    return Error(Code::Corrupt, "member '" + std::string(key) + "' is not " + wanted);
}

// nlohmann writes the scalars: its escapes, its shortest round-trip doubles; bytes that are not
// UTF-8 become U+FFFD.
template <class T>
std::string scalar(const T& value) {
    return nlohmann::json(value).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

Json::Json(std::uint64_t v) {
    if (v <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
        v_ = static_cast<std::int64_t>(v);
    } else {
        v_ = v;
    }
}

Json& Json::set(std::string key, Json value) {
    auto& members = std::get<Object>(v_);
    const auto same = std::find_if(members.begin(), members.end(),
                                   [&](const Member& m) { return m.first == key; });
    if (same != members.end()) {
        same->second = std::move(value);
    } else {
        members.emplace_back(std::move(key), std::move(value));
    }
    return *this;
}

Json& Json::push(Json value) {
    std::get<Array>(v_).push_back(std::move(value));
    return *this;
}

const Json* Json::find(std::string_view key) const {
    for (const auto& [name, value] : members()) {
        if (name == key) {
            return &value;
        }
    }
    return nullptr;
}

Result<const Json*> Json::member(std::string_view key) const {
    const Json* found = find(key);
    if (found == nullptr) {
        return Error(Code::Corrupt, "member '" + std::string(key) + "' is missing");
    }
    return found;
}

Result<std::string> Json::text(std::string_view key) const {
    const Json* found = TRY(member(key));
    if (const auto* value = std::get_if<std::string>(&found->v_)) {
        return *value;
    }
    return missing(key, "a string");
}

Result<std::int64_t> Json::integer(std::string_view key) const {
    const Json* found = TRY(member(key));
    if (const auto* value = std::get_if<std::int64_t>(&found->v_)) {
        return *value;
    }
    return missing(key, "an integer that fits 63 bits and a sign");
}

Result<bool> Json::boolean(std::string_view key) const {
    const Json* found = TRY(member(key));
    if (const auto* value = std::get_if<bool>(&found->v_)) {
        return *value;
    }
    return missing(key, "true or false");
}

Result<const Json::Array*> Json::list(std::string_view key) const {
    const Json* found = TRY(member(key));
    if (const auto* value = std::get_if<Array>(&found->v_)) {
        return value;
    }
    return missing(key, "an array");
}

const Json::Array& Json::items() const {
    static const Array empty;
    const auto* value = std::get_if<Array>(&v_);
    return value == nullptr ? empty : *value;
}

const Json::Object& Json::members() const {
    static const Object empty;
    const auto* value = std::get_if<Object>(&v_);
    return value == nullptr ? empty : *value;
}

std::string Json::as_text(std::string_view otherwise) const {
    const auto* value = std::get_if<std::string>(&v_);
    return value == nullptr ? std::string(otherwise) : *value;
}

std::int64_t Json::as_integer(std::int64_t otherwise) const {
    const auto* value = std::get_if<std::int64_t>(&v_);
    return value == nullptr ? otherwise : *value;
}

// ---- Writing
// ------------------------------------------------------------------------------------------------------

class Json::Writer {
  public:
    explicit Writer(int indent) : indent_(indent) {}

    void write(const Json& json) {
        if (const auto* list = std::get_if<Array>(&json.v_)) {
            write_run('[', *list, ']', [this](const Json& item) { write(item); });
        } else if (const auto* object = std::get_if<Object>(&json.v_)) {
            write_run('{', *object, '}', [this](const Member& member) {
                out_ += scalar(member.first) + (indent_ < 0 ? ":" : ": ");
                write(member.second);
            });
        } else if (const auto* text = std::get_if<std::string>(&json.v_)) {
            out_ += scalar(*text);
        } else if (const auto* number = std::get_if<std::int64_t>(&json.v_)) {
            out_ += std::to_string(*number);
        } else if (const auto* large = std::get_if<std::uint64_t>(&json.v_)) {
            out_ += std::to_string(*large);
        } else if (const auto* real = std::get_if<double>(&json.v_)) {
            out_ += scalar(*real);
        } else if (const auto* truth = std::get_if<bool>(&json.v_)) {
            out_ += *truth ? "true" : "false";
        } else {
            out_ += "null";
        }
    }

    std::string take() { return std::move(out_); }

  private:
    template <class Run, class WriteOne>
    void write_run(char open, const Run& run, char close, WriteOne write_one) {
        out_ += open;
        ++depth_;
        bool first = true;
        for (const auto& one : run) {
            out_ += first ? "" : ",";
            first = false;
            new_line();
            write_one(one);
        }
        --depth_;
        if (!run.empty()) {
            new_line();
        }
        out_ += close;
    }

    void new_line() {
        if (indent_ >= 0) {
            out_ += '\n';
            out_.append(static_cast<std::size_t>(indent_) * depth_, ' ');
        }
    }

    int indent_;
    std::size_t depth_ = 0;
    std::string out_;
};

std::string Json::dump(int indent) const {
    Writer writer(indent);
    writer.write(*this);
    return writer.take();
}

// ---- Reading
// ------------------------------------------------------------------------------------------------------

// Builds the value from nlohmann's events; answers false to stop at the first thing that is wrong.
// Names are nlohmann's.
class Json::Builder {
  public:
    bool null() { return add(Json()); }

    bool boolean(bool v) { return add(Json(v)); }

    bool number_integer(std::int64_t v) { return add(Json(v)); }

    bool number_unsigned(std::uint64_t v) { return add(Json(v)); }

    bool number_float(double v, const std::string& source) {
        // nlohmann turns an integer of more than 64 bits into a double that is near it.
        if (source.find_first_of(".eE") == std::string::npos) {
            return fail("number " + source.substr(0, 40) + " does not fit 64 bits");
        }
        return add(Json(v));
    }

    bool string(std::string& v) { return add(Json(std::move(v))); }

    bool binary(const std::vector<std::uint8_t>& /*v*/) { return fail("binary value"); }

    bool start_object(std::size_t /*size*/) { return open(Json::object()); }

    bool start_array(std::size_t /*size*/) { return open(Json::array()); }

    bool end_object() {
        return keys_are_unique(std::get<Object>(open_.back().value.v_)) && close();
    }

    bool end_array() { return close(); }

    bool key(std::string& v) {
        open_.back().key = std::move(v);
        return true;
    }

    bool parse_error(std::size_t position, const std::string& /*token*/,
                     const nlohmann::detail::exception& /*e*/) {
        return fail("syntax error at byte " + std::to_string(position));
    }

    Result<Json> take() {
        if (failure_) {
            return Error(Code::Corrupt, "not valid JSON: " + *failure_);
        }
        return std::move(root_);
    }

  private:
    struct Level {
        Json value;
        std::string key;
    };

    bool fail(std::string what) {
        failure_ = std::move(what);
        return false;
    }

    bool open(Json container) {
        if (open_.size() == kMaxDepth) {
            return fail("nested deeper than " + std::to_string(kMaxDepth));
        }
        open_.push_back({std::move(container), {}});
        return true;
    }

    bool close() {
        Json done = std::move(open_.back().value);
        open_.pop_back();
        return add(std::move(done));
    }

    bool add(Json value) {
        if (open_.empty()) {
            root_ = std::move(value);
        } else if (auto* object = std::get_if<Object>(&open_.back().value.v_)) {
            object->emplace_back(std::move(open_.back().key), std::move(value));
        } else {
            std::get<Array>(open_.back().value.v_).push_back(std::move(value));
        }
        return true;
    }

    // Readers disagree on which of two equal keys counts, so a document that has them is not
    // trusted at all.
    bool keys_are_unique(const Object& object) {
        std::vector<std::string_view> keys;
        keys.reserve(object.size());
        for (const Member& member : object) {
            keys.push_back(member.first);
        }
        std::sort(keys.begin(), keys.end());
        const auto twice = std::adjacent_find(keys.begin(), keys.end());
        return twice == keys.end() || fail("member '" + std::string(*twice) + "' appears twice");
    }

    std::vector<Level> open_;
    Json root_;
    std::optional<std::string> failure_;
};

Result<Json> Json::parse(std::string_view text) {
    Builder builder;
    nlohmann::json::sax_parse(text.begin(), text.end(), &builder);
    return builder.take();
}

}  // namespace lifeboat::base
