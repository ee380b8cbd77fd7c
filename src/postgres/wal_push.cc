// archive_command. Tested by wal_push_test.cc and tests/e2e/stream_test.cc.
//
// The expiry day is part of an object's name, so a name is found again only if the day is the same
// again. It therefore comes from the WAL itself, from the last commit in it, and not from the time
// of the push; the days around it are looked at as well.

#include "postgres/wal_push.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "base/log.h"
#include "policy/expiry.h"
#include "postgres/timeline.h"
#include "postgres/wal_reader.h"
#include "postgres/wal_receiver_claims.h"
#include "postgres/wal_receiver_upload.h"
#include "postgres/wal_spool.h"
#include "postgres/wal_summary.h"
#include "repo/stream.h"

namespace lifeboat::postgres {

using base::Bytes;
using base::BytesView;
using repo::StreamObject;
using repo::StreamRange;

namespace {

constexpr std::size_t kChunk = 1 << 20;
constexpr std::uint64_t kLargestObject = 64 * base::kMiB;
constexpr std::size_t kLargestSummary = 32 << 10;

struct PushedFile {
    std::string path;
    std::unique_ptr<base::File> file;
    std::uint64_t size = 0;
    base::Timestamp modified;
    SegmentHeader header;
    WalFileName name;
};

Result<Bytes> read_part(base::File& file, std::uint64_t offset, std::uint64_t count) {
    Bytes bytes(count);
    const std::size_t got = TRY(file.read_at(offset, bytes));
    if (got < count) {
        return Error(Code::Corrupt, "the file became shorter while it was read");
    }
    return bytes;
}

Result<PushedFile> open_pushed(base::Files& files, const std::string& path) {
    PushedFile pushed;
    pushed.path = path;
    pushed.file = TRY(files.open(path, base::OpenMode::Read));
    const base::FileStat stat = TRY(files.stat(path));
    pushed.size = stat.size;
    pushed.modified = stat.modified;
    const Bytes head =
        TRY(read_part(*pushed.file, 0, std::min<std::uint64_t>(pushed.size, kLongPageHeader)));
    pushed.header = TRY(read_segment_header(head));
    pushed.name = TRY(parse_wal_file_name(base::file_name_of(path), pushed.header.size)
                          .hint("Pass the path as the server gives it: wal-push SYSTEM %p."));
    const SegmentHeader& header = pushed.header;
    // Where a timeline begins inside a segment, the first page is of the one before.
    if (pushed.size != header.size.bytes() ||
        header.start != header.size.start_of(pushed.name.segment) ||
        header.timeline > pushed.name.timeline) {
        return Error(Code::Corrupt, "it says that it is the segment at " +
                                        format_lsn(header.start) + " of timeline " +
                                        std::to_string(header.timeline) + ", and has " +
                                        base::human_size(pushed.size));
    }
    return pushed;
}

// T18. Once it is known that what the repository holds is this cluster's, a file beside the spool
// says so to later calls.
Result<> check_system(const PushJob& job, const engine::Context& context,
                      const SegmentHeader& header) {
    const ClusterIdentity cluster{header.system_identifier, header.major, header.size};
    if (!job.spool.empty()) {
        const auto known = WalSpool::identity_of(context.files, job.spool);
        if (known && *known) {
            return WalSpool::claim(context.files, job.spool, cluster);
        }
    }
    TRY(check_system_cluster(job.repository, job.host, job.system, cluster));
    if (!job.spool.empty()) {
        auto claimed = WalSpool::claim(context.files, job.spool, cluster);
        if (!claimed && claimed.error().code() == Code::Conflict) {
            return claimed;
        }
        std::move(claimed).discard(
            "only a cache: the server's user may have no right to write there");
    }
    return {};
}

struct Survey {
    Bytes summary;
    Lsn valid_end;  // behind the last whole record; not set when none begins here
    base::Timestamp captured;
};

Result<> add_records(WalReader& reader, WalSummarizer& summarizer, std::string& trouble) {
    while (true) {
        switch (reader.next()) {
            case WalStep::Record:
                TRY(summarizer.add(reader.record()));
                continue;
            case WalStep::Failed:
                trouble = reader.failure().message();
                return {};
            case WalStep::NeedMore:
            case WalStep::End:
                return {};
        }
    }
}

Result<Survey> survey(const PushedFile& pushed) {
    WalReaderOptions options;
    options.segment_size = pushed.header.size;
    WalReader reader(options);
    WalSummarizer summarizer(KeepPoints::No);
    std::string trouble;
    for (std::uint64_t at = 0; at < pushed.size && trouble.empty(); at += kChunk) {
        const Bytes bytes =
            TRY(read_part(*pushed.file, at, std::min<std::uint64_t>(kChunk, pushed.size - at)));
        TRY(reader.feed(pushed.header.start + at, bytes));
        auto added = add_records(reader, summarizer, trouble);
        trouble = added ? trouble : added.error().message();
    }
    Survey found;
    const WalSummary& summary = summarizer.summary();
    found.captured = summary.latest_commit.value_or(pushed.modified);
    if (reader.position()) {
        found.valid_end = std::min(reader.position()->next, pushed.header.start + pushed.size);
    }
    if (!trouble.empty()) {
        base::log(base::LogLevel::Warn, "wal-push: a segment is stored, but cannot be read",
                  {{"file", pushed.path}, {"error", trouble}});
    } else if (summary.records > 0) {
        found.summary = encode_summary(summary);
        found.summary.resize(found.summary.size() > kLargestSummary ? 0 : found.summary.size());
    }
    return found;
}

// The day under which this range is there already; else the one that follows from the WAL.
Result<policy::ExpiryDay> find_expiry(const PushJob& job, StreamObject kind,
                                      const StreamRange& range, base::Timestamp captured) {
    for (const int shift : {-1, 1}) {
        const auto day = policy::wal_expiry(captured + std::chrono::days(shift), job.retention);
        auto there =
            job.repository.store().stat(repo::StreamName{kind, job.system, day, range}.text());
        if (there) {
            return day;
        }
        if (there.error().code() != Code::NotFound) {
            return std::move(there).error();
        }
    }
    return policy::wal_expiry(captured, job.retention);
}

// What lies damaged under the name, or is not ours, cannot be replaced: the bytes go into two
// others.
Result<> put_range(const PushJob& job, repo::StreamWriter& writer, const PushedFile& pushed,
                   const Survey& found, StreamObject kind, const StreamRange& range) {
    repo::StreamPut put;
    put.kind = kind;
    put.range = range;
    put.expires = TRY(find_expiry(job, kind, range, found.captured));
    put.source = pushed.header.system_identifier;
    put.segment_size = static_cast<std::uint32_t>(pushed.header.size.bytes());
    put.major = static_cast<std::uint32_t>(pushed.header.major);
    put.captured = found.captured;
    const bool whole = range.from == pushed.header.start.value && range.to >= found.valid_end.value;
    put.summary = whole ? found.summary : Bytes{};
    Bytes buffer;
    const auto read = [&](std::uint64_t offset, std::uint64_t count) -> Result<BytesView> {
        buffer =
            TRY(read_part(*pushed.file, range.from + offset - pushed.header.start.value, count));
        return BytesView(buffer);
    };
    auto done = writer.put(put, read);
    const std::uint64_t half = (range.to - range.from) / 2 / kWalPage * kWalPage;
    if (done || done.error().code() != Code::Corrupt || half == 0) {
        return done;
    }
    const std::uint64_t middle = range.from + half;
    TRY(put_range(job, writer, pushed, found, kind, {range.timeline, range.from, middle}));
    return put_range(job, writer, pushed, found, kind, {range.timeline, middle, range.to});
}

Result<> push_wal(const PushJob& job, const engine::Context& context, const PushedFile& pushed) {
    TRY(check_system(job, context, pushed.header));
    const Survey found = TRY(survey(pushed));
    const bool partial = pushed.name.kind == WalFileKind::Partial;
    const std::uint64_t start = pushed.header.start.value;
    const std::uint64_t end = partial ? found.valid_end.value : start + pushed.size;
    if (end <= start) {
        return Error(Code::Corrupt, "no record of it is whole");
    }
    repo::StreamWriter writer(job.repository, job.host, job.system, context.clock, context.random);
    for (std::uint64_t from = start; from < end; from += kLargestObject) {
        TRY(context.stop.check());
        const StreamRange range{pushed.name.timeline, from, std::min(end, from + kLargestObject)};
        TRY(put_range(job, writer, pushed, found,
                      partial ? StreamObject::Piece : StreamObject::Gathered, range));
    }
    return {};
}

Result<> refuse_copy(base::Files& files, const PushJob& job, const std::string& path) {
    const std::string data = base::parent_of(base::parent_of(path));
    const bool copy = TRY(base::exists(files, base::join(data, kRestoredFile)));
    if (copy) {
        return Error(Code::Refused, "this server was restored by lifeboat, and may be a copy of '" +
                                        job.system + "'")
            .hint("If it has taken the place of the original, which is off for good, remove '" +
                  std::string(kRestoredFile) +
                  "' from its data directory; what it has to archive is kept until then. If it is "
                  "a copy, set archive_mode = off.");
    }
    return {};
}

Result<> push_history(const PushJob& job, const engine::Context& context, const std::string& path,
                      TimelineId timeline) {
    const Bytes contents = TRY(base::read_file(context.files, path, base::kMiB));
    TRY(check_history(job.repository, job.host, job.system, timeline, contents));
    repo::StreamWriter writer(job.repository, job.host, job.system, context.clock, context.random);
    return writer.put_history(timeline, contents);
}

}  // namespace

Result<> push_segment(const PushJob& job, const engine::Context& context, const std::string& path) {
    const auto pushing = "pushing '" + path + "'";
    const std::string file = base::file_name_of(path);
    // Which segment it is shows once its own header told the segment size; what kind of file it is
    // shows now.
    const bool label = file.ends_with(".backup");
    const auto smallest = TRY(SegmentSize::of(base::kMiB));
    const auto name =
        TRY(parse_wal_file_name(label ? file.substr(0, file.find('.')) : file, smallest)
                .during(pushing));
    if (label) {
        return {};
    }
    TRY(refuse_copy(context.files, job, path).during(pushing));
    if (name.kind == WalFileKind::History) {
        return push_history(job, context, path, name.timeline).during(pushing);
    }
    const PushedFile pushed = TRY(open_pushed(context.files, path).during(pushing));
    return push_wal(job, context, pushed).during(pushing);
}

}  // namespace lifeboat::postgres
