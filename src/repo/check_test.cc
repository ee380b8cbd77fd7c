// Every kind of damage, and what check makes of it. check_cost_test.cc holds its costs to what a
// restore can really give.
#include "repo/check.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <mutex>

#include "repo/stream.h"
#include "tests/support/expect.h"
#include "tests/support/repo_world.h"

namespace lifeboat::repo {

using base::Code;
using test::fails;
using test::noise;
using test::ok;

namespace {

constexpr std::array kLevels = {CheckLevel::Names, CheckLevel::Objects, CheckLevel::Data};

class CheckTest : public testing::Test {
  protected:
    CheckTest() {
        tree["base/1"] = noise(1, 40 * kPageSize);
        tree["base/2"] = noise(2, 20 * kPageSize);
        tree["conf"] = noise(3, 100);
        tree["empty"] = {};
        first = capture(nullptr);
        tree["base/1"][0] ^= 1U;
        second = capture(&first);
        for (const StreamRange& range : {StreamRange{1, 0, 1000}, StreamRange{1, 1000, 3000}}) {
            put(range);
        }
    }

    Manifest capture(const Manifest* previous, std::string system = "prod") {
        world.clock.advance(std::chrono::hours(1));
        test::CaptureJob job{.system = std::move(system), .tree = &tree, .pack_target = 100'000};
        std::optional<OpenedManifest> opened;
        if (previous != nullptr) {
            opened = world.load(*previous).value();
            job.previous = &*opened;
        }
        auto manifest = world.capture(job);
        EXPECT_TRUE(ok(manifest));
        return std::move(manifest).value();
    }

    void put(const StreamRange& range, StreamObject kind = StreamObject::Piece,
             std::string_view expires = "20260301") {
        StreamPut put;
        put.kind = kind;
        put.range = range;
        put.expires = policy::ExpiryDay::parse(expires).value();
        put.source = 7;
        put.captured = world.clock.now();
        EXPECT_TRUE(ok(writer.put(put, noise(range.from, range.to - range.from))));
    }

    std::string piece(const StreamRange& range) {
        return StreamName{StreamObject::Piece, "prod", policy::ExpiryDay::parse("20260301").value(),
                          range}
            .text();
    }

    CheckReport check(CheckLevel level) { return check(level, &world.reader); }

    CheckReport check(CheckLevel level, ReaderKeys* keys) {
        auto report = check_repository(*world.repository, keys,
                                       {.level = level, .workers = 2, .systems = {}}, {}, stop);
        EXPECT_TRUE(ok(report));
        return std::move(report).value();
    }

    static std::vector<std::string> names(const std::vector<ObjectFinding>& findings) {
        std::vector<std::string> out;
        for (const ObjectFinding& finding : findings) {
            out.push_back(finding.name);
        }
        return out;
    }

    static bool says(const CheckReport& report, const std::string& text) {
        const auto lines = describe(report);
        return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
            return line.find(text) != std::string::npos;
        });
    }

    const BackupCheck& of(const CheckReport& report, const Manifest& manifest) {
        for (const BackupCheck& backup : report.backups) {
            if (backup.name.backup == manifest.backup) {
                return backup;
            }
        }
        ADD_FAILURE() << manifest.backup << " was not checked";
        static const BackupCheck none;
        return none;
    }

    // A data pack of the first backup that the second needs too.
    std::string shared_pack() {
        for (const auto& [index, pack] : first.packs) {
            if (second.packs.contains(index)) {
                return pack.object.name;
            }
        }
        ADD_FAILURE() << "no pack is shared";
        return {};
    }

    test::RepoWorld world;
    base::StopToken stop;
    StreamWriter writer{*world.repository, world.keys.host, "prod", world.clock, *world.random};
    test::Tree tree;
    Manifest first;
    Manifest second;
};

// ---- A whole repository
// -------------------------------------------------------------------------------------------

TEST_F(CheckTest, AWholeRepositoryIsHealthyAtEveryLevelForEveryReader) {
    ReaderKeys host = world.keys.host_reader();
    for (const CheckLevel level : kLevels) {
        for (ReaderKeys* keys : {&world.reader, &host, static_cast<ReaderKeys*>(nullptr)}) {
            if (level == CheckLevel::Data && keys != &world.reader) {
                continue;
            }
            const CheckReport report = check(level, keys);
            EXPECT_TRUE(report.is_healthy()) << describe(report).front();
            EXPECT_EQ(report.backups.size(), 2U);
            EXPECT_EQ(report.objects, world.names().size());
            EXPECT_TRUE(report.unreferenced.empty() && report.expired.empty() &&
                        report.foreign.empty());
            ASSERT_EQ(report.streams.size(), 1U);
            EXPECT_EQ(report.streams[0].held, (std::vector<StreamRange>{{1, 0, 3000}}));
            EXPECT_TRUE(says(report, "2 backups are whole"));
        }
    }
}

TEST_F(CheckTest, NamesReadsManifestsOnlyAndObjectsReadsEachOnce) {
    const auto gets = world.meter->gets.load();
    check(CheckLevel::Names, nullptr);
    EXPECT_EQ(world.meter->gets.load() - gets, 2U);
    const auto bytes = world.meter->bytes_got.load();
    const CheckReport report = check(CheckLevel::Objects, nullptr);
    EXPECT_EQ(world.meter->bytes_got.load() - bytes, report.bytes);
}

TEST_F(CheckTest, DataOpensEveryByteThatWasCaptured) {
    const CheckReport report = check(CheckLevel::Data);
    EXPECT_EQ(report.plain_bytes, 60 * kPageSize + 100 + kPageSize + 3000);
    EXPECT_TRUE(says(report, "of data decrypted and expanded"));
    EXPECT_TRUE(of(report, first).paths_known);
    EXPECT_EQ(of(report, first).files, 4U);
}

TEST_F(CheckTest, DataWithoutAnIdentityIsDenied) {
    ReaderKeys host = world.keys.host_reader();
    for (ReaderKeys* keys : {&host, static_cast<ReaderKeys*>(nullptr)}) {
        const auto report =
            check_repository(*world.repository, keys,
                             {.level = CheckLevel::Data, .workers = 1, .systems = {}}, {}, stop);
        EXPECT_TRUE(fails(report, Code::Denied));
    }
}

TEST_F(CheckTest, AnIdentityThatFitsNothingProvesNothing) {
    ReaderKeys stranger = world.keys.stranger();
    const CheckReport report = check(CheckLevel::Data, &stranger);
    EXPECT_FALSE(report.is_healthy());
    EXPECT_EQ(of(report, first).state, BackupState::Unknown);
    EXPECT_TRUE(report.damaged.empty());
    EXPECT_TRUE(says(report, "is neither proven whole nor damaged"));
}

TEST_F(CheckTest, ProgressCountsEveryObjectAndByteOnce) {
    std::mutex mutex;
    CheckProgress last;
    std::uint64_t calls = 0;
    const auto watch = [&](const CheckProgress& now) {
        const std::lock_guard lock(mutex);
        EXPECT_GE(now.bytes_done, last.bytes_done);
        last = now;
        ++calls;
    };
    const auto report =
        check_repository(*world.repository, nullptr,
                         {.level = CheckLevel::Objects, .workers = 3, .systems = {}}, watch, stop);
    ASSERT_TRUE(ok(report));
    EXPECT_EQ(calls, last.objects_total);
    EXPECT_EQ(last.objects_done, last.objects_total);
    EXPECT_EQ(last.bytes_done, last.bytes_total);
}

TEST_F(CheckTest, AStopEndsIt) {
    for (const CheckLevel level : kLevels) {
        base::StopToken now;
        now.request();
        EXPECT_TRUE(fails(check_repository(*world.repository, &world.reader,
                                           {.level = level, .workers = 2, .systems = {}}, {}, now),
                          Code::Cancelled));
    }
}

TEST_F(CheckTest, OneSystemCanBeCheckedAlone) {
    const Manifest other = capture(nullptr, "other");
    world.remove(other.packs.begin()->second.object.name);
    const auto report = check_repository(
        *world.repository, &world.reader,
        {.level = CheckLevel::Objects, .workers = 2, .systems = {"prod"}}, {}, stop);
    ASSERT_TRUE(ok(report));
    EXPECT_TRUE(report->is_healthy());
    EXPECT_EQ(report->backups.size(), 2U);
    EXPECT_FALSE(check(CheckLevel::Names).is_healthy());
}

// ---- Missing
// ------------------------------------------------------------------------------------------------------

TEST_F(CheckTest, AMissingPackIsSeenByNamesAlone) {
    const std::string pack = shared_pack();
    world.remove(pack);
    for (const CheckLevel level : kLevels) {
        const CheckReport report = check(level);
        EXPECT_EQ(names(report.missing), (std::vector<std::string>{pack}));
        for (const Manifest* manifest : {&first, &second}) {
            const BackupCheck& backup = of(report, *manifest);
            EXPECT_EQ(backup.state, BackupState::Degraded);
            EXPECT_EQ(backup.missing, (std::vector<std::string>{pack}));
            EXPECT_TRUE(backup.paths_known && backup.exact);
            EXPECT_FALSE(backup.lost.empty());
        }
        EXPECT_TRUE(says(report, "'" + pack + "' is missing"));
    }
    const CheckReport keyless = check(CheckLevel::Objects, nullptr);
    EXPECT_EQ(of(keyless, first).state, BackupState::Degraded);
    EXPECT_FALSE(of(keyless, first).paths_known);
    EXPECT_TRUE(says(keyless,
                     "of the objects that it needs 1 missing; which files that costs is known with "
                     "the key of its host"));
}

TEST_F(CheckTest, AMissingMapCostsTheWholeBackup) {
    world.remove(second.maps[0].object.name);
    const CheckReport report = check(CheckLevel::Names);
    EXPECT_EQ(of(report, first).state, BackupState::Whole);
    EXPECT_EQ(of(report, second).state, BackupState::Degraded);
    EXPECT_TRUE(says(report, "backup " + second.backup + " of prod cannot be restored: its map '" +
                                 second.maps[0].object.name + "' is missing"));
}

TEST_F(CheckTest, AMissingDescriptionIsMissing) {
    world.remove("lifeboat.json");
    EXPECT_EQ(names(check(CheckLevel::Objects).missing),
              (std::vector<std::string>{"lifeboat.json"}));
}

// ---- Damaged
// ------------------------------------------------------------------------------------------------------

TEST_F(CheckTest, AnObjectOfAnotherSizeIsSeenByNamesAlone) {
    const std::string pack = shared_pack();
    Bytes bytes = world.bytes(pack);
    bytes.push_back(0);
    world.replace(pack, bytes);
    const CheckReport report = check(CheckLevel::Names);
    EXPECT_EQ(names(report.damaged), (std::vector<std::string>{pack}));
    EXPECT_FALSE(of(report, first).exact);
    EXPECT_TRUE(says(report, "may not be able to restore"));
    // A byte more at the end harms no restore; reading tells.
    EXPECT_EQ(of(check(CheckLevel::Objects), first).state, BackupState::Whole);
}

TEST_F(CheckTest, AFlippedByteOfAnyObjectIsSeenByObjectsWithoutKeys) {
    ASSERT_TRUE(ok(writer.put_history(2, noise(5, 60))));
    ASSERT_TRUE(ok(writer.record_gap({1, 9000, 9999}, "a test")));
    for (const std::string& name : world.names("s/")) {
        const Bytes good = world.bytes(name);
        for (const std::size_t at : {std::size_t{0}, good.size() / 3, good.size() / 2,
                                     good.size() - 30, good.size() - 2}) {
            if (classify(name) == ObjectClass::Gap && at != 0) {
                continue;  // clear text: a letter of its reason is nothing that check could know
            }
            world.flip(name, at);
            const CheckReport report = check(CheckLevel::Objects, nullptr);
            EXPECT_EQ(names(report.damaged), (std::vector<std::string>{name})) << at;
            EXPECT_FALSE(report.is_healthy());
            world.replace(name, good);
        }
    }
}

TEST_F(CheckTest, ADamagedManifestCostsItsBackupAndLeavesReferencesUnknown) {
    world.flip(world.name_of(second).text(), 100);
    const CheckReport report = check(CheckLevel::Names, nullptr);
    EXPECT_EQ(of(report, second).state, BackupState::Degraded);
    EXPECT_EQ(of(report, first).state, BackupState::Whole);
    EXPECT_FALSE(report.references_known);
    EXPECT_TRUE(says(report, "cannot be restored: its manifest cannot be read"));
    EXPECT_TRUE(says(report, "of no backup whose manifest could be read"));
}

TEST_F(CheckTest, AMovedManifestIsDamaged) {
    ManifestName moved = world.name_of(first);
    moved.stop += std::chrono::hours(9);
    world.replace(moved.text(), world.bytes(world.name_of(first).text()));
    const CheckReport report = check(CheckLevel::Names, nullptr);
    EXPECT_EQ(names(report.damaged), (std::vector<std::string>{moved.text()}));
}

TEST_F(CheckTest, AMovedPieceIsDamaged) {
    world.replace(piece({1, 3000, 5000}), world.bytes(piece({1, 1000, 3000})));
    EXPECT_TRUE(check(CheckLevel::Names).damaged.empty());
    EXPECT_EQ(names(check(CheckLevel::Objects, nullptr).damaged),
              (std::vector<std::string>{piece({1, 3000, 5000})}));
}

TEST_F(CheckTest, ObjectsOfAWriterThatNobodyPinnedAreNotTrusted) {
    const test::RepoKeys thief(66);
    ASSERT_TRUE(ok(test::capture_tree(*world.repository, thief.host, {.tree = &tree}, world.clock,
                                      *world.random)));
    StreamWriter forger(*world.repository, thief.host, "prod", world.clock, *world.random);
    StreamPut forged;
    forged.range = {1, 3000, 4000};
    forged.expires = policy::ExpiryDay::parse("20260301").value();
    ASSERT_TRUE(ok(forger.put(forged, noise(1, 1000))));
    EXPECT_TRUE(check(CheckLevel::Objects, nullptr).is_healthy());  // without pins nobody can tell
    const CheckReport report = check(CheckLevel::Objects);
    EXPECT_FALSE(report.is_healthy());
    EXPECT_TRUE(says(report, "not a trusted writer of this repository"));
    EXPECT_EQ(report.streams[0].held, (std::vector<StreamRange>{{1, 0, 3000}}));
    EXPECT_EQ(names(report.unread), (std::vector<std::string>{piece({1, 3000, 4000})}));
}

// ---- Neither
// ------------------------------------------------------------------------------------------------------

TEST_F(CheckTest, WhatTheStoreCannotReadIsUnknownNotDamaged) {
    const std::string pack = shared_pack();
    for (const store::Fault fault : {store::Fault::Fail, store::Fault::Deny}) {
        auto copy = store::memory_store(world.clock);
        for (const std::string& name : world.names()) {
            ASSERT_TRUE(ok(copy->put(name, world.bytes(name))));
        }
        const auto faulty = store::with_faults(std::move(copy), [&](store::Operation operation,
                                                                    const std::string& name) {
            return name == pack && operation == store::Operation::Get ? fault : store::Fault::None;
        });
        const auto repository = Repository::open(*faulty);
        ASSERT_TRUE(ok(repository));
        const auto report =
            check_repository(**repository, &world.reader,
                             {.level = CheckLevel::Objects, .workers = 2, .systems = {}}, {}, stop);
        ASSERT_TRUE(ok(report));
        EXPECT_EQ(names(report->unread), (std::vector<std::string>{pack}));
        EXPECT_TRUE(report->damaged.empty() && report->missing.empty());
        EXPECT_FALSE(report->is_healthy());
        for (const BackupCheck& backup : report->backups) {
            EXPECT_EQ(backup.state, BackupState::Unknown);
        }
        EXPECT_TRUE(says(*report, "could not be looked at"));
    }
}

TEST_F(CheckTest, AStoreThatCannotBeListedFailsTheCheck) {
    auto faulty = store::with_faults(
        store::memory_store(world.clock), [](store::Operation operation, const std::string&) {
            return operation == store::Operation::List ? store::Fault::Fail : store::Fault::None;
        });
    ASSERT_TRUE(ok(faulty->put("lifeboat.json", world.bytes("lifeboat.json"))));
    const auto repository = Repository::open(*faulty);
    ASSERT_TRUE(ok(repository));
    EXPECT_TRUE(fails(check_repository(**repository, nullptr, {}, {}, stop), Code::Unavailable));
}

// ---- Not needed
// ---------------------------------------------------------------------------------------------------

TEST_F(CheckTest, PacksOfNoCommittedBackupAreUnreferenced) {
    const std::string name = data_pack_name("prod", policy::ExpiryDay::parse("20260401").value(),
                                            random_id(*world.random));
    world.replace(name, world.bytes(shared_pack()));
    const CheckReport report = check(CheckLevel::Names);
    EXPECT_EQ(names(report.unreferenced), (std::vector<std::string>{name}));
    EXPECT_TRUE(report.is_healthy());
    EXPECT_TRUE(says(report, "of no committed backup"));
}

TEST_F(CheckTest, ForeignObjectsAreNamedAndLeftAlone) {
    world.replace("s/prod/notes.txt", Bytes(5));
    world.replace("holiday/photo.jpg", Bytes(7));
    const CheckReport report = check(CheckLevel::Data);
    EXPECT_EQ(names(report.foreign),
              (std::vector<std::string>{"holiday/photo.jpg", "s/prod/notes.txt"}));
    EXPECT_TRUE(report.is_healthy());
}

TEST_F(CheckTest, WhatHasExpiredIsListedAndNoLongerHeldToAnything) {
    world.clock.advance(std::chrono::days(60));
    for (const auto& [index, pack] : first.packs) {
        world.remove(pack.object.name);
    }
    const CheckReport report = check(CheckLevel::Data);
    EXPECT_TRUE(report.backups.empty());
    EXPECT_TRUE(report.missing.empty());
    EXPECT_FALSE(report.expired.empty());
    EXPECT_TRUE(says(report, "past expiry: may be pruned"));
    EXPECT_TRUE(says(report, "there is no backup"));
}

TEST_F(CheckTest, W1_APackThatMayGoBeforeItsBackupIsAWarning) {
    Manifest broken = first;  // as a writer with a bug would commit it
    broken.expires = policy::ExpiryDay::parse("20990101").value();
    broken.backup = "20260123T020000Z-0001";
    const Bytes envelope = crypto::seal_envelope(world.keys.host.secret.reveal(),
                                                 world.keys.recipients(), *world.random);
    const auto bytes = encode_manifest(broken, world.repository->id(), world.keys.host, envelope);
    ASSERT_TRUE(ok(bytes));
    world.replace(world.name_of(broken).text(), *bytes);
    const CheckReport report = check(CheckLevel::Names);
    EXPECT_FALSE(report.is_healthy());
    EXPECT_TRUE(says(report, "may be deleted before the backup expires"));
}

// ---- Streams
// ------------------------------------------------------------------------------------------------------

TEST_F(CheckTest, HolesGapsAndDamageAreToldApart) {
    put({1, 5000, 6000});
    put({1, 7000, 8000});
    put({1, 8000, 9000});
    ASSERT_TRUE(ok(writer.record_gap({1, 3000, 4000}, "the slot was lost")));
    world.flip(piece({1, 7000, 8000}), 900);
    const CheckReport report = check(CheckLevel::Objects, nullptr);
    ASSERT_EQ(report.streams.size(), 1U);
    EXPECT_EQ(report.streams[0].held,
              (std::vector<StreamRange>{{1, 0, 3000}, {1, 5000, 6000}, {1, 8000, 9000}}));
    EXPECT_EQ(report.streams[0].lost,
              (std::vector<StreamLoss>{{{1, 3000, 4000}, StreamLossKind::Recorded},
                                       {{1, 4000, 5000}, StreamLossKind::Hole},
                                       {{1, 6000, 7000}, StreamLossKind::Hole},
                                       {{1, 7000, 8000}, StreamLossKind::Damaged}}));
    EXPECT_TRUE(says(report,
                     "the stream of prod lacks 0/1B58 to 0/1F40 on timeline 1: the objects that "
                     "held it are damaged"));
    EXPECT_TRUE(says(report,
                     "the stream of prod lacks 0/BB8 to 0/FA0 on timeline 1: lost before it was "
                     "captured, as a gap records"));
}

TEST_F(CheckTest, ARecordedGapAloneIsHealthy) {
    ASSERT_TRUE(ok(writer.record_gap({1, 3000, 4000}, "the slot was lost")));
    put({1, 4000, 5000});
    EXPECT_TRUE(check(CheckLevel::Data).is_healthy());
}

TEST_F(CheckTest, WhatAGatheredPackHoldsIsNotLostWithItsPieces) {
    put({1, 0, 2500}, StreamObject::Gathered);
    world.flip(piece({1, 0, 1000}), 900);
    const CheckReport report = check(CheckLevel::Data);
    EXPECT_TRUE(report.streams[0].lost.empty());
    EXPECT_EQ(report.streams[0].twice, (std::vector<StreamRange>{{1, 1000, 2500}}));
    EXPECT_EQ(names(report.damaged), (std::vector<std::string>{piece({1, 0, 1000})}));
    EXPECT_TRUE(says(report, "more than once, which does no harm"));
}

TEST_F(CheckTest, G1_AnExpiredPieceCountsUntilGatheredPacksHoldIt) {
    put({1, 3000, 4000}, StreamObject::Piece, "20260101");
    put({1, 4000, 5000});
    const CheckReport before = check(CheckLevel::Data);
    EXPECT_TRUE(before.expired.empty());
    EXPECT_TRUE(before.streams[0].lost.empty());
    put({1, 3000, 5000}, StreamObject::Gathered);
    const CheckReport after = check(CheckLevel::Data);
    EXPECT_EQ(after.expired.size(), 1U);
    EXPECT_TRUE(after.streams[0].lost.empty());
    EXPECT_EQ(after.streams[0].twice, (std::vector<StreamRange>{{1, 4000, 5000}}));
}

TEST_F(CheckTest, TimelinesAreWeighedApart) {
    put({2, 2500, 4000});
    put({2, 5000, 6000});
    const CheckReport report = check(CheckLevel::Objects, nullptr);
    EXPECT_EQ(report.streams[0].lost,
              (std::vector<StreamLoss>{{{2, 4000, 5000}, StreamLossKind::Hole}}));
    EXPECT_TRUE(report.streams[0].twice.empty());
}

}  // namespace

}  // namespace lifeboat::repo
