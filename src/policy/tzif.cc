// Compiled time zone files, read strictly. Tested by tzif_test.cc, which also compares every zone
// of the machine with libc.
//
// The file (RFC 9636), all integers big-endian:
//
//   header   "TZif", version ('2' and up), 15 reserved bytes, six 32-bit counts:
//            isut, isstd, leap, time, type, char
//   block 1  for readers of the 1980s, with 32-bit times: skipped, by its counts
//   header   again, with the counts of what follows
//   block 2  time * i64 transition times, ascending
//            time * u8  index of the type that begins then
//            type * { i32 seconds east of UTC, u8 summer, u8 index of the abbreviation }
//            char bytes of abbreviations; leap * (i64, i32); isstd * u8; isut * u8
//   footer   a line, the POSIX TZ string: the rule for all time after the last transition
//
// Before the first transition type 0 holds. A file that lists leap seconds counts them in its
// times; PostgreSQL and this program do not, so such a file is refused rather than misread by
// half a minute.

#include <cstdint>
#include <limits>
#include <string_view>

#include "policy/text.h"
#include "policy/zone.h"

namespace lifeboat::policy {

namespace {

using base::BytesView;
using base::Code;
using base::Error;
using base::Result;
using std::chrono::seconds;

Error corrupt(const char* what) {
    return Error(Code::Corrupt, std::string("time zone file: ") + what);
}

// ---- The footer: `CET-1CEST,M3.5.0,M10.5.0/3` -----------------------------------------------

class FooterReader {
  public:
    // Version 3 widened the hours of a change from 0..24 to -167..167.
    FooterReader(std::string_view text, bool wide_times)
        : rest_(text), most_hours_(wide_times ? 167 : 24) {}

    Result<YearlyRule> read() {
        if (rest_.empty()) {
            return Error(Code::Unsupported,
                         "time zone file: it does not say what holds in the future");
        }
        const seconds standard = TRY(zone_part(std::nullopt));
        if (rest_.empty()) {
            return YearlyRule{standard, std::nullopt};
        }
        const seconds summer = TRY(zone_part(standard + std::chrono::hours(1)));
        const YearlyChange start = TRY(change());
        const YearlyChange end = TRY(change());
        if (!rest_.empty()) {
            return corrupt("the footer has more than one rule");
        }
        return YearlyRule{standard, YearlyRule::Summer{summer, start, end}};
    }

  private:
    // An abbreviation and an offset. POSIX counts west of UTC; the result counts east.
    Result<seconds> zone_part(std::optional<seconds> otherwise) {
        TRY(skip_abbreviation());
        if (otherwise && (rest_.empty() || rest_.front() == ',')) {
            return *otherwise;
        }
        const seconds west = TRY(clock(24));
        return -west;
    }

    Result<> skip_abbreviation() {
        const bool angled = take('<');
        std::size_t length = 0;
        while (length < rest_.size() &&
               (is_letter(rest_[length]) || (angled && rest_[length] != '>'))) {
            ++length;
        }
        rest_.remove_prefix(length);
        if (length < 3 || (angled && !take('>'))) {
            return corrupt("the footer has no zone abbreviation");
        }
        return {};
    }

    // [+-]hh[:mm[:ss]]
    Result<seconds> clock(int most_hours) {
        const bool minus = take('-');
        if (!minus) {
            take('+');
        }
        const int hours = TRY(number(0, most_hours));
        const int minutes = TRY(after_colon());
        const int second = TRY(after_colon());
        const seconds total(hours * 3600 + minutes * 60 + second);
        return minus ? -total : total;
    }

    Result<int> after_colon() {
        if (!take(':')) {
            return 0;
        }
        return number(0, 59);
    }

    // ,Jn | ,n | ,Mm.w.d with an optional /time, which is 02:00 when absent.
    Result<YearlyChange> change() {
        if (!take(',')) {
            return corrupt("the footer has summer time without a rule");
        }
        YearlyChange out = TRY(day());
        if (take('/')) {
            const seconds time = TRY(clock(most_hours_));
            out.time = time;
        }
        return out;
    }

    Result<YearlyChange> day() {
        using Kind = YearlyChange::Kind;
        if (take('M')) {
            return weekday_of_month();
        }
        const Kind kind = take('J') ? Kind::JulianWithoutLeapDay : Kind::DayOfYear;
        const int day = TRY(number(kind == Kind::DayOfYear ? 0 : 1, 365));
        return YearlyChange{.kind = kind, .day = day};
    }

    Result<YearlyChange> weekday_of_month() {
        const int month = TRY(number(1, 12));
        TRY(dot());
        const int week = TRY(number(1, 5));
        TRY(dot());
        const int day = TRY(number(0, 6));
        return YearlyChange{YearlyChange::Kind::WeekdayOfMonth, day, week, month};
    }

    Result<> dot() {
        if (!take('.')) {
            return corrupt("the footer has an incomplete rule");
        }
        return {};
    }

    Result<int> number(int least, int most) {
        int out = 0;
        std::size_t digits = 0;
        while (digits < 3 && digits < rest_.size() && is_digit(rest_[digits])) {
            out = out * 10 + (rest_[digits] - '0');
            ++digits;
        }
        rest_.remove_prefix(digits);
        if (digits == 0 || out < least || out > most) {
            return corrupt("the footer has a number out of range");
        }
        return out;
    }

    bool take(char c) {
        if (rest_.empty() || rest_.front() != c) {
            return false;
        }
        rest_.remove_prefix(1);
        return true;
    }

    std::string_view rest_;
    int most_hours_;
};

}  // namespace

class TzifReader {
  public:
    explicit TzifReader(BytesView tzif) : in_(tzif) {}

    Result<Zone> read() {
        const Header first = TRY(header());
        if (first.version < '2') {
            return Error(Code::Unsupported, "time zone file: version 1 has no 64-bit times");
        }
        TRY(in_.raw(block_size(first, 4)));
        const Header second = TRY(header());
        header_ = second;
        TRY(check_counts());
        TRY(transition_times());
        const BytesView kinds = TRY(in_.raw(header_.time));
        TRY(types());
        TRY(assign(kinds));
        TRY(in_.raw(std::uint64_t{header_.chars} + header_.isstd + header_.isut));
        TRY(footer());
        return std::move(zone_);
    }

  private:
    struct Header {
        base::Byte version = 0;
        std::uint32_t isut = 0, isstd = 0, leap = 0, time = 0, type = 0, chars = 0;
    };

    static std::uint64_t block_size(const Header& h, std::uint64_t time_width) {
        return std::uint64_t{h.time} * (time_width + 1) + std::uint64_t{h.type} * 6 + h.chars +
               std::uint64_t{h.leap} * (time_width + 4) + h.isstd + h.isut;
    }

    Result<std::uint64_t> big_endian(std::size_t width) {
        const BytesView bytes = TRY(in_.raw(width));
        std::uint64_t v = 0;
        for (const base::Byte b : bytes) {
            v = v << 8 | b;
        }
        return v;
    }

    Result<std::uint32_t> count() {
        const std::uint64_t v = TRY(big_endian(4));
        return static_cast<std::uint32_t>(v);
    }

    Result<Header> header() {
        const BytesView magic = TRY(in_.raw(4));
        if (base::text(magic) != "TZif") {
            return corrupt("the magic is missing");
        }
        const base::Byte version = TRY(in_.u8());
        TRY(in_.raw(15));
        const std::uint32_t isut = TRY(count());
        const std::uint32_t isstd = TRY(count());
        const std::uint32_t leap = TRY(count());
        const std::uint32_t time = TRY(count());
        const std::uint32_t type = TRY(count());
        const std::uint32_t chars = TRY(count());
        return Header{version, isut, isstd, leap, time, type, chars};
    }

    Result<> check_counts() const {
        const Header& h = header_;
        if (h.version < '2' || h.type == 0 || h.type > 256 || h.chars == 0 ||
            (h.isut != 0 && h.isut != h.type) || (h.isstd != 0 && h.isstd != h.type)) {
            return corrupt("its counts contradict each other");
        }
        if (h.leap != 0) {
            return Error(Code::Unsupported, "time zone file: its times count leap seconds")
                .hint("Use the plain name of the zone, without 'right/'.");
        }
        if (block_size(h, 8) > in_.remaining()) {
            return corrupt("it is shorter than its counts say");
        }
        return {};
    }

    Result<> transition_times() {
        std::int64_t last = std::numeric_limits<std::int64_t>::min();
        for (std::uint32_t i = 0; i < header_.time; ++i) {
            const std::uint64_t raw = TRY(big_endian(8));
            const auto at = static_cast<std::int64_t>(raw);
            if (at <= last) {
                return corrupt("its transitions are not in order");
            }
            last = at;
            zone_.transitions_.push_back({std::chrono::sys_seconds(seconds(at)), seconds(0)});
        }
        return {};
    }

    Result<> types() {
        for (std::uint32_t i = 0; i < header_.type; ++i) {
            const std::uint32_t raw = TRY(count());
            const auto offset = static_cast<std::int32_t>(raw);
            const std::uint8_t summer = TRY(in_.u8());
            const std::uint8_t abbreviation = TRY(in_.u8());
            if (offset < -89999 || offset > 93599 || summer > 1 || abbreviation >= header_.chars) {
                return corrupt("a local time type is out of range");
            }
            offsets_.emplace_back(offset);
        }
        zone_.before_ = offsets_.front();
        return {};
    }

    Result<> assign(BytesView kinds) {
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            if (kinds[i] >= offsets_.size()) {
                return corrupt("a transition names a type that is not there");
            }
            zone_.transitions_[i].offset = offsets_[kinds[i]];
        }
        return {};
    }

    Result<> footer() {
        const BytesView bytes = TRY(in_.raw(in_.remaining()));
        const std::string_view text = base::text(bytes);
        if (text.size() < 2 || text.front() != '\n' || text.find('\n', 1) != text.size() - 1) {
            return corrupt("the footer is not one line at the end");
        }
        const YearlyRule rule =
            TRY(FooterReader(text.substr(1, text.size() - 2), header_.version >= '3').read());
        zone_.after_ = rule;
        return {};
    }

    base::ByteReader in_;
    Header header_;
    std::vector<seconds> offsets_;
    Zone zone_;
};

Result<Zone> Zone::parse(BytesView tzif) {
    return TzifReader(tzif).read();
}

Result<Zone> Zone::load(const ZoneName& name, base::Files& files, const std::string& directory) {
    if (const auto offset = name.fixed_offset()) {
        return fixed(*offset);
    }
    if (!files.stat(directory).has_value()) {
        return Error(Code::NotFound, "time zone '" + name.text() +
                                         "': this machine has no tz database at '" + directory +
                                         "'")
            .hint(
                "Install the package tzdata, or write UTC or an offset such as "
                "+02:00.");
    }
    const std::string path = base::join(directory, name.text());
    const auto found = files.stat(path);
    if (!found.has_value() || found->kind != base::FileKind::Regular) {
        return Error(Code::NotFound, "there is no time zone '" + name.text() + "'")
            .hint(
                "Abbreviations such as CEST are not names of zones: write "
                "Europe/Berlin, +02:00 or UTC.");
    }
    const base::Bytes bytes = TRY(base::read_file(files, path, base::kMiB));
    return parse(bytes).during("reading time zone '" + name.text() + "'");
}

}  // namespace lifeboat::policy
