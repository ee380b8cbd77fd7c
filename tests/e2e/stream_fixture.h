#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>

#include "postgres/wal_body.h"
#include "postgres/wal_reader.h"
#include "tests/e2e/stream_world.h"
#include "tests/support/expect.h"

namespace lifeboat::postgres {

using base::Bytes;
using base::kMiB;
using repo::StreamObject;
using repo::StreamRange;
using test::eventually;
using test::ok;
using test::PgServer;
using test::ReceiverOptions;
using test::ReceiverProcess;
using test::StreamRepository;
using namespace std::chrono_literals;

inline Bytes file_bytes(const std::string& path) {
    auto bytes = base::read_file(base::real_files(), path, base::kGiB);
    EXPECT_TRUE(ok(bytes));
    return bytes ? std::move(bytes).value() : Bytes{};
}

// A primary, a repository and a receiver between them.
class Stream : public testing::Test {
  protected:
    Stream()
        : primary_(dir_ / "primary", 1),
          repository_(dir_ / "repository"),
          receiver_(options("a")) {}

    ReceiverOptions options(const std::string& name) {
        ReceiverOptions wanted;
        wanted.conninfo = primary_.conninfo();
        wanted.repository = dir_ / "repository";
        wanted.spool = dir_ / ("spool-" + name);
        wanted.control = dir_ / ("control-" + name);
        return wanted;
    }

    void TearDown() override {
        if (HasFailure()) {
            const auto done = base::run(
                {{"/bin/sh", "-c", "tail -n 25 " + dir_ / "*/log"}, {}, "/", {}, {}, ""}, 5s);
            std::printf("%s\n%s\n", receiver_.state().dump(2).c_str(),
                        done ? done->output.c_str() : "");
        }
    }

    void start_primary(const std::string& settings = "") {
        primary_.init("wal_keep_size=4GB\n" + settings);
        primary_.start();
        primary_.sql("CREATE TABLE t (worker int, n int, filler text)");
        const std::string id = primary_.sql("SELECT system_identifier FROM pg_control_system()");
        source_ = std::strtoull(id.c_str(), nullptr, 10);
    }

    void write_wal(const PgServer& server, int megabytes) {
        server.sql("INSERT INTO t SELECT 0, g, repeat(md5(g::text), 30) FROM generate_series(1, " +
                   std::to_string(megabytes * 950) + ") g");
    }

    // Where the timeline's last contiguous range begins and ends.
    StreamRange covered(TimelineId timeline) const {
        const auto ranges = repository_.catalog().ranges(timeline);
        return ranges.empty() ? StreamRange{timeline, 0, 0} : ranges.back();
    }

    bool wait_covered(TimelineId timeline, Lsn to, base::Duration limit = 30s) {
        return eventually([&] { return covered(timeline).to >= to.value; }, limit);
    }

    // The repository's bytes are those of the files in pg_wal, from the first to the last that is
    // covered.
    void expect_equal_to_files(const PgServer& server, const StreamRange& range) {
        const SegmentSize size = server.segment_size();
        int compared = 0;
        for (std::uint64_t at = range.from; at < range.to;) {
            const std::uint64_t number = size.number_at(Lsn{at});
            const std::uint64_t end = std::min(size.start_of(number + 1).value, range.to);
            const std::string path = server.wal(segment_name(range.timeline, number, size));
            const Bytes file = file_bytes(path);
            ASSERT_EQ(file.size(), size.bytes()) << path;
            const Bytes ours = repository_.read(range.timeline, at, end, source_);
            const auto offset = static_cast<std::ptrdiff_t>(size.offset_at(Lsn{at}));
            ASSERT_TRUE(std::equal(ours.begin(), ours.end(), file.begin() + offset)) << path;
            at = end;
            ++compared;
        }
        EXPECT_GT(compared, 0);
    }

    // Transactions whose commit is in the stream, read from the first byte that is there.
    std::set<std::uint32_t> commits_in(const StreamRange& range) {
        const Bytes bytes = repository_.read(range.timeline, range.from, range.to, source_);
        WalReaderOptions reading;
        reading.segment_size = primary_.segment_size();
        WalReader reader(reading);
        EXPECT_TRUE(ok(reader.feed(Lsn{range.from}, bytes)));
        std::set<std::uint32_t> xids;
        WalStep step = reader.next();
        for (; step == WalStep::Record; step = reader.next()) {
            if (is_transaction_end(reader.record())) {
                const auto end = read_transaction_end(reader.record());
                EXPECT_TRUE(ok(end));
                xids.insert(end->xid != 0 ? end->xid : reader.record().xid);
            }
        }
        EXPECT_NE(step, WalStep::Failed) << reader.failure().message();
        return xids;
    }

    std::int64_t number(std::string_view name) const {
        const auto value = receiver_.state().integer(name);
        return value ? *value : -1;
    }

    std::string word(std::string_view name) const {
        const auto text = receiver_.state().text(name);
        return text ? *text : "";
    }

    void stop_receiver() { EXPECT_EQ(receiver_.stop(), 0) << receiver_.log(); }

    test::OpenDirectory dir_;
    PgServer primary_;
    StreamRepository repository_;
    ReceiverProcess receiver_;
    std::uint64_t source_ = 0;
};

}  // namespace lifeboat::postgres
