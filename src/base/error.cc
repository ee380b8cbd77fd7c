#include "base/error.h"

#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace lifeboat::base {

struct Error::Payload {
    Code code = Code::Bug;
    std::string what;
    std::vector<std::string> trail;
    std::string hint;
    int os_error = 0;
};

void Error::Deleter::operator()(Payload* payload) const {
    delete payload;
}

Error::Error(Code code, std::string what) : p_(new Payload{code, std::move(what), {}, {}, 0}) {}

Code Error::code() const {
    return p_->code;
}

const std::string& Error::what() const {
    return p_->what;
}

const std::string& Error::hint() const {
    return p_->hint;
}

int Error::os_error() const {
    return p_->os_error;
}

const std::vector<std::string>& Error::trail() const {
    return p_->trail;
}

std::string Error::message() const {
    std::string text;
    for (auto step = p_->trail.rbegin(); step != p_->trail.rend(); ++step) {
        text += *step + ": ";
    }
    return text + p_->what;
}

Error Error::during(std::string step) && {
    p_->trail.push_back(std::move(step));
    return std::move(*this);
}

Error Error::hint(std::string sentence) && {
    if (p_->hint.empty()) {
        p_->hint = std::move(sentence);
    }
    return std::move(*this);
}

Error Error::with_os_error(int number) && {
    p_->os_error = number;
    return std::move(*this);
}

Error Error::recode(Code code) && {
    p_->code = code;
    return std::move(*this);
}

Error Error::clone() const {
    Error copy(p_->code, p_->what);
    *copy.p_ = *p_;
    return copy;
}

std::string_view name(Code code) {
    switch (code) {
        case Code::NotFound:
            return "not-found";
        case Code::Corrupt:
            return "corrupt";
        case Code::Unavailable:
            return "unavailable";
        case Code::Denied:
            return "denied";
        case Code::Conflict:
            return "conflict";
        case Code::InvalidInput:
            return "invalid-input";
        case Code::NoSpace:
            return "no-space";
        case Code::Cancelled:
            return "cancelled";
        case Code::OutcomeUnknown:
            return "outcome-unknown";
        case Code::Refused:
            return "refused";
        case Code::Unsupported:
            return "unsupported";
        case Code::Partial:
            return "partial";
        case Code::ObjectiveMissed:
            return "objective-missed";
        case Code::Bug:
            return "bug";
    }
    return "bug";
}

int exit_code(Code code) {
    switch (code) {
        case Code::InvalidInput:
            return 2;
        case Code::Partial:
            return 3;
        case Code::Refused:
            return 4;
        case Code::ObjectiveMissed:
            return 5;
        case Code::OutcomeUnknown:
            return 6;
        default:
            return 1;
    }
}

namespace {

Code code_of(int number) {
    switch (number) {
        case ENOENT:
        case ENOTDIR:
            return Code::NotFound;
        case EACCES:
        case EPERM:
        case EROFS:
            return Code::Denied;
        case EEXIST:
        case ENOTEMPTY:
        case ETXTBSY:
            return Code::Conflict;
        case ENOSPC:
        case EDQUOT:
        case EFBIG:
            return Code::NoSpace;
        case EAGAIN:
        case EINTR:
        case EMFILE:
        case ENFILE:
        case ENOMEM:
        case ECONNREFUSED:
        case ECONNRESET:
        case ETIMEDOUT:
            return Code::Unavailable;
        case EINVAL:
        case ENAMETOOLONG:
            return Code::InvalidInput;
        default:
            return Code::Unavailable;
    }
}

}  // namespace

Error os_failure(std::string what, int number) {
    return Error(code_of(number), std::move(what) + ": " + std::generic_category().message(number))
        .with_os_error(number);
}

}  // namespace lifeboat::base
