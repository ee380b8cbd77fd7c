#include "base/secret.h"

#include <cstring>

namespace lifeboat::base {

void wipe(void* start, std::size_t count) {
    if (count > 0) {
        ::explicit_bzero(start, count);
    }
}

Secret::Secret(std::string&& value) : value_(value) {
    wipe_string(value);
}

Secret::Secret(Secret&& other) noexcept {
    value_.swap(other.value_);
    wipe_string(other.value_);
}

Secret& Secret::operator=(const Secret& other) {
    if (this != &other) {
        wipe_string(value_);
        value_ = other.value_;
    }
    return *this;
}

Secret& Secret::operator=(Secret&& other) noexcept {
    if (this != &other) {
        value_.swap(other.value_);
        wipe_string(other.value_);
    }
    return *this;
}

Secret::~Secret() {
    wipe_string(value_);
}

void Secret::wipe_string(std::string& value) {
    // The text may once have been longer, or have been moved out of the buffer within the object:
    // wipe all of the capacity.
    value.resize(value.capacity());
    wipe(value.data(), value.size());
    value.clear();
}

}  // namespace lifeboat::base
