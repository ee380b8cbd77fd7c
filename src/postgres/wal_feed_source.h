#pragma once

#include <memory>
#include <string>

#include "base/files.h"
#include "base/stop.h"
#include "postgres/wal_feed_plan.h"
#include "repo/stream.h"

namespace lifeboat::postgres {

// Makes the WAL segments of a plan from the repository, and from what the backup brought along in
// pg_wal. One thread at a time; what is passed must outlive it.
class FeedSource {
  public:
    FeedSource(base::Files& files, std::string target, const FeedPlan& plan,
               repo::Repository& repository, repo::ReaderKeys& keys, const base::StopToken& stop);

    // Writes a whole segment file at `path`, which must not exist as anything but a leftover of
    // ours. Not durable: a server syncs what it takes. Any failure means that the segment is there,
    // in the repository, and could not be read (T13): none is NotFound.
    Result<> write(const FeedSegment& segment, TimelineId timeline, std::uint64_t number,
                   const std::string& path);

  private:
    Result<> copy(const FeedPart& part, Lsn start, base::File& out);
    Result<> fill(TimelineId timeline, Lsn from, base::MutableBytes out);
    Result<bool> fill_locally(TimelineId timeline, Lsn from, base::MutableBytes out);
    Result<> fill_from_stream(TimelineId timeline, Lsn from, base::MutableBytes out);
    Result<> read_stream(TimelineId timeline, Lsn from, base::MutableBytes out);
    Result<> list_again();

    base::Files& files_;
    const std::string target_;
    const FeedPlan& plan_;
    repo::Repository& repository_;
    repo::ReaderKeys& keys_;
    const base::StopToken& stop_;
    std::unique_ptr<repo::StreamCatalog> catalog_;  // what reader_ borrows
    std::unique_ptr<repo::StreamReader> reader_;
    base::Bytes buffer_;
};

}  // namespace lifeboat::postgres
