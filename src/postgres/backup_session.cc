// Backups in the server's eyes. Tested by backup_session_test.cc and live_backup_test.cc.

#include "postgres/backup_session.h"

#include <charconv>
#include <utility>

#include "postgres/slots.h"

namespace lifeboat::postgres {

namespace {

struct Dialect {
    std::string start;
    std::string stop;
    std::string grants;  // what a role needs, as SQL
};

Dialect dialect_of(int server_version) {
    if (server_version >= 150000) {
        return {"SELECT pg_backup_start($1, fast => $2::boolean) AS lsn",
                "SELECT lsn, labelfile, spcmapfile FROM pg_backup_stop(wait_for_archive => false)",
                "GRANT EXECUTE ON FUNCTION pg_backup_start(text, boolean), pg_backup_stop(boolean) "
                "TO <role>"};
    }
    return {"SELECT pg_start_backup($1, $2::boolean, false) AS lsn",
            "SELECT lsn, labelfile, spcmapfile FROM pg_stop_backup(false, false)",
            "GRANT EXECUTE ON FUNCTION pg_start_backup(text, boolean, boolean), "
            "pg_stop_backup(boolean, boolean) TO <role>"};
}

Error explain(Error error, const Dialect& dialect) {
    return error.code() == Code::Denied
               ? std::move(error).hint("Run as a superuser: " + dialect.grants + ".")
               : explain_ended_session(std::move(error));
}

Error corrupt_label(const char* what) {
    return {Code::Corrupt, "backup label has " + std::string(what)};
}

// The rest of the line that begins with `key`.
Result<std::string_view> line_of(std::string_view text, std::string_view key) {
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        if (line.starts_with(key)) {
            return line.substr(key.size());
        }
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return Error(Code::Corrupt, "backup label has no line '" + std::string(key) + "'");
}

Result<bool> is_in_recovery(Connection& connection) {
    const QueryResult rows = TRY(connection.query("SELECT pg_is_in_recovery() AS recovery"));
    return rows.boolean(0, "recovery");
}

Error promoted() {
    return Error(Code::Conflict, "the standby was promoted during the backup")
        .hint(
            "The copy cannot be used; take the backup again from the new primary or another "
            "standby.");
}

Result<SegmentSize> wal_segment_size(Connection& connection) {
    const QueryResult rows =
        TRY(connection.query("SELECT setting FROM pg_settings WHERE name = 'wal_segment_size'"));
    const std::int64_t bytes = TRY(rows.integer(0, "setting"));
    return SegmentSize::of(static_cast<std::uint64_t>(bytes));
}

// A primary's timeline is in the names of its WAL; a standby's backup begins at its last
// restartpoint.
Result<TimelineId> start_timeline(Connection& connection, bool from_standby) {
    const QueryResult rows = TRY(connection.query(
        from_standby ? "SELECT timeline_id::text AS timeline FROM pg_control_checkpoint()"
                     : "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, "
                       "8))::bit(32)::bigint AS timeline"));
    const std::int64_t timeline = TRY(rows.integer(0, "timeline"));
    return static_cast<TimelineId>(timeline);
}

// A standby that follows a promotion copies files of the new timeline, while its label, which is of
// the last restartpoint, sends recovery along the old one.
Result<> check_one_timeline(Connection& connection, TimelineId labelled) {
    const QueryResult rows = TRY(connection.query(
        "SELECT min_recovery_end_timeline::text AS timeline FROM pg_control_recovery()"));
    const std::int64_t replayed = TRY(rows.integer(0, "timeline"));
    if (replayed != 0 && replayed != static_cast<std::int64_t>(labelled)) {
        return Error(Code::Conflict, "the standby follows timeline " + std::to_string(replayed) +
                                         ", but its last restartpoint is of timeline " +
                                         std::to_string(labelled))
            .hint(
                "Run CHECKPOINT on the primary, wait for the standby, and take the backup again.");
    }
    return {};
}

}  // namespace

Result<BackupLabel> parse_backup_label(std::string_view text) {
    BackupLabel label;
    const std::string_view start = TRY(line_of(text, "START WAL LOCATION: "));
    const std::size_t file = start.find(" (file ");
    if (file == std::string_view::npos || !start.ends_with(')')) {
        return corrupt_label("a malformed start");
    }
    Result<Lsn> lsn = parse_lsn(start.substr(0, file));
    const std::string_view checkpoint = TRY(line_of(text, "CHECKPOINT LOCATION: "));
    Result<Lsn> checkpoint_lsn = parse_lsn(checkpoint);
    if (!lsn.has_value() || !checkpoint_lsn.has_value()) {
        return corrupt_label("a malformed position");
    }
    label.start = *lsn;
    label.wal_file = std::string(start.substr(file + 7, start.size() - file - 8));
    label.checkpoint = *checkpoint_lsn;
    const std::string_view from = TRY(line_of(text, "BACKUP FROM: "));
    label.from_standby = from == "standby";
    const std::string_view timeline = TRY(line_of(text, "START TIMELINE: "));
    const auto [stop, failure] =
        std::from_chars(timeline.data(), timeline.data() + timeline.size(), label.timeline);
    if (failure != std::errc() || stop != timeline.data() + timeline.size()) {
        return corrupt_label("a malformed timeline");
    }
    const std::string_view given = TRY(line_of(text, "LABEL: "));
    label.label = std::string(given);
    return label;
}

Result<BackupStart> start_backup(Connection& connection, const std::string& label,
                                 CheckpointPace checkpoint, base::Duration limit) {
    const Dialect dialect = dialect_of(connection.server_version());
    BackupStart start;
    start.from_standby = TRY(is_in_recovery(connection));
    const SegmentSize segment = TRY(wal_segment_size(connection));
    const Cell parameters[] = {label, checkpoint == CheckpointPace::Fast ? "t" : "f"};
    Result<QueryResult> rows =
        connection.query(dialect.start, parameters, limit).during("starting a backup");
    if (!rows.has_value()) {
        return explain(std::move(rows).error(), dialect);
    }
    start.lsn = TRY(rows->lsn(0, "lsn"));
    start.timeline = TRY(start_timeline(connection, start.from_standby));
    start.wal_file = segment_name(start.timeline, segment.number_at(start.lsn), segment);
    return start;
}

Result<BackupStop> stop_backup(Connection& connection, const BackupStart& start,
                               base::Duration limit) {
    TRY(check_backup(connection, start));
    const Dialect dialect = dialect_of(connection.server_version());
    const QueryResult rows =
        TRY(connection.query(dialect.stop, {}, limit).during("stopping the backup"));
    BackupStop stop;
    stop.lsn = TRY(rows.lsn(0, "lsn"));
    stop.backup_label = TRY(rows.text(0, "labelfile"));
    const Cell map = TRY(rows.cell(0, "spcmapfile"));
    stop.tablespace_map = map.value_or("");
    const BackupLabel label = TRY(parse_backup_label(stop.backup_label));
    stop.timeline = label.timeline;
    const bool other_timeline = !start.from_standby && label.timeline != start.timeline;
    if (label.start != start.lsn || other_timeline || label.from_standby != start.from_standby) {
        return Error(Code::Conflict,
                     "the server's label tells of a backup from " + format_lsn(label.start) +
                         " on timeline " + std::to_string(label.timeline) +
                         ", not of the one that was started at " + format_lsn(start.lsn) +
                         " on timeline " + std::to_string(start.timeline))
            .hint("The copy cannot be used; take the backup again.");
    }
    if (start.from_standby) {
        TRY(check_one_timeline(connection, label.timeline));
    }
    return stop;
}

Result<> check_backup(Connection& connection, const BackupStart& start) {
    Result<bool> recovery = is_in_recovery(connection).during("looking after the backup's session");
    if (!recovery.has_value()) {
        return explain_ended_session(std::move(recovery).error())
            .hint("The server ended the backup with its session; take the backup again.");
    }
    if (start.from_standby && !*recovery) {
        return promoted();
    }
    return {};
}

}  // namespace lifeboat::postgres
