#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace lifeboat::base {

// What a caller can do about a failure. docs/errors.md maps each to an exit code.
enum class Code {
    NotFound,         // the object or file is proven absent
    Corrupt,          // bytes are there, and are not what was written
    Unavailable,      // may succeed later: the only code that a retry answers
    Denied,           // credentials, permissions, a key that does not fit
    Conflict,         // something else is there already, or someone else is at work
    InvalidInput,     // the caller's words are wrong: configuration, arguments, time
    NoSpace,          // a disk or quota is full
    Cancelled,        // a signal or a stop asked for it
    OutcomeUnknown,   // it may have happened: look before doing anything again
    Refused,          // possible, but unsafe: the hint says how to consent or what to do instead
    Unsupported,      // a newer format, an unknown version, a missing feature
    Partial,          // some of several things failed; the message names them
    ObjectiveMissed,  // the work was done and an objective (age, RPO, RTO) is not met
    Bug,              // an invariant of ours does not hold
};

std::string_view name(Code code);

// Process exit code for `code`: 1 failed, 2 usage, 3 partial, 4 refused, 5 objective missed, 6
// outcome unknown (docs/errors.md).
int exit_code(Code code);

// True iff trying the same call again may succeed.
inline bool is_transient(Code code) {
    return code == Code::Unavailable;
}

// A failure: what went wrong at the bottom, what was being done at each layer above, and what to do
// next. Move-only, one pointer wide. Messages are lower case without a full stop, values in single
// quotes; hints are whole sentences.
class [[nodiscard]] Error {
  public:
    Error(Code code, std::string what);
    Error(Error&&) noexcept = default;
    Error& operator=(Error&&) noexcept = default;

    Code code() const;
    const std::string& what() const;                // the innermost message
    const std::string& hint() const;                // empty when there is none
    int os_error() const;                           // errno, or 0
    const std::vector<std::string>& trail() const;  // outermost last

    // `restoring 'prod': reading pack: object 'x' does not exist`
    std::string message() const;

    // Names what was being done; one call per layer.
    Error during(std::string step) &&;
    // Says what to do next. The innermost hint wins: it knows most.
    Error hint(std::string sentence) &&;
    Error with_os_error(int number) &&;
    // The same failure under another code, where a layer knows better what the caller can do.
    Error recode(Code code) &&;
    Error clone() const;

  private:
    struct Payload;

    struct Deleter {
        void operator()(Payload* payload) const;
    };

    std::unique_ptr<Payload, Deleter> p_;
};

// The failure of a system call: picks the code from `number` (ENOENT: NotFound, ENOSPC: NoSpace,
// EACCES: Denied, ...) and appends its text.
Error os_failure(std::string what, int number);

}  // namespace lifeboat::base
