#include "tests/support/waldump.h"

#include <gtest/gtest.h>

#include <array>
#include <sstream>

#include "base/files.h"
#include "base/time.h"
#include "postgres/wal_body.h"

namespace lifeboat::postgres {

namespace {

// The end of a transaction: its xid if it was prepared, and its time.
std::string end_of(const std::string& description) {
    const bool prepared =
        description.starts_with("COMMIT_PREPARED ") || description.starts_with("ABORT_PREPARED ");
    if (!prepared && !description.starts_with("COMMIT ") && !description.starts_with("ABORT ")) {
        return "";
    }
    const std::string xid =
        prepared ? " of " + std::to_string(std::stoul(after(description, "_PREPARED "))) : "";
    const std::size_t zone = description.find(" UTC");
    return zone == std::string::npos ? "no time" : xid + " at " + description.substr(zone - 26, 26);
}

std::string from_waldump(const std::string& line) {
    std::istringstream rmgr(after(line, "rmgr: "));
    std::string out;
    rmgr >> out;
    const std::string lengths = after(line, "len (rec/tot):");
    out += " len " + std::to_string(std::stoul(after(lengths, "/")));
    out += " xid " + std::to_string(std::stoul(after(line, "tx:")));
    for (const char* mark : {"lsn: ", "prev "}) {
        const std::string text = after(line, mark);
        out += " " + format_lsn(parse_lsn(text.substr(0, text.find(','))).value());
    }
    const std::string description = after(line, "desc: ");
    if (out.starts_with("Transaction ")) {
        out += end_of(description);
    }
    for (std::string rest = after(description, "blkref #"); !rest.empty();
         rest = after(rest, "blkref #")) {
        std::string ref = rest.substr(0, rest.find(','));
        for (const std::string& filler : {std::string(" rel"), std::string(" fork")}) {
            const std::size_t at = ref.find(filler);
            if (at != std::string::npos) {
                ref.erase(at, filler.size());
            }
        }
        while (ref.ends_with(' ') || ref.ends_with('\n')) {
            ref.pop_back();
        }
        out += " #" + ref;
    }
    return out;
}

Lsn first_segment(const PgCluster& cluster, TimelineId timeline) {
    for (const std::string& name : cluster.list("data/pg_wal")) {
        const auto file = parse_wal_file_name(name, cluster.segment_size());
        if (file && file->kind == WalFileKind::Segment && file->timeline == timeline) {
            return cluster.segment_size().start_of(file->segment);
        }
    }
    return {};
}

}  // namespace

std::string after(const std::string& line, const std::string& mark) {
    const std::size_t at = line.find(mark);
    return at == std::string::npos ? "" : line.substr(at + mark.size());
}

std::string from_record(const WalRecord& record) {
    static constexpr std::array<const char*, 4> kForks = {"", " fsm", " vm", " init"};
    std::string out = rmgr_name(record.rmgr) + " len " + std::to_string(record.total_length) +
                      " xid " + std::to_string(record.xid) + " " + format_lsn(record.start) + " " +
                      format_lsn(record.prev);
    if (is_transaction_end(record)) {
        const auto end = read_transaction_end(record);
        EXPECT_TRUE(end) << format_lsn(record.start);
        const bool prepared =
            end->op == TransactionOp::CommitPrepared || end->op == TransactionOp::AbortPrepared;
        out += (prepared ? " of " + std::to_string(end->xid) : "") + " at " +
               base::human_time(end->time, 6);
        out.resize(out.size() - 4);  // " UTC"
    }
    for (const BlockRef& b : record.blocks) {
        out += " #" + std::to_string(b.id) + ": " + std::to_string(b.relation.tablespace) + "/" +
               std::to_string(b.relation.database) + "/" + std::to_string(b.relation.number) +
               kForks[static_cast<std::size_t>(b.fork)] + " blk " + std::to_string(b.block) +
               (b.has_image() ? " FPW" : "");
    }
    return out;
}

std::vector<std::string> waldump(const PgCluster& cluster, TimelineId timeline) {
    const std::string log = cluster.host("waldump.out");
    base::real_files().remove(log).discard("there may be none");
    // It ends with an error at the end of the WAL.
    cluster.tool("pg_waldump",
                 {"-p", cluster.inside("data/pg_wal"), "-t", std::to_string(timeline), "-s",
                  format_lsn(first_segment(cluster, timeline))},
                 MayFail::Yes, log);
    std::vector<std::string> out;
    std::istringstream lines(cluster.read("waldump.out"));
    for (std::string line; std::getline(lines, line);) {
        if (line.starts_with("rmgr: ")) {
            out.push_back(from_waldump(line));
        }
    }
    return out;
}

}  // namespace lifeboat::postgres
