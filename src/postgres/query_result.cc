#include <algorithm>
#include <charconv>

#include "postgres/connection.h"

namespace lifeboat::postgres {

namespace {

Error odd_answer(std::string_view column, const char* how) {
    return {Code::Corrupt, "the server's answer has " + std::string(how) + " in column '" +
                               std::string(column) + "'"};
}

std::string quoted(std::string_view text, char quote) {
    std::string out(1, quote);
    for (const char c : text) {
        if (c == quote) {
            out += quote;
        }
        out += c;
    }
    out += quote;
    return out;
}

}  // namespace

Result<Cell> QueryResult::cell(std::size_t row, std::string_view column) const {
    const auto at = std::find(columns.begin(), columns.end(), column);
    if (at == columns.end() || row >= rows.size()) {
        return odd_answer(column, "no value");
    }
    return rows[row][static_cast<std::size_t>(at - columns.begin())];
}

Result<std::string> QueryResult::text(std::size_t row, std::string_view column) const {
    Cell value = TRY(cell(row, column));
    if (!value) {
        return odd_answer(column, "NULL");
    }
    return std::move(*value);
}

Result<std::int64_t> QueryResult::integer(std::size_t row, std::string_view column) const {
    const std::string digits = TRY(text(row, column));
    std::int64_t value = 0;
    const auto [stop, failure] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (failure != std::errc() || stop != digits.data() + digits.size()) {
        return odd_answer(column, "no whole number");
    }
    return value;
}

Result<bool> QueryResult::boolean(std::size_t row, std::string_view column) const {
    const std::string value = TRY(text(row, column));
    if (value != "t" && value != "f") {
        return odd_answer(column, "no truth value");
    }
    return value == "t";
}

Result<Lsn> QueryResult::lsn(std::size_t row, std::string_view column) const {
    const std::string value = TRY(text(row, column));
    Result<Lsn> parsed = parse_lsn(value);
    if (!parsed.has_value()) {
        return odd_answer(column, "no WAL position");
    }
    return *parsed;
}

std::string quote_literal(std::string_view text) {
    return quoted(text, '\'');
}

std::string quote_identifier(std::string_view text) {
    return quoted(text, '"');
}

}  // namespace lifeboat::postgres
