#include "postgres/recovery_target.h"

#include <utility>

// Tested by recovery_target_test.cc, and by tests/e2e/recovery_test.cc against what servers do.
//
// PostgreSQL's rules, which this repeats: a time is compared with commits and aborts only, and the
// first later one is not applied, whatever follows it; a transaction is found by the end record
// that names it, be it a commit or an abort; a name is that of the first restore point that bears
// it.

namespace lifeboat::postgres {

namespace {

using engine::AtName;
using engine::AtPosition;
using engine::AtTime;
using engine::AtTransaction;
using engine::BeforeTransaction;
using engine::Immediate;
using engine::Latest;

template <class... F>
struct Overloaded : F... {
    using F::operator()...;
};
template <class... F>
Overloaded(F...) -> Overloaded<F...>;

constexpr std::size_t kLongestName = 63;  // MAXFNAMELEN less the zero behind it

}  // namespace

StopFinder::StopFinder(const engine::Target& target) : target_(target) {
    if (const auto* at = std::get_if<AtPosition>(&target)) {
        const auto parsed = parse_lsn(at->text);
        position_ = parsed ? *parsed : Lsn{};
    }
    needs_match_ = std::holds_alternative<AtTransaction>(target) ||
                   std::holds_alternative<BeforeTransaction>(target) ||
                   std::holds_alternative<AtName>(target);
}

// The server's own comparison: the low 32 bits, so that a 64-bit id (pg_current_xact_id) and the
// xid of a log line both work.
bool StopFinder::wants_transaction(std::uint32_t xid) const {
    const auto* at = std::get_if<AtTransaction>(&target_);
    const auto* before = std::get_if<BeforeTransaction>(&target_);
    return xid != 0 && ((at != nullptr && static_cast<std::uint32_t>(at->xid) == xid) ||
                        (before != nullptr && static_cast<std::uint32_t>(before->xid) == xid));
}

StopFinder::Verdict StopFinder::stop_before(std::optional<CommitPoint> point) {
    deciding_ = std::move(point);
    needs_match_ = false;
    return Verdict::Decided;
}

StopFinder::Verdict StopFinder::apply(const WalRecord& record) {
    stop_ = RecordSpan{record.start, record.end};
    return Verdict::Open;
}

StopFinder::Verdict StopFinder::see_end(const WalRecord& record, const CommitPoint& point) {
    const auto* time = std::get_if<AtTime>(&target_);
    if (time != nullptr && point.time > time->time) {
        return stop_before(point);
    }
    const bool wanted = wants_transaction(point.xid);
    if (wanted && std::holds_alternative<BeforeTransaction>(target_)) {
        return stop_before(point);
    }
    apply(record);
    if (!point.aborted) {
        last_commit_ = point;
    }
    if (wanted) {
        deciding_ = point;
        needs_match_ = false;
    }
    return wanted ? Verdict::Decided : Verdict::Open;
}

Result<bool> StopFinder::is_named_point(const WalRecord& record) const {
    const auto* named = std::get_if<AtName>(&target_);
    if (named == nullptr || !is_operation(record, XlogOp::RestorePoint)) {
        return false;
    }
    const NamedPoint point = TRY(read_restore_point(record));
    return point.name == named->name;
}

Result<StopFinder::Verdict> StopFinder::see(const WalRecord& record) {
    if (position_.is_set() && record.start > position_) {
        return stop_before(std::nullopt);
    }
    if (is_transaction_end(record)) {
        const TransactionEnd end = TRY(read_transaction_end(record));
        return see_end(record, {record.start, record.end, end.time, end.xid, !end.is_commit()});
    }
    const bool named = TRY(is_named_point(record));
    apply(record);
    if (named) {
        needs_match_ = false;
        return Verdict::Decided;
    }
    return Verdict::Open;
}

Result<> check_target(const engine::Target& target) {
    const auto bad = [](std::string what, std::string hint) {
        return Error(Code::InvalidInput, std::move(what)).hint(std::move(hint));
    };
    if (const auto* at = std::get_if<AtPosition>(&target)) {
        const auto parsed = parse_lsn(at->text);
        if (!parsed || !parsed->is_set()) {
            return bad(
                "'" + at->text + "' is no WAL position",
                "A position looks like 0/5A3F2C8: hexadecimal digits on either side of a slash.");
        }
    }
    const auto* xid = std::get_if<AtTransaction>(&target);
    const auto* before = std::get_if<BeforeTransaction>(&target);
    if ((xid != nullptr && static_cast<std::uint32_t>(xid->xid) == 0) ||
        (before != nullptr && static_cast<std::uint32_t>(before->xid) == 0)) {
        return bad(
            "there is no transaction 0",
            "Transaction ids are printed by txid_current() and, as %x, in the server's log.");
    }
    const auto* name = std::get_if<AtName>(&target);
    if (name != nullptr && (name->name.empty() || name->name.size() > kLongestName)) {
        return bad("the name of a restore point has 1 to 63 bytes",
                   "Restore points are made by pg_create_restore_point('name').");
    }
    return {};
}

std::string describe_target(const engine::Target& target) {
    return std::visit(
        Overloaded{[](const Latest&) -> std::string { return "the newest point"; },
                   [](const Immediate&) -> std::string { return "the end of the backup"; },
                   [](const AtTime& t) { return "the time " + base::human_time(t.time, 6); },
                   [](const AtTransaction& t) { return "transaction " + std::to_string(t.xid); },
                   [](const BeforeTransaction& t) {
                       return "the moment before transaction " + std::to_string(t.xid);
                   },
                   [](const AtPosition& t) { return "position " + t.text; },
                   [](const AtName& t) { return "restore point '" + t.name + "'"; }},
        target);
}

}  // namespace lifeboat::postgres
