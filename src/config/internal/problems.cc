#include "config/internal/problems.h"

#include <algorithm>
#include <tuple>

#include "base/check.h"
#include "policy/text.h"

namespace lifeboat::config {

using base::Code;
using base::Error;

namespace {

// A file that is wrong in more places than this is not the file that was meant.
constexpr std::size_t kMostShown = 50;

// A private key may stand where a name or a path belongs, and messages quote what they find.
std::string without_private_keys(std::string text) {
    constexpr std::string_view kStart = "age-secret-key-";
    for (std::size_t at = 0; (at = policy::lower(text).find(kStart, at)) != std::string::npos;
         ++at) {
        const auto begin = text.begin() + static_cast<std::ptrdiff_t>(at);
        const auto end = std::find_if_not(begin, text.end(), [](char c) {
            return policy::is_letter(c) || policy::is_digit(c) || c == '-';
        });
        text.replace(begin, end, "***");
    }
    return text;
}

}  // namespace

void Problems::collect(Code code, Mark mark, std::string text, std::string hint) {
    problems_.push_back(
        {code, mark, problems_.size(), without_private_keys(std::move(text)), std::move(hint)});
}

void Problems::add(Mark mark, std::string text, std::string hint) {
    collect(Code::InvalidInput, mark, std::move(text), std::move(hint));
}

void Problems::refuse(Mark mark, std::string text, std::string hint) {
    collect(Code::Refused, mark, std::move(text), std::move(hint));
}

std::string Problems::line_of(const Problem& p) const {
    return file_name_ + ":" + std::to_string(p.mark.line) + ":" + std::to_string(p.mark.column) +
           ": " + p.text;
}

Error Problems::error() && {
    LB_CHECK(any());
    std::ranges::sort(problems_, {}, [](const Problem& p) { return std::tuple(p.mark, p.number); });
    const bool refused =
        std::ranges::find(problems_, Code::Refused, &Problem::code) != problems_.end();
    const Code code = refused ? Code::Refused : Code::InvalidInput;
    if (problems_.size() == 1) {
        return Error(code, line_of(problems_.front()))
            .hint(problems_.front().hint)
            .hint("Edit the file at that line.");
    }
    std::string text = std::to_string(problems_.size()) + " problems";
    for (const Problem& problem : problems_) {
        if (&problem - problems_.data() == static_cast<std::ptrdiff_t>(kMostShown)) {
            text += "\n  and " + std::to_string(problems_.size() - kMostShown) + " more";
            break;
        }
        text += "\n  " + line_of(problem) + (problem.hint.empty() ? "" : "\n      " + problem.hint);
    }
    return Error(code, std::move(text)).hint("Edit the file at those lines.");
}

}  // namespace lifeboat::config
