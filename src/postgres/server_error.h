#pragma once

#include <string>
#include <string_view>

#include "base/secret.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

// What the server or libpq said went wrong, as an Error of ours. Pure. SQLSTATEs are those of
// PostgreSQL's Appendix A; the message keeps its one as "(SQLSTATE 28P01)".

// What a caller can do about `sqlstate`: five characters, or empty when there was none.
Code code_for_sqlstate(std::string_view sqlstate);

struct ServerMessage {
    std::string sqlstate;
    std::string text;  // the primary message
    std::string detail;
    std::string hint;
};

// A command that the server refused or failed.
Error server_failure(const ServerMessage& message);

// A connection that was not made. `text` is libpq's verbose account, which may tell of several
// attempts; `password` cannot be in it, and is removed all the same.
Error connect_failure(std::string_view text, const base::Secret& password);

// The SQLSTATE that a message of the two above carries, or nothing.
std::string_view sqlstate_of(std::string_view message);

// `text` on one line, without what follows the last word.
std::string one_line(std::string_view text);

}  // namespace lifeboat::postgres
