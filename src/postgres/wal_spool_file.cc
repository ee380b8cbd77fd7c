#include "postgres/wal_spool_file.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace lifeboat::postgres {

using base::Bytes;
using base::BytesView;
using base::File;
using base::Files;

namespace {

constexpr std::size_t kChunk = 1 << 20;

std::uint32_t entry_check(BytesView fields, const SpoolPlace& place) {
    base::ByteWriter seed;
    seed.u32(place.timeline);
    seed.u64(place.start.value);
    return base::crc32c(fields, base::crc32c(seed.bytes()));
}

Result<> read_exactly(File& file, std::uint64_t offset, base::MutableBytes out) {
    const std::size_t got = TRY(file.read_at(offset, out));
    if (got < out.size()) {
        return Error(Code::Corrupt, "the file ends inside a run that its journal names");
    }
    return {};
}

Result<bool> matches(File& file, const SpoolRun& run, Bytes& buffer) {
    std::uint32_t crc = 0;
    for (std::uint32_t at = run.from; at < run.to;) {
        buffer.resize(std::min<std::size_t>(kChunk, run.to - at));
        const std::size_t got = TRY(file.read_at(at, buffer));
        if (got < buffer.size()) {
            return false;
        }
        crc = base::crc32c(buffer, crc);
        at += static_cast<std::uint32_t>(got);
    }
    return crc == run.crc;
}

std::string temporary_path(const SpoolPlace& place) {
    return base::join(base::parent_of(place.path), ".tmp-" + base::file_name_of(place.path));
}

Result<> copy_runs(File& from, File& to, const SpoolPlace& place,
                   const std::vector<SpoolRun>& runs) {
    Bytes buffer;
    for (std::uint32_t at = runs.front().from; at < runs.back().to;) {
        buffer.resize(std::min<std::size_t>(kChunk, runs.back().to - at));
        TRY(read_exactly(from, at, buffer));
        TRY(to.write_at(at, buffer));
        at += static_cast<std::uint32_t>(buffer.size());
    }
    base::ByteWriter journal;
    for (const SpoolRun& run : runs) {
        journal.raw(encode_spool_run(run, place));
    }
    TRY(to.write_at(place.size.bytes(), journal.bytes()));
    TRY(to.sync());
    return to.close();
}

}  // namespace

Bytes encode_spool_run(const SpoolRun& run, const SpoolPlace& place) {
    base::ByteWriter entry;
    entry.u32(run.from);
    entry.u32(run.to);
    entry.u64(static_cast<std::uint64_t>(base::to_unix_micros(run.captured)));
    entry.u32(run.crc);
    entry.u32(entry_check(entry.bytes(), place));
    return entry.take();
}

std::optional<SpoolRun> decode_spool_run(BytesView entry, const SpoolPlace& place) {
    base::ByteReader in(entry);
    const auto from = in.u32();
    const auto to = in.u32();
    const auto captured = in.u64();
    const auto crc = in.u32();
    const auto check = in.u32();
    const bool whole = from && to && captured && crc && check;
    if (!whole || *check != entry_check(entry.first(kSpoolEntry - 4), place) || *from >= *to ||
        *to > place.size.bytes()) {
        return std::nullopt;
    }
    return SpoolRun{*from, *to, base::from_unix_micros(static_cast<std::int64_t>(*captured)), *crc};
}

Result<std::vector<SpoolRun>> read_spool_journal(Files& files, const SpoolPlace& place) {
    const auto reading = "reading the journal of '" + place.path + "'";
    const auto file = TRY(files.open(place.path, base::OpenMode::Read).during(reading));
    const std::uint64_t size = TRY(file->size().during(reading));
    std::vector<SpoolRun> runs;
    if (size <= place.size.bytes()) {
        return runs;
    }
    Bytes journal(static_cast<std::size_t>(size - place.size.bytes()));
    TRY(read_exactly(*file, place.size.bytes(), journal).during(reading));
    for (BytesView rest = journal; rest.size() >= kSpoolEntry; rest = rest.subspan(kSpoolEntry)) {
        const auto run = decode_spool_run(rest.first(kSpoolEntry), place);
        if (!run || (!runs.empty() && run->from != runs.back().to)) {
            break;
        }
        runs.push_back(*run);
    }
    return runs;
}

Result<std::vector<SpoolRun>> prove_spool_runs(Files& files, const SpoolPlace& place,
                                               std::vector<SpoolRun> runs) {
    const auto reading = "reading '" + place.path + "'";
    const auto file = TRY(files.open(place.path, base::OpenMode::Read).during(reading));
    Bytes buffer;
    for (std::size_t i = 0; i < runs.size(); ++i) {
        const bool right = TRY(matches(*file, runs[i], buffer).during(reading));
        if (!right) {
            runs.resize(i);
        }
    }
    return runs;
}

Result<> rewrite_spool_file(Files& files, const SpoolPlace& place,
                            const std::vector<SpoolRun>& runs) {
    const auto writing = "writing '" + place.path + "' anew";
    if (runs.empty()) {
        TRY(files.remove(place.path).during(writing));
        return files.sync_directory(base::parent_of(place.path)).during(writing);
    }
    const std::string temporary = temporary_path(place);
    const auto from = TRY(files.open(place.path, base::OpenMode::Read).during(writing));
    const auto to = TRY(files.open(temporary, base::OpenMode::CreateOrTruncate).during(writing));
    TRY(copy_runs(*from, *to, place, runs).during(writing));
    TRY(files.rename(temporary, place.path, base::Replace::Yes).during(writing));
    return files.sync_directory(base::parent_of(place.path)).during(writing);
}

Result<SpoolFile> SpoolFile::create(Files& files, SpoolPlace place, std::uint32_t offset) {
    auto file = TRY(files.open(place.path, base::OpenMode::CreateNew));
    return SpoolFile(files, std::move(place), std::move(file), offset);
}

Result<SpoolFile> SpoolFile::reopen(Files& files, SpoolPlace place, std::vector<SpoolRun> runs) {
    LB_CHECK(!runs.empty());
    auto file = TRY(files.open(place.path, base::OpenMode::ReadWrite));
    SpoolFile spool(files, std::move(place), std::move(file), runs.back().to);
    spool.captured_ = runs.back().captured;
    spool.runs_ = std::move(runs);
    spool.name_is_durable_ = true;
    return spool;
}

Result<> SpoolFile::write(BytesView bytes, base::Timestamp captured) {
    LB_CHECK(bytes.size() <= room());
    TRY(file_->write_at(written_, bytes).during("writing '" + place_.path + "'"));
    written_ += static_cast<std::uint32_t>(bytes.size());
    crc_ = base::crc32c(bytes, crc_);
    captured_ = captured;
    return {};
}

Result<> SpoolFile::sync() {
    if (synced_ == written_) {
        return {};
    }
    const SpoolRun run{synced_, written_, captured_, crc_};
    const std::uint64_t journal_end = place_.size.bytes() + runs_.size() * kSpoolEntry;
    TRY(file_->write_at(journal_end, encode_spool_run(run, place_))
            .during("writing the journal of '" + place_.path + "'"));
    auto synced = file_->sync();
    if (synced && !name_is_durable_) {
        synced = files_->sync_directory(base::parent_of(place_.path));
    }
    if (!synced) {
        spoilt_ = true;
        return std::move(synced).during("syncing '" + place_.path + "'");
    }
    name_is_durable_ = true;
    runs_.push_back(run);
    synced_ = written_;
    crc_ = 0;
    return {};
}

Result<> SpoolFile::close() {
    return file_->close().during("closing '" + place_.path + "'");
}

}  // namespace lifeboat::postgres
