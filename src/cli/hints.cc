#include "cli/hints.h"

namespace lifeboat::cli {

using base::Code;

namespace {

const char* general_hint(Code code) {
    switch (code) {
        case Code::NotFound:
            return "Check the name and the path in the message.";
        case Code::Corrupt:
            return "'lifeboat repo check' says what is damaged, and what that costs.";
        case Code::Unavailable:
            return "This may pass by itself: try again. 'lifeboat doctor' looks at what is behind "
                   "it.";
        case Code::Denied:
            return "Check what the user that runs lifeboat may do, and the keys it was given.";
        case Code::Conflict:
            return "Look at what is there already, or wait for what is at work.";
        case Code::InvalidInput:
            return "Correct what the message names; 'lifeboat VERB --help' shows the options.";
        case Code::NoSpace:
            return "Free some space, and run it again.";
        case Code::Cancelled:
            return "It was stopped on request, and can be run again.";
        case Code::OutcomeUnknown:
            return "It may have happened: look before doing it again.";
        case Code::Refused:
            return "It could make things worse: see docs/errors.md.";
        case Code::Unsupported:
            return "A newer lifeboat may do it; 'lifeboat --version' says which one this is.";
        case Code::Partial:
            return "The report names what failed.";
        case Code::ObjectiveMissed:
            return "'lifeboat status' shows the arithmetic.";
        case Code::Bug:
            break;
    }
    return "This is an error in lifeboat itself: please report the message.";
}

}  // namespace

std::string hint_for(const base::Error& error) {
    return error.hint().empty() ? general_hint(error.code()) : error.hint();
}

}  // namespace lifeboat::cli
