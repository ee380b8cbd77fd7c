// Tested by backup_wal_test.cc.

#include "postgres/backup_wal.h"

#include <algorithm>
#include <charconv>

#include "postgres/wal_body.h"

namespace lifeboat::postgres {

using base::Code;
using base::Error;

namespace {

WalReaderOptions options_of(const BackupDetails& details) {
    WalReaderOptions options;
    if (const auto size = SegmentSize::of(details.wal_segment_size)) {
        options.segment_size = *size;
    }
    options.major = details.major();
    options.system_identifier = details.system_identifier;
    options.resume = WalPosition{details.start, {}};
    return options;
}

void raise(std::map<std::string, std::string>& settings, const std::string& name,
           std::int32_t least) {
    std::string& text = settings[name];
    std::int32_t known = 0;
    std::from_chars(text.data(), text.data() + text.size(), known);
    text = std::to_string(std::max(known, least));
}

}  // namespace

BackupWal::BackupWal(BackupDetails& details) : details_(details), reader_(options_of(details)) {}

Result<> BackupWal::feed(Lsn at, BytesView segment) {
    // Nothing before `start` is read: the reader begins at its page.
    const std::uint64_t page = details_.start.value / kWalPage * kWalPage;
    const std::uint64_t skip = page > at.value ? page - at.value : 0;
    if (skip >= segment.size()) {
        return {};
    }
    TRY(reader_.feed(Lsn{at.value + skip}, segment.subspan(skip)));
    WalStep step = reader_.next();
    for (; step == WalStep::Record; step = reader_.next()) {
        if (reader_.record().start >= details_.stop) {
            return {};  // replayed after the backup is consistent: the stream tells of it
        }
        TRY(note(reader_.record()));
    }
    return step == WalStep::Failed ? Result<>(reader_.failure()) : Result<>();
}

Result<> BackupWal::note(const WalRecord& record) {
    if (is_tablespace_creation(record)) {
        const TablespaceCreate made = TRY(read_tablespace_create(record));
        if (!made.path.empty()) {
            details_.created_tablespaces.push_back({made.tablespace, std::string(made.path)});
        }
    }
    if (is_operation(record, XlogOp::ParameterChange)) {
        const Parameters now = TRY(read_parameter_change(record));
        raise(details_.settings, "max_connections", now.max_connections);
        raise(details_.settings, "max_worker_processes", now.max_worker_processes);
        raise(details_.settings, "max_wal_senders", now.max_wal_senders);
        raise(details_.settings, "max_prepared_transactions", now.max_prepared_transactions);
        raise(details_.settings, "max_locks_per_transaction", now.max_locks_per_transaction);
    }
    return {};
}

Result<> BackupWal::finish() const {
    const auto reached = reader_.position();
    if (reached && reached->next >= details_.stop) {
        return {};
    }
    return Error(Code::Corrupt, "the backup's own WAL ends at " +
                                    format_lsn(reached ? reached->next : details_.start) +
                                    ", before the backup does, at " + format_lsn(details_.stop))
        .hint("Take the backup again; if this happens twice, look into the server's log.");
}

}  // namespace lifeboat::postgres
