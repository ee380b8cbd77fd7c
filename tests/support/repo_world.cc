#include "tests/support/repo_world.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "base/check.h"
#include "base/workers.h"
#include "tests/support/expect.h"

namespace lifeboat::test {

using base::Bytes;
using base::BytesView;
using base::Code;
using base::Error;
using base::Result;
using repo::kChunkSize;
using repo::kPageSize;

Bytes noise(std::uint64_t seed, std::size_t size) {
    Bytes out(size);
    base::seeded_random(seed)->fill(out);
    return out;
}

Bytes table_like(std::uint64_t seed, std::size_t size) {
    const auto random = base::seeded_random(seed);
    Bytes out(size);
    for (std::size_t page = 0; page * kPageSize < size; ++page) {
        const std::uint64_t salt = random->u64();
        if (salt % 11 == 0) {
            continue;
        }
        const std::size_t end = std::min(size, (page + 1) * kPageSize);
        for (std::size_t i = page * kPageSize; i < end; ++i) {
            out[i] = static_cast<base::Byte>("the quick brown fox"[(i + salt) % 19]);
        }
        const base::MutableBytes row(&out[page * kPageSize],
                                     std::min<std::size_t>(end - page * kPageSize, 200));
        random->fill(row);
    }
    return out;
}

namespace {

std::vector<crypto::Identity> two_identities(base::Random& random) {
    std::vector<crypto::Identity> out;
    out.push_back(crypto::Identity::generate(random));
    out.push_back(crypto::Identity::generate(random));
    return out;
}

}  // namespace

RepoKeys::RepoKeys(std::uint64_t seed)
    : random(base::seeded_random(seed)),
      identities(two_identities(*random)),
      host(repo::HostKeys::generate(*random)) {}

std::vector<crypto::Recipient> RepoKeys::recipients() const {
    return {identities[0].recipient(), identities[1].recipient()};
}

repo::ReaderKeys RepoKeys::reader() const {
    return {{identities[1]}, std::nullopt, {host.signing_key().verify_key()}};
}

repo::ReaderKeys RepoKeys::host_reader() const {
    return {{}, host.secret, {host.signing_key().verify_key()}};
}

repo::ReaderKeys RepoKeys::stranger() const {
    return {{crypto::Identity::generate(*random)}, std::nullopt, {host.signing_key().verify_key()}};
}

// ---- Capture
// ------------------------------------------------------------------------------------------------------

namespace {

// Chunks of one file go to the lanes in turn, or, with several lanes, from several threads at once.
Result<> capture_file(repo::Capture& capture, const std::string& path, BytesView contents,
                      std::size_t lanes) {
    repo::FileMap meta;
    meta.path = path;
    meta.mode = 0600;
    auto file = capture.add(meta, contents.size());
    if (!file) {
        return std::move(file).error();
    }
    const auto feed = [&](std::size_t lane) -> Result<> {
        for (std::size_t at = lane * kChunkSize; at < contents.size(); at += lanes * kChunkSize) {
            TRY(capture.pages(lane, **file, at,
                              contents.subspan(at, std::min(kChunkSize, contents.size() - at))));
        }
        return {};
    };
    TRY(lanes == 1 ? feed(0) : base::run_parallel(lanes, feed));
    return capture.finish_file(**file, contents.size());
}

Result<repo::Manifest> run_capture(repo::Repository& repository, const repo::HostKeys& host,
                                   const CaptureJob& job, repo::CaptureRequest request,
                                   base::Clock& clock, base::Random& random) {
    const base::StopToken stop;
    repo::CaptureProgress progress;
    auto capture =
        TRY(repo::Capture::begin(repository, host, std::move(request), random, stop, progress));
    for (const auto& [path, contents] : *job.tree) {
        TRY(capture_file(*capture, path, contents, job.lanes));
    }
    for (const repo::DamagedPage& page : job.damage) {
        capture->report_damage(page);
    }
    clock.sleep_for(std::chrono::seconds(1));
    base::Json made = base::Json::object();
    made.set("made_by", "a test");
    return std::move(*capture).commit(clock.now(), job.details != nullptr ? *job.details : made);
}

}  // namespace

Result<repo::Manifest> capture_tree(repo::Repository& repository, const repo::HostKeys& host,
                                    const CaptureJob& job, base::Clock& clock,
                                    base::Random& random) {
    repo::CaptureRequest request;
    request.system = job.system;
    request.engine = "files";
    request.start = clock.now();
    request.manifest_expires = policy::backup_expiry(clock.now(), job.lifetimes.retention);
    request.pack_expires =
        policy::pack_expiry(clock.now(), job.lifetimes.retention, job.lifetimes.rolling);
    request.lanes = job.lanes;
    request.pack_target = job.pack_target;
    request.rewrite = job.rewrite;
    if (job.previous == nullptr) {
        return run_capture(repository, host, job, std::move(request), clock, random);
    }
    const auto maps = TRY(repo::MapIndex::open(repository.store(), repository.id(), *job.previous));
    request.previous = maps.get();
    request.previous_manifest = &job.previous->manifest;
    return run_capture(repository, host, job, std::move(request), clock, random);
}

Result<Tree> restore_tree(repo::Repository& repository, const repo::ManifestName& backup,
                          repo::ReaderKeys& keys) {
    const repo::OpenedManifest opened = TRY(repository.load(backup, keys));
    const auto maps = TRY(repo::MapIndex::open(repository.store(), repository.id(), opened));
    repo::PackSource source(repository.store(), repository.id(), opened.manifest, keys);
    repo::PageReader reader(source);
    Tree tree;
    const auto take = [&](const repo::FileMap& map) -> Result<> {
        if (map.kind != repo::EntryKind::File) {
            return {};
        }
        Bytes contents(map.size);
        TRY(reader.read(map.runs, contents).during("reading '" + map.path + "'"));
        if (base::crc32c(contents) != map.crc) {
            return Error(Code::Bug,
                         "'" + map.path + "' came back with other bytes, and nothing noticed");
        }
        tree.emplace(map.path, std::move(contents));
        return {};
    };
    TRY(maps->for_each(take));
    return tree;
}

// ---- RepoWorld
// ----------------------------------------------------------------------------------------------------

RepoWorld::RepoWorld(std::uint64_t seed)
    : store(store::with_meter(store::memory_store(clock), meter)),
      keys(seed),
      reader(keys.reader()),
      random(base::seeded_random(seed + 1000)) {
    auto created = repo::Repository::create(*store, keys.recipients(), clock, *random);
    EXPECT_TRUE(ok(created));
    repository = std::move(created).value();
}

void RepoWorld::replace(const std::string& name, BytesView bytes) {
    const Bytes copy(bytes.begin(), bytes.end());
    store->remove(name).discard("it may be new");
    EXPECT_TRUE(ok(store->put(name, copy)));
}

void RepoWorld::flip(const std::string& name, std::size_t at) {
    Bytes changed = bytes(name);
    ASSERT_LT(at, changed.size());
    changed[at] ^= 0x20U;
    replace(name, changed);
}

void RepoWorld::remove(const std::string& name) {
    EXPECT_TRUE(ok(store->remove(name)));
}

std::vector<std::string> RepoWorld::names(const std::string& prefix) {
    std::vector<std::string> found;
    const auto listed = store::list_all(*store, prefix);
    EXPECT_TRUE(ok(listed));
    for (const store::ObjectInfo& object : *listed) {
        found.push_back(object.name);
    }
    return found;
}

std::string RepoWorld::only(const std::string& prefix, const std::string& suffix) {
    std::vector<std::string> found = names(prefix);
    std::erase_if(found, [&](const std::string& name) { return !name.ends_with(suffix); });
    EXPECT_EQ(found.size(), 1U) << prefix << "*" << suffix;
    return found.empty() ? "" : found.front();
}

Bytes RepoWorld::bytes(const std::string& name) {
    auto got = store->get(name);
    EXPECT_TRUE(ok(got));
    return got ? std::move(got).value() : Bytes();
}

}  // namespace lifeboat::test
