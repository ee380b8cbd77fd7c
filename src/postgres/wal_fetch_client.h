#pragma once

namespace lifeboat::postgres {

// The program behind restore_command: `PROGRAM wal-fetch [ARGUMENT]... FILE PATH`, run by the
// server in its data directory for every file that it asks for. Opens no repository: it asks the
// resident feeder, and where there is none it starts `PROGRAM wal-feed [ARGUMENT]...` with the same
// arguments, which serves until recovery is over.
//
// Exit codes are a contract with the server, for which anything below 126 is the end of the
// archive, where it opens for writes (T13):
//
//   0    FILE is at PATH, whole
//   1    FILE is proven absent: the plan does not have it
//   254  everything else, with a sentence on standard error: the server must stop
inline constexpr int kFetchFound = 0;
inline constexpr int kFetchAbsent = 1;
inline constexpr int kFetchFailed = 254;

int wal_fetch_main(int argc, char** argv);

}  // namespace lifeboat::postgres
