#include "postgres/recovery_compose.h"

#include <algorithm>
#include <charconv>

#include "postgres/wal_reader.h"
#include "repo/map_index.h"
#include "repo/pack_source.h"

// Tested by tests/e2e/recovery_test.cc.

namespace lifeboat::postgres {

namespace {

constexpr std::uint64_t kLongestConfiguration = 4 * base::kMiB;

std::int32_t setting(const BackupDetails& details, const std::string& name) {
    const auto found = details.settings.find(name);
    std::int32_t value = 0;
    if (found != details.settings.end()) {
        std::from_chars(found->second.data(), found->second.data() + found->second.size(), value);
    }
    return value;
}

Parameters parameters_of(const BackupDetails& details) {
    Parameters p;
    p.max_connections = setting(details, "max_connections");
    p.max_worker_processes = setting(details, "max_worker_processes");
    p.max_wal_senders = setting(details, "max_wal_senders");
    p.max_prepared_transactions = setting(details, "max_prepared_transactions");
    p.max_locks_per_transaction = setting(details, "max_locks_per_transaction");
    return p;
}

// The spans up to `end`; the last one ends there.
std::vector<TimelineSpan> cut(const std::vector<TimelineSpan>& way, Lsn end) {
    std::vector<TimelineSpan> out;
    for (TimelineSpan span : way) {
        if (!out.empty() && span.begin >= end) {
            break;
        }
        if (!span.end.is_set() || span.end > end) {
            span.end = end;
        }
        out.push_back(span);
    }
    return out;
}

std::vector<TablespaceMade> once_each(const std::vector<TablespaceMade>& made) {
    std::vector<TablespaceMade> out;
    for (const TablespaceMade& one : made) {
        if (std::none_of(out.begin(), out.end(),
                         [&](const TablespaceMade& seen) { return seen.path == one.path; })) {
            out.push_back(one);
        }
    }
    return out;
}

// The contents of a captured file of at most `limit` bytes.
Result<base::Bytes> read_captured(repo::MapIndex& index, repo::PackSource& source,
                                  const std::string& path, std::uint64_t limit) {
    const repo::FileMap map = TRY(index.map(path));
    if (map.size > limit) {
        return Error(Code::Corrupt, "the captured '" + path + "' is too large to be what it says");
    }
    base::Bytes bytes(map.size);
    TRY(repo::PageReader(source)
            .read(map.runs, bytes)
            .during("reading the captured '" + path + "'"));
    return bytes;
}

// The last record that begins before `stop`, as far as the WAL in `bytes`, from `from` on, tells.
Result<RecordSpan> last_record_before(Lsn stop, const BackupDetails& details, SegmentSize size,
                                      Lsn from, base::BytesView bytes) {
    WalReaderOptions options;
    options.segment_size = size;
    options.major = details.major();
    options.system_identifier = details.system_identifier;
    WalReader reader(options);
    // What the server wrote behind the page of `stop` while it was copied is not looked at.
    const std::uint64_t wanted = (stop.value + kWalPage - 1) / kWalPage * kWalPage - from.value;
    TRY(reader.feed(from, bytes.first(std::min<std::uint64_t>(bytes.size(), wanted))));
    RecordSpan last;
    while (reader.next() == WalStep::Record && reader.record().start < stop) {
        last = {reader.record().start, reader.record().end};
    }
    return last;
}

class Composer {
  public:
    Composer(Decision decision, const RecoveryCatalog& catalog, repo::Repository& repository,
             repo::ReaderKeys& keys)
        : target_(decision.target),
          candidate_(decision.candidate),
          found_(decision.found),
          notes_(std::move(decision.notes)),
          catalog_(catalog),
          repository_(repository),
          keys_(keys) {}

    Result<engine::RecoveryPlan> run(const WalSurvey& survey);

  private:
    Result<> add_outside_files(PostgresPlan& plan);
    Result<RecordSpan> last_of_backup();
    std::string point_text(const PostgresPlan& plan) const;
    std::vector<std::string> sentences(const PostgresPlan& plan) const;
    base::Json details(const PostgresPlan& plan) const;

    const engine::Target& target_;
    const Candidate& candidate_;
    const ResolvedTarget& found_;
    const std::vector<std::string> notes_;
    const RecoveryCatalog& catalog_;
    repo::Repository& repository_;
    repo::ReaderKeys& keys_;
};

Result<engine::RecoveryPlan> Composer::run(const WalSurvey& survey) {
    auto plan = std::make_shared<PostgresPlan>();
    plan->system = catalog_.system();
    plan->backup = candidate_.opened.manifest.backup;
    plan->repository = repository_.store().describe();
    plan->repository_id = repository_.id();
    plan->details = candidate_.details;
    plan->end = found_.end;
    plan->way = cut(survey.way, std::min(found_.end, survey.end));
    // A target that is reached with the backup alone is its first consistent moment: no record
    // behind it may be applied.
    plan->stop.immediate = !found_.record;
    plan->stop.record = found_.record.value_or(RecordSpan{});
    if (plan->stop.immediate && plan->details.from_standby) {
        plan->stop.record = TRY(last_of_backup().during("reading the backup's own WAL"));
    }
    plan->last_commit = found_.last_commit;
    plan->minimums =
        largest(parameters_of(candidate_.details), found_.parameters.value_or(Parameters{}));
    plan->tablespaces = once_each(found_.tablespaces);
    plan->histories = catalog_.histories();
    for (const StoredHistoryFile& file : catalog_.reserved()) {
        const bool on_the_way =
            std::any_of(plan->way.begin(), plan->way.end(),
                        [&](const TimelineSpan& span) { return span.timeline == file.timeline; });
        if (!on_the_way) {  // there the server's own file, in the backup's WAL, says more
            plan->histories.push_back(file);
        }
    }
    TRY(add_outside_files(*plan));

    engine::RecoveryPlan out{candidate_.opened, point_text(*plan), candidate_.opened.manifest.stop,
                             details(*plan),    sentences(*plan),  plan};
    if (plan->last_commit) {
        out.point_time = plan->last_commit->time;
    }
    return out;
}

// A server that is to stop at the first consistent moment notices that it is there when it reads
// the next record. Behind a backup of a primary there always is one, the switch to the next
// segment; the backup of a standby may end where all WAL ends, and then the server finds its target
// never reached. So there the last record is named. Not set where none can be made out.
Result<RecordSpan> Composer::last_of_backup() {
    const BackupDetails& d = candidate_.details;
    const SegmentSize size = TRY(SegmentSize::of(d.wal_segment_size));
    const auto index =
        TRY(repo::MapIndex::open(repository_.store(), repository_.id(), candidate_.opened));
    repo::PackSource source(repository_.store(), repository_.id(), candidate_.opened.manifest,
                            keys_);
    base::Bytes wal;
    // Backwards: only a record that spans segments needs more than the last one.
    for (std::uint64_t number = size.number_before(d.stop);; --number) {
        const std::string path = base::join("pg_wal", segment_name(d.timeline, number, size));
        base::Bytes more = TRY(read_captured(*index, source, path, size.bytes()));
        more.insert(more.end(), wal.begin(), wal.end());
        wal = std::move(more);
        const RecordSpan last =
            TRY(last_record_before(d.stop, d, size, size.start_of(number), wal));
        if (last.end >= d.stop) {
            return last;
        }
        if (number <= size.number_at(d.start)) {
            return RecordSpan{};
        }
    }
}

// Debian keeps the configuration in /etc: a restored directory must start without it.
Result<> Composer::add_outside_files(PostgresPlan& plan) {
    if (candidate_.details.outside_files.empty()) {
        return {};
    }
    const auto index =
        TRY(repo::MapIndex::open(repository_.store(), repository_.id(), candidate_.opened));
    repo::PackSource source(repository_.store(), repository_.id(), candidate_.opened.manifest,
                            keys_);
    plan.needs_configuration = !index->has("postgresql.conf");
    for (const std::string& original : candidate_.details.outside_files) {
        const std::string name = base::file_name_of(original);
        const std::string path = base::join(kConfigDirectory, name);
        if (index->has(path)) {
            const base::Bytes contents =
                TRY(read_captured(*index, source, path, kLongestConfiguration));
            plan.outside.push_back({name, original, std::string(base::text(contents))});
        }
    }
    return {};
}

std::string Composer::point_text(const PostgresPlan& plan) const {
    std::string text = on_timeline(plan.end, plan.timeline());
    if (plan.stop.immediate) {
        return text + ", the end of backup '" + plan.backup + "'";
    }
    if (plan.last_commit) {
        text += plan.last_commit->end == plan.end ? ", after the commit" : ", newest commit";
        text += plan.last_commit->xid == 0 ? "" : " of " + std::to_string(plan.last_commit->xid);
        text += " at " + base::human_time(plan.last_commit->time, 6);
    }
    return text;
}

std::vector<std::string> Composer::sentences(const PostgresPlan& plan) const {
    const repo::Manifest& m = candidate_.opened.manifest;
    std::vector<std::string> out = notes_;
    out.push_back("Backup '" + m.backup + "' of " + base::human_time(m.stop) +
                  " is restored: " + base::human_size(m.counts.bytes) + " in " +
                  std::to_string(m.counts.files) + " files.");
    std::string replay = "Then " + base::human_size(plan.end - plan.details.start) +
                         " of WAL are replayed, from " + format_lsn(plan.details.start) + " to " +
                         on_timeline(plan.end, plan.timeline());
    for (std::size_t i = 0; i + 1 < plan.way.size(); ++i) {
        replay += std::string(i == 0 ? " (" : ", ") + "leaving timeline " +
                  std::to_string(plan.way[i].timeline) + " at " + format_lsn(plan.way[i].end);
    }
    out.push_back(replay + (plan.way.size() > 1 ? ")." : "."));
    if (plan.last_commit) {
        out.push_back("The newest transaction that will be there is " +
                      std::to_string(plan.last_commit->xid) + ", committed at " +
                      base::human_time(plan.last_commit->time, 6) + ".");
    } else {
        out.push_back("No transaction that committed after the backup will be there.");
    }
    const auto* position = std::get_if<engine::AtPosition>(&target_);
    const auto asked = position == nullptr ? Result<Lsn>(Lsn{}) : parse_lsn(position->text);
    if (position != nullptr && asked && found_.record && *asked != found_.record->start &&
        *asked != found_.record->end) {
        out.push_back("No record begins at " + position->text +
                      ": the last one that begins before it, at " +
                      format_lsn(found_.record->start) + ", is the last applied.");
    }
    if (found_.deciding && found_.deciding->aborted &&
        std::holds_alternative<engine::AtTransaction>(target_)) {
        out.push_back("Transaction " + std::to_string(found_.deciding->xid) +
                      " was rolled back at " + base::human_time(found_.deciding->time, 6) + ".");
    }
    return out;
}

base::Json Composer::details(const PostgresPlan& plan) const {
    base::Json json = base::Json::object();
    json.set("backup", plan.backup)
        .set("timeline", plan.timeline())
        .set("start", format_lsn(plan.details.start))
        .set("end", format_lsn(plan.end));
    json.set("immediate", plan.stop.immediate).set("wal_bytes", plan.end - plan.details.start);
    json.set("major", plan.details.major())
        .set("system_identifier", std::to_string(plan.details.system_identifier));
    if (!plan.stop.immediate) {
        json.set("last_record", format_lsn(plan.stop.record.start));
    }
    if (plan.last_commit) {
        json.set("last_commit_xid", plan.last_commit->xid)
            .set("last_commit_time", base::format_time(plan.last_commit->time));
    }
    return json;
}

}  // namespace

std::string on_timeline(Lsn at, TimelineId timeline) {
    return format_lsn(at) + " on timeline " + std::to_string(timeline);
}

Result<engine::RecoveryPlan> compose_plan(Decision decision, const RecoveryCatalog& catalog,
                                          repo::Repository& repository, repo::ReaderKeys& keys) {
    const WalSurvey& survey = decision.survey;
    return Composer(std::move(decision), catalog, repository, keys).run(survey);
}

}  // namespace lifeboat::postgres
