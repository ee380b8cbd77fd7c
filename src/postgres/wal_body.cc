#include "postgres/wal_body.h"

#include <limits>

// Bodies are C structures of a 64-bit server: fields at multiples of their size, little-endian.
// What changed between 13 and 18:
//   transaction ends  since 15 they may list dropped statistics, 12 bytes each, since 18 16 bytes,
//                     before the xid of a prepared transaction
//   checkpoints       since 17 wal_level stands in former padding, at 20
//   end of recovery   since 17 wal_level follows, at 16
//   databases         since 15 creation is by copy (0x00) or by log (0x10), and a drop is 0x20, not
//                     0x10

namespace lifeboat::postgres {

namespace {

constexpr std::int64_t kPostgresEpoch = 946684800LL * 1000000;  // 2000-01-01 in Unix microseconds

constexpr std::uint8_t kTransactionOpMask = 0x70;
constexpr std::uint8_t kHasInfo = 0x80;
constexpr std::uint8_t kHeapTruncate = 0x30;

enum TransactionFlag : std::uint32_t {
    kHasDatabase = 1U << 0,
    kHasSubtransactions = 1U << 1,
    kHasRelations = 1U << 2,
    kHasInvalidations = 1U << 3,
    kHasTwoPhase = 1U << 4,
    kHasGid = 1U << 7,
    kHasStatistics = 1U << 8,
};

constexpr std::uint32_t kTruncatesMainFork = 0x0001;

// Reads fields in order; past the end it yields zeros and remembers.
class Fields {
  public:
    explicit Fields(BytesView body) : body_(body) {}

    template <class Integer>
    Integer next() {
        const BytesView field = take(sizeof(Integer));
        return field.empty() ? Integer{} : load_le<Integer>(field.data());
    }

    BytesView list(std::size_t item) { return take(std::uint64_t{next<std::uint32_t>()} * item); }

    std::string_view terminated(std::size_t limit) {
        const std::string_view rest = base::text(body_.first(std::min(limit, body_.size())));
        const std::size_t end = rest.find('\0');
        if (end == std::string_view::npos) {
            short_ = true;
            return {};
        }
        take(end + 1);
        return rest.substr(0, end);
    }

    BytesView take(std::uint64_t count) {
        if (short_ || count > body_.size()) {
            short_ = true;
            return {};
        }
        const BytesView taken = body_.first(static_cast<std::size_t>(count));
        body_ = body_.subspan(taken.size());
        return taken;
    }

    bool is_short() const { return short_; }

  private:
    BytesView body_;
    bool short_ = false;
};

template <class Body>
Result<Body> checked(const WalRecord& record, const Fields& fields, Body body, const char* what) {
    if (fields.is_short()) {
        return Error(Code::Corrupt, "the " + std::string(what) + " record at " +
                                        format_lsn(record.start) + " is cut short");
    }
    return body;
}

RelationKey next_relation(Fields& fields) {
    RelationKey relation;
    relation.tablespace = fields.next<std::uint32_t>();
    relation.database = fields.next<std::uint32_t>();
    relation.number = fields.next<std::uint32_t>();
    return relation;
}

// A level that we do not know logs at least as much as those we do.
WalLevel next_level(Fields& fields) {
    const auto level = fields.next<std::int32_t>();
    return level == 0 ? WalLevel::Minimal : level == 1 ? WalLevel::Replica : WalLevel::Logical;
}

bool is_prepared(TransactionOp op) {
    return op == TransactionOp::CommitPrepared || op == TransactionOp::AbortPrepared;
}

void read_transaction_parts(Fields& fields, int major, TransactionEnd& end) {
    const auto flags = fields.next<std::uint32_t>();
    if ((flags & kHasDatabase) != 0) {
        end.database = fields.next<std::uint32_t>();
        fields.next<std::uint32_t>();
    }
    if ((flags & kHasSubtransactions) != 0) {
        end.subtransactions = NumberList(fields.list(4));
    }
    if ((flags & kHasRelations) != 0) {
        end.dropped = RelationList(fields.list(12));
    }
    if ((flags & kHasStatistics) != 0 && major >= 15) {
        fields.list(major >= 18 ? 16 : 12);
    }
    if ((flags & kHasInvalidations) != 0 && end.is_commit()) {
        fields.list(16);
    }
    if ((flags & kHasTwoPhase) != 0) {
        end.xid = fields.next<std::uint32_t>();
        if ((flags & kHasGid) != 0) {
            end.gid = fields.terminated(200);
        }
    }
}

}  // namespace

Timestamp from_postgres_time(std::int64_t micros) {
    constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max();
    return base::from_unix_micros(micros > kLast - kPostgresEpoch ? kLast
                                                                  : micros + kPostgresEpoch);
}

RelationKey RelationList::operator[](std::size_t i) const {
    Fields fields(bytes_.subspan(i * 12, 12));
    return next_relation(fields);
}

bool is_transaction_end(const WalRecord& record) {
    const std::uint8_t op = record.info & kTransactionOpMask;
    return record.is(Rmgr::Transaction) &&
           op <= static_cast<std::uint8_t>(TransactionOp::AbortPrepared) &&
           op != static_cast<std::uint8_t>(TransactionOp::Prepare);
}

bool is_tablespace_creation(const WalRecord& record) {
    return record.is(Rmgr::Tablespace) && record.operation() == 0;
}

bool is_heap_truncate(const WalRecord& record) {
    return record.is(Rmgr::Heap) && (record.info & 0x70) == kHeapTruncate;
}

Result<TransactionEnd> read_transaction_end(const WalRecord& record) {
    Fields fields(record.main_data);
    TransactionEnd end;
    end.op = static_cast<TransactionOp>(record.info & kTransactionOpMask);
    end.time = from_postgres_time(fields.next<std::int64_t>());
    end.xid = is_prepared(end.op) ? 0 : record.xid;
    if ((record.info & kHasInfo) != 0) {
        read_transaction_parts(fields, record.major, end);
    }
    if (is_prepared(end.op) && end.xid == 0 && !fields.is_short()) {
        return Error(Code::Corrupt, "the record at " + format_lsn(record.start) +
                                        " ends a prepared transaction and does not say which");
    }
    return checked(record, fields, end, "transaction");
}

constexpr std::size_t kCheckpointTime = 64;  // alike in 13 to 18

Result<Checkpoint> read_checkpoint(const WalRecord& record) {
    Fields fields(record.main_data);
    Checkpoint checkpoint;
    checkpoint.redo = Lsn{fields.next<std::uint64_t>()};
    checkpoint.timeline = fields.next<TimelineId>();
    checkpoint.previous_timeline = fields.next<TimelineId>();
    fields.take(4);
    if (record.major >= 17) {
        checkpoint.level = next_level(fields);
    }
    if (record.main_data.size() >= kCheckpointTime + sizeof(std::int64_t)) {
        Fields late(record.main_data.subspan(kCheckpointTime));
        checkpoint.time = base::from_unix_micros(late.next<std::int64_t>() * 1'000'000);
    }
    return checked(record, fields, checkpoint, "checkpoint");
}

Result<EndOfRecovery> read_end_of_recovery(const WalRecord& record) {
    Fields fields(record.main_data);
    EndOfRecovery end;
    end.time = from_postgres_time(fields.next<std::int64_t>());
    end.timeline = fields.next<TimelineId>();
    end.previous_timeline = fields.next<TimelineId>();
    if (record.major >= 17) {
        end.level = next_level(fields);
    }
    return checked(record, fields, end, "end-of-recovery");
}

Result<WalLevel> read_checkpoint_redo(const WalRecord& record) {
    Fields fields(record.main_data);
    const WalLevel level = next_level(fields);
    return checked(record, fields, level, "checkpoint");
}

Result<Parameters> read_parameter_change(const WalRecord& record) {
    Fields fields(record.main_data);
    Parameters parameters;
    parameters.max_connections = fields.next<std::int32_t>();
    parameters.max_worker_processes = fields.next<std::int32_t>();
    parameters.max_wal_senders = fields.next<std::int32_t>();
    parameters.max_prepared_transactions = fields.next<std::int32_t>();
    parameters.max_locks_per_transaction = fields.next<std::int32_t>();
    parameters.level = next_level(fields);
    return checked(record, fields, parameters, "parameter change");
}

Result<NamedPoint> read_restore_point(const WalRecord& record) {
    Fields fields(record.main_data);
    NamedPoint point;
    point.time = from_postgres_time(fields.next<std::int64_t>());
    point.name = fields.terminated(64);
    return checked(record, fields, point, "restore point");
}

Result<StorageCreate> read_storage_create(const WalRecord& record) {
    Fields fields(record.main_data);
    StorageCreate create;
    create.relation = next_relation(fields);
    const auto fork = fields.next<std::uint32_t>();
    if (fork > static_cast<std::uint32_t>(Fork::Init)) {
        return Error(Code::Corrupt,
                     "the record at " + format_lsn(record.start) + " creates no known fork");
    }
    create.fork = static_cast<Fork>(fork);
    return checked(record, fields, create, "file creation");
}

Result<StorageTruncate> read_storage_truncate(const WalRecord& record) {
    Fields fields(record.main_data);
    StorageTruncate truncate;
    truncate.blocks = fields.next<std::uint32_t>();
    truncate.relation = next_relation(fields);
    truncate.main_fork = (fields.next<std::uint32_t>() & kTruncatesMainFork) != 0;
    return checked(record, fields, truncate, "file truncation");
}

Result<HeapTruncate> read_heap_truncate(const WalRecord& record) {
    Fields fields(record.main_data);
    HeapTruncate truncate;
    truncate.database = fields.next<std::uint32_t>();
    const auto count = fields.next<std::uint32_t>();
    fields.take(4);  // flags
    truncate.relations = NumberList(fields.take(std::uint64_t{count} * 4));
    return checked(record, fields, truncate, "truncation");
}

Result<DatabaseChange> read_database_change(const WalRecord& record) {
    const std::uint8_t op = record.operation();
    const std::uint8_t drop = record.major >= 15 ? 0x20 : 0x10;
    if (op > drop || op % 0x10 != 0) {
        return Error(Code::Unsupported, "the record at " + format_lsn(record.start) +
                                            " does to a database what no known version does");
    }
    Fields fields(record.main_data);
    DatabaseChange change;
    change.op = op == drop   ? DatabaseOp::Drop
                : op == 0x10 ? DatabaseOp::CreateByLog
                             : DatabaseOp::CreateByCopy;
    change.database = fields.next<std::uint32_t>();
    change.tablespaces =
        NumberList(change.op == DatabaseOp::Drop ? fields.list(4) : fields.take(4));
    return checked(record, fields, change, "database");
}

Result<TablespaceCreate> read_tablespace_create(const WalRecord& record) {
    constexpr std::size_t kLongestPath = 1024;  // MAXPGPATH
    Fields fields(record.main_data);
    TablespaceCreate create;
    create.tablespace = fields.next<std::uint32_t>();
    create.path = fields.terminated(kLongestPath);
    return checked(record, fields, create, "tablespace creation");
}

}  // namespace lifeboat::postgres
