#include "postgres/base_backup_stream.h"

#include <gtest/gtest.h>

#include "tests/support/expect.h"
#include "tests/support/fake_postgres.h"
#include "tests/support/tar_forge.h"

namespace lifeboat::postgres {
namespace {

using std::chrono::seconds;
using test::fails;
using test::FakePostgres;
using test::ok;
namespace wire = test::wire;

std::string position(const char* lsn) {
    return wire::rows({"recptr", "tli"}, {{lsn, "3"}});
}

std::string tablespaces() {
    return wire::rows({"spcoid", "spclocation", "size"},
                      {{"16400", "/space", "10"}, {std::nullopt, std::nullopt, "20"}});
}

std::string archive_message(const char* name, const char* path) {
    return wire::copy_data("n" + std::string(name) + '\0' + std::string(path) + '\0');
}

const std::string kSpace = test::tar_file("PG_14_202107181/5/16401", "spaced");
const std::string kBase =
    test::tar_file("backup_label", "label") + test::tar_file("base/5/1", "one");

std::string ended(const char* lsn) {
    return position(lsn) + wire::done("SELECT") + wire::ready();
}

// As a server of 14 sends it: a COPY for each archive, without zero blocks at the end.
std::string old_backup() {
    return position("0/28") + tablespaces() + wire::copy_out() + wire::copy_data(kSpace) +
           wire::copy_done() + wire::copy_out() + wire::copy_data(kBase.substr(0, 700)) +
           wire::copy_data(kBase.substr(700)) + wire::copy_done() + ended("0/100");
}

std::string new_backup(const std::string& end = ended("0/100")) {
    return position("0/28") + tablespaces() + wire::copy_out() +
           archive_message("16400.tar", "/space") + wire::copy_data("d" + kSpace) +
           wire::copy_data("d" + test::tar_end()) + wire::copy_data("p" + wire::u64(7)) +
           archive_message("base.tar", "") + wire::copy_data("d" + kBase.substr(0, 700)) +
           wire::copy_data("d" + kBase.substr(700) + test::tar_end()) + wire::copy_done() + end;
}

struct Read {
    BaseBackupStart begun;
    std::string text;  // "name=data;..."
    Lsn stop;
};

Result<Read> read_backup(const std::string& version, const std::string& bytes) {
    const FakePostgres server(version, [&](const std::string&) { return bytes; });
    const base::StopToken stop;
    ConnectOptions options;
    options.conninfo = server.conninfo();
    options.kind = SessionKind::PhysicalReplication;
    Connection connection = TRY(Connection::open(options, stop));
    BaseBackupStream stream = TRY(BaseBackupStream::start(connection, {}, seconds(5)));
    BaseBackupFiles files(std::move(stream));
    Read read;
    read.begun = files.begun();
    while (true) {
        const BackupFileEvent event = TRY(files.next(deadline_in(seconds(5))));
        if (const auto* entry = std::get_if<TarEntry>(&event)) {
            read.text += (read.text.empty() ? "" : ";") + entry->name + "=";
        } else if (const auto* data = std::get_if<FileData>(&event)) {
            read.text += base::text(data->bytes);
        } else if (const auto* end = std::get_if<BaseBackupEnded>(&event)) {
            read.stop = end->lsn;
            return read;
        } else {
            return Error(Code::Unavailable, "quiet");
        }
    }
}

TEST(BaseBackupCommand, SpeaksTheDialectOfTheServer) {
    const BaseBackupOptions options = {.label = "it's",
                                       .checkpoint = CheckpointPace::Fast,
                                       .estimate_sizes = true,
                                       .max_kib_per_second = 64};
    EXPECT_EQ(
        base_backup_command(options, 149999),
        "BASE_BACKUP LABEL 'it''s' PROGRESS FAST NOWAIT MAX_RATE 64 TABLESPACE_MAP MANIFEST 'no'");
    EXPECT_EQ(base_backup_command(options, 150000),
              "BASE_BACKUP (LABEL 'it''s', PROGRESS, CHECKPOINT 'fast', WAIT 0, MAX_RATE 64, "
              "TABLESPACE_MAP, MANIFEST 'no')");
    const BaseBackupOptions spread = {.label = "x", .checkpoint = CheckpointPace::Spread};
    EXPECT_EQ(base_backup_command(spread, 130000),
              "BASE_BACKUP LABEL 'x' NOWAIT TABLESPACE_MAP MANIFEST 'no'");
    EXPECT_EQ(
        base_backup_command(spread, 180000),
        "BASE_BACKUP (LABEL 'x', CHECKPOINT 'spread', WAIT 0, TABLESPACE_MAP, MANIFEST 'no')");
}

TEST(BaseBackup, BothDialectsGiveTheSameFiles) {
    for (const auto& [version, bytes] :
         {std::pair("14.9", old_backup()), std::pair("15.4", new_backup())}) {
        const auto read = read_backup(version, bytes);
        ASSERT_TRUE(ok(read)) << version;
        EXPECT_EQ(read->text,
                  "pg_tblspc/16400/PG_14_202107181/5/16401=spaced;backup_label=label;base/5/1=one")
            << version;
        EXPECT_EQ(read->begun.lsn, Lsn{0x28});
        EXPECT_EQ(read->begun.timeline, 3U);
        EXPECT_EQ(read->stop, Lsn{0x100});
        ASSERT_EQ(read->begun.tablespaces.size(), 2U);
        EXPECT_EQ(read->begun.tablespaces[0].oid, 16400U);
        EXPECT_EQ(read->begun.tablespaces[0].location, "/space");
        EXPECT_EQ(read->begun.tablespaces[0].estimated_size, 10240U);
        EXPECT_EQ(read->begun.tablespaces[1].oid, 0U);
    }
}

TEST(BaseBackup, T3_DamageFoundByTheServerIsCorruptEvenAtTheVeryEnd) {
    const auto read = read_backup(
        "15.4",
        new_backup(position("0/100") +
                   wire::error("XX001", "checksum verification failure during base backup") +
                   wire::ready()));
    ASSERT_TRUE(fails(read, Code::Corrupt));
    EXPECT_NE(read.error().hint().find("damaged"), std::string::npos);
}

TEST(BaseBackup, AnErrorInTheMiddleIsTheServersOwn) {
    const std::string head = position("0/28") + tablespaces() + wire::copy_out();
    const std::string failure = wire::error("53100", "disk full") + wire::ready();
    for (const auto& [version, bytes] :
         {std::pair("14.9", head + wire::copy_data(kSpace) + failure),
          std::pair("15.4", head + archive_message("16400.tar", "/space") +
                                wire::copy_data("d" + kSpace.substr(0, 600)) + failure)}) {
        EXPECT_TRUE(fails(read_backup(version, bytes), Code::NoSpace)) << version;
    }
}

TEST(BaseBackup, ASeveredBackupNeverLooksComplete) {
    for (const auto& [version, bytes] :
         {std::pair("14.9", old_backup()), std::pair("15.4", new_backup())}) {
        for (std::size_t cut = 0; cut < bytes.size(); cut += 397) {
            const FakePostgres server(version,
                                      [&](const std::string&) { return bytes.substr(0, cut); });
            base::StopToken stop;
            ConnectOptions options;
            options.conninfo = server.conninfo();
            options.kind = SessionKind::PhysicalReplication;
            auto connection = Connection::open(options, stop);
            ASSERT_TRUE(ok(connection));
            auto stream = BaseBackupStream::start(*connection, {}, std::chrono::milliseconds(1));
            if (!stream) {
                continue;
            }
            BaseBackupFiles files(std::move(stream).value());
            stop.request();  // so that waiting for more ends at once
            auto event = files.next(std::chrono::steady_clock::now());
            while (event && !std::holds_alternative<BaseBackupEnded>(*event) &&
                   !std::holds_alternative<BaseBackupQuiet>(*event)) {
                event = files.next(std::chrono::steady_clock::now());
            }
            EXPECT_FALSE(event && std::holds_alternative<BaseBackupEnded>(*event))
                << version << " cut at " << cut;
        }
    }
}

TEST(BaseBackup, RefusesAnswersOutOfPlace) {
    const std::string head = position("0/28") + tablespaces();
    const std::pair<const char*, std::string> table[] = {
        {"15.4", wire::done() + wire::ready()},
        {"15.4",
         position("0/28") + wire::rows({"spcoid", "spclocation", "size"}, {}) + wire::ready()},
        {"15.4", wire::rows({"recptr", "tli"}, {{"zz", "3"}}) + wire::ready()},
        {"15.4", head + ended("0/100")},
        {"15.4",
         head + wire::copy_out() + wire::copy_data("dx") + wire::copy_done() + ended("0/100")},
        {"15.4", head + wire::copy_out() + archive_message("x.tar", "") + wire::copy_done() +
                     ended("0/100")},
        {"15.4", head + wire::copy_out() + archive_message("base.tar.gz", "") + wire::copy_done() +
                     ended("0/100")},
        {"15.4", head + wire::copy_out() + archive_message("base.tar", "") + wire::copy_done() +
                     ended("0/100")},
        {"15.4",
         head + wire::copy_out() + wire::copy_data("z") + wire::copy_done() + ended("0/100")},
        {"14.9", head + wire::copy_out() + wire::copy_done() + ended("0/100")},
        {"14.9", head + wire::copy_out() + wire::copy_data(kSpace.substr(0, 600)) +
                     wire::copy_done() + wire::copy_out() + wire::copy_done() + ended("0/100")},
    };
    for (std::size_t i = 0; i < std::size(table); ++i) {
        EXPECT_TRUE(fails(read_backup(table[i].first, table[i].second), Code::Corrupt)) << i;
    }
}

}  // namespace
}  // namespace lifeboat::postgres
