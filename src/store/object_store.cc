#include "store/object_store.h"

#include <algorithm>

namespace lifeboat::store {

using base::Code;
using base::Error;
using base::Result;

namespace {

constexpr std::size_t kMaxNameSize = 512;
constexpr std::size_t kMaxComponentSize = 255;  // what file systems hold

bool is_name_character(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-';
}

bool is_component(std::string_view part) {
    return !part.empty() && part.size() <= kMaxComponentSize && part != "." && part != ".." &&
           !part.starts_with(".tmp-") && std::ranges::all_of(part, is_name_character);
}

// A name for a message: it may be hostile, long, or binary.
std::string printable(std::string_view name) {
    std::string shown(name.substr(0, 80));
    std::ranges::replace_if(shown, [](char c) { return c < ' ' || c > '~'; }, '?');
    return name.size() > 80 ? shown + "..." : shown;
}

}  // namespace

Result<> check_object_name(std::string_view name) {
    bool good = !name.empty() && name.size() <= kMaxNameSize;
    for (std::size_t at = 0; good && at <= name.size();) {
        const std::size_t end = std::min(name.find('/', at), name.size());
        good = is_component(name.substr(at, end - at));
        at = end + 1;
    }
    if (!good) {
        return Error(Code::InvalidInput, "object name '" + printable(name) + "' is not allowed")
            .hint(
                "Use 1 to 512 of the characters A-Z a-z 0-9 . _ - in parts separated by '/'; no "
                "part may be empty, longer than 255, "
                "'.' or '..', or begin with '.tmp-'.");
    }
    return {};
}

Result<> check_put(std::string_view name, std::uint64_t size) {
    TRY(check_object_name(name));
    if (size > ObjectStore::kMaxObjectSize) {
        return Error(Code::InvalidInput, "object '" + std::string(name) + "' of " +
                                             base::human_size(size) + " is larger than " +
                                             base::human_size(ObjectStore::kMaxObjectSize));
    }
    return {};
}

Result<> check_range(std::string_view name, std::uint64_t size, std::uint64_t offset,
                     std::uint64_t count) {
    if (offset > size || count > size - offset) {
        return Error(Code::Corrupt, "object '" + std::string(name) + "' has " +
                                        std::to_string(size) + " bytes, not the " +
                                        std::to_string(count) + " asked for at offset " +
                                        std::to_string(offset));
    }
    return {};
}

Result<std::vector<ObjectInfo>> list_all(ObjectStore& store, const std::string& prefix) {
    std::vector<ObjectInfo> all;
    TRY(store.list(prefix, [&](const ObjectInfo& object) -> Result<> {
        all.push_back(object);
        return {};
    }));
    return all;
}

}  // namespace lifeboat::store
