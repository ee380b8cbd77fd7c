// BASE_BACKUP, both dialects. Tested by base_backup_stream_test.cc with a scripted server, and by
// live_wire_test.cc.
//
//     start --rows: position, rows: tablespaces--> [ COPY per archive, or one COPY of tagged
//     messages ] --rows: position, done--> ended
//
// The server reports bad page checksums as an error after the last position, so only the end of all
// answers means success.

#include "postgres/base_backup_stream.h"

#include <charconv>
#include <utility>

#include "postgres/replication.h"

namespace lifeboat::postgres {

namespace {

// Between two archives the server has nothing to wait for; this only bounds a server that hangs.
constexpr base::Duration kReplyLimit = std::chrono::minutes(10);

constexpr std::string_view kDamageHint =
    "The server's data files are damaged: its log and the notices name the blocks. Keep the older "
    "backups and repair the server first.";

Error odd(const char* what) {
    return {Code::Corrupt, "the server's base backup has " + std::string(what)};
}

Result<std::uint32_t> parse_oid(std::string_view digits) {
    std::uint32_t oid = 0;
    const auto [stop, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), oid);
    if (failure != std::errc() || stop != digits.data() + digits.size() || oid == 0) {
        return odd("a malformed tablespace number");
    }
    return oid;
}

// "base.tar" or "16400.tar".
Result<std::uint32_t> parse_archive_name(std::string_view name) {
    if (name == "base.tar") {
        return 0U;
    }
    if (!name.ends_with(".tar")) {
        return odd("an archive of another kind than tar");
    }
    return parse_oid(name.substr(0, name.size() - 4));
}

std::string old_command(const BaseBackupOptions& options) {
    std::string command = "BASE_BACKUP LABEL " + quote_literal(options.label);
    command += options.estimate_sizes ? " PROGRESS" : "";
    command += options.checkpoint == CheckpointPace::Fast ? " FAST" : "";
    command += " NOWAIT";
    if (options.max_kib_per_second != 0) {
        command += " MAX_RATE " + std::to_string(options.max_kib_per_second);
    }
    return command + " TABLESPACE_MAP MANIFEST 'no'";
}

std::string new_command(const BaseBackupOptions& options) {
    std::string command = "BASE_BACKUP (LABEL " + quote_literal(options.label);
    command += options.estimate_sizes ? ", PROGRESS" : "";
    command += options.checkpoint == CheckpointPace::Fast ? ", CHECKPOINT 'fast'"
                                                          : ", CHECKPOINT 'spread'";
    command += ", WAIT 0";
    if (options.max_kib_per_second != 0) {
        command += ", MAX_RATE " + std::to_string(options.max_kib_per_second);
    }
    return command + ", TABLESPACE_MAP, MANIFEST 'no')";
}

struct Position {
    Lsn lsn;
    TimelineId timeline = 0;
};

Result<Position> read_position(const Reply& reply) {
    if (reply.kind != Reply::Kind::Rows) {
        return odd("no position where one belongs");
    }
    Position position;
    position.lsn = TRY(reply.rows.lsn(0, "recptr"));
    const std::int64_t timeline = TRY(reply.rows.integer(0, "tli"));
    position.timeline = static_cast<TimelineId>(timeline);
    return position;
}

}  // namespace

std::string base_backup_command(const BaseBackupOptions& options, int server_version) {
    return server_version >= 150000 ? new_command(options) : old_command(options);
}

Result<BaseBackupStream> BaseBackupStream::start(Connection& connection,
                                                 const BaseBackupOptions& options,
                                                 base::Duration limit) {
    const Deadline deadline = deadline_in(limit);
    BaseBackupStream stream(connection);
    stream.joined_ = connection.server_version() >= 150000;
    TRY(connection.start(base_backup_command(options, connection.server_version())));
    TRY(stream.read_header(deadline).during("starting a base backup"));
    return stream;
}

Result<> BaseBackupStream::read_header(Deadline deadline) {
    const Reply first = TRY(connection_->next_reply(deadline));
    const Position position = TRY(read_position(first));
    begun_.lsn = position.lsn;
    begun_.timeline = position.timeline;
    const Reply second = TRY(connection_->next_reply(deadline));
    TRY(read_tablespaces(second.rows));
    if (joined_) {
        const Reply copy = TRY(connection_->next_reply(deadline));
        copying_ = copy.kind == Reply::Kind::CopyOut;
        if (!copying_) {
            return odd("no archives");
        }
    }
    return {};
}

Result<> BaseBackupStream::read_tablespaces(const QueryResult& rows) {
    for (std::size_t row = 0; row < rows.rows.size(); ++row) {
        BaseBackupTablespace& tablespace = begun_.tablespaces.emplace_back();
        const Cell oid = TRY(rows.cell(row, "spcoid"));
        const Cell location = TRY(rows.cell(row, "spclocation"));
        const Cell size = TRY(rows.cell(row, "size"));
        if (oid) {
            const std::uint32_t number = TRY(parse_oid(*oid));
            tablespace.oid = number;
        }
        tablespace.location = location.value_or("");
        if (size) {
            const std::int64_t kib = TRY(rows.integer(row, "size"));
            tablespace.estimated_size = static_cast<std::uint64_t>(kib) * base::kKiB;
        }
    }
    if (begun_.tablespaces.empty()) {
        return odd("no tablespaces");
    }
    return {};
}

Result<BaseBackupEvent> BaseBackupStream::next(Deadline deadline) {
    while (true) {
        if (!copying_) {
            std::optional<BaseBackupEvent> event = TRY(next_archive());
            if (event) {
                return std::move(*event);
            }
        }
        CopyRead read = TRY(connection_->receive(deadline));
        if (std::holds_alternative<CopyIdle>(read)) {
            return BaseBackupEvent(BaseBackupQuiet{});
        }
        if (std::holds_alternative<CopyEnded>(read)) {
            copying_ = false;
            if (joined_) {
                return finish();
            }
            continue;
        }
        message_ = std::move(std::get<CopyMessage>(read));
        std::optional<BaseBackupEvent> event = TRY(read_message(message_->view()));
        if (event) {
            return std::move(*event);
        }
    }
}

// Before 15: the next COPY is the archive of the next tablespace in the list; after the last one
// comes the end.
Result<std::optional<BaseBackupEvent>> BaseBackupStream::next_archive() {
    if (archives_ == begun_.tablespaces.size()) {
        BaseBackupEvent ended = TRY(finish());
        return std::optional(std::move(ended));
    }
    const Reply reply = TRY(connection_->next_reply(deadline_in(kReplyLimit)));
    if (reply.kind != Reply::Kind::CopyOut) {
        return odd("fewer archives than tablespaces");
    }
    copying_ = true;
    const std::uint32_t oid = begun_.tablespaces[archives_].oid;
    ++archives_;
    return std::optional<BaseBackupEvent>(ArchiveBegan{oid});
}

// Nothing for a message that carries nothing for us: progress.
Result<std::optional<BaseBackupEvent>> BaseBackupStream::read_message(base::BytesView message) {
    if (!joined_) {
        return std::optional<BaseBackupEvent>(ArchiveBytes{message});
    }
    const char tag = static_cast<char>(message[0]);
    const base::BytesView body = message.subspan(1);
    if (tag == 'd' && archives_ > 0) {
        return body.empty() ? std::optional<BaseBackupEvent>()
                            : std::optional<BaseBackupEvent>(ArchiveBytes{body});
    }
    if (tag == 'n') {
        const std::string_view names = base::text(body);
        const std::uint32_t oid =
            TRY(parse_archive_name(names.substr(0, std::min(names.find('\0'), names.size()))));
        ++archives_;
        return std::optional<BaseBackupEvent>(ArchiveBegan{oid});
    }
    if (tag != 'p') {
        return odd("a message of an unknown kind");
    }
    return std::optional<BaseBackupEvent>();
}

Result<BaseBackupEvent> BaseBackupStream::finish() {
    const Deadline deadline = deadline_in(kReplyLimit);
    const Reply reply =
        TRY(connection_->next_reply(deadline));  // the server's own words come first
    if (archives_ != begun_.tablespaces.size()) {
        return odd("fewer archives than tablespaces");
    }
    const Position position = TRY(read_position(reply));
    while (true) {
        Result<Reply> rest = connection_->next_reply(deadline);
        if (!rest.has_value()) {
            Error error = std::move(rest).error();
            return error.code() == Code::Corrupt ? std::move(error).hint(std::string(kDamageHint))
                                                 : std::move(error);
        }
        if (rest->kind == Reply::Kind::End) {
            return BaseBackupEvent(BaseBackupEnded{position.lsn, position.timeline});
        }
    }
}

// ---- Files
// -----------------------------------------------------------------------------------------------------------------

Result<BackupFileEvent> BaseBackupFiles::next(Deadline deadline) {
    while (true) {
        if (chunk_open_) {
            std::optional<BackupFileEvent> event = TRY(next_in_chunk());
            if (event) {
                return std::move(*event);
            }
        }
        BaseBackupEvent raw = TRY(stream_.next(deadline));
        std::optional<BackupFileEvent> event = TRY(take(std::move(raw)));
        if (event) {
            return std::move(*event);
        }
    }
}

Result<std::optional<BackupFileEvent>> BaseBackupFiles::next_in_chunk() {
    TarReader::Event event = TRY(tar_.next());
    if (auto* entry = std::get_if<TarEntry>(&event)) {
        if (tablespace_ != 0) {
            entry->name = "pg_tblspc/" + std::to_string(tablespace_) + "/" + entry->name;
        }
        return std::optional<BackupFileEvent>(std::move(*entry));
    }
    if (const auto* data = std::get_if<TarReader::Data>(&event)) {
        return std::optional<BackupFileEvent>(FileData{data->bytes});
    }
    chunk_open_ = false;
    return std::optional<BackupFileEvent>();
}

Result<std::optional<BackupFileEvent>> BaseBackupFiles::take(BaseBackupEvent event) {
    if (const auto* chunk = std::get_if<ArchiveBytes>(&event)) {
        tar_.supply(chunk->bytes);
        chunk_open_ = true;
        return std::optional<BackupFileEvent>();
    }
    if (std::holds_alternative<BaseBackupQuiet>(event)) {
        return std::optional<BackupFileEvent>(BaseBackupQuiet{});
    }
    TRY(tar_.finish());
    if (const auto* began = std::get_if<ArchiveBegan>(&event)) {
        tar_ = TarReader();
        tablespace_ = began->tablespace;
        return std::optional<BackupFileEvent>();
    }
    return std::optional<BackupFileEvent>(std::get<BaseBackupEnded>(event));
}

}  // namespace lifeboat::postgres
