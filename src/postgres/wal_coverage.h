#pragma once

#include <deque>
#include <optional>

#include "base/time.h"
#include "postgres/lsn.h"

namespace lifeboat::postgres {

// Up to which moment of the server's clock all that it had made durable is received. A server that
// is ahead of us sends old WAL with a new time, so what counts is what it said of its end: once we
// have all before an end, we have all that was durable at the last moment of which it said that
// nothing lay behind that end. Pure; one thread.
class WalCoverage {
  public:
    // At `moment` nothing behind `end` was durable on the server.
    void promise(Lsn end, base::Timestamp moment);
    // The latest moment that is covered once everything before `to` is here; nothing when that is
    // no later one than before. Positions never go back between two calls of forget().
    std::optional<base::Timestamp> reach(Lsn to);
    // What is streamed from now on is another way.
    void forget();

  private:
    struct Promise {
        Lsn end;
        base::Timestamp moment;
    };

    static constexpr base::Duration kInterval = std::chrono::milliseconds(10);
    std::deque<Promise> open_;  // both ascending
    // Promises closer than this are one: to forget any of them is safe, since later ones follow.
    base::Duration interval_ = kInterval;
    std::optional<base::Timestamp> newest_;
};

}  // namespace lifeboat::postgres
