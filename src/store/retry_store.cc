// The one place that retries. Tested by decorators_test.cc and, over faults at random, by
// tests/conformance.
//
// Reads are easy: ask again. A put is not, because Unavailable may mean that the bytes arrived and
// only the reply was lost. Then the next try meets our own object and is told Conflict. So once a
// try may have landed, no other answer than success is believed before the object itself was looked
// at:
//
//     what lies there      | Conflict means          | any other error means
//     our bytes            | success                 | success
//     other bytes          | Conflict                | Conflict
//     nothing              | try again               | that error
//     the look failed      | OutcomeUnknown          | OutcomeUnknown
//
// A store's own OutcomeUnknown is passed on as it is: it may mean "there, but perhaps not durable",
// which no look can tell.

#include <algorithm>
#include <optional>

#include "store/decorators.h"

namespace lifeboat::store {

namespace {

using base::Bytes;
using base::BytesView;
using base::Code;
using base::Duration;
using base::Error;
using base::Result;

constexpr Duration kStopIsSeenWithin = std::chrono::milliseconds(100);

class RetryStore final : public ObjectStore {
  public:
    RetryStore(std::unique_ptr<ObjectStore> inner, Backoff backoff, base::Clock& clock,
               base::Random& random, const base::StopToken& stop)
        : inner_(std::move(inner)),
          backoff_(backoff),
          clock_(clock),
          random_(random),
          stop_(stop) {}

    Result<> put(const std::string& name, BytesView bytes) override;
    Result<Bytes> get(const std::string& name) override;
    Result<> get_range(const std::string& name, std::uint64_t offset,
                       base::MutableBytes out) override;
    Result<ObjectInfo> stat(const std::string& name) override;
    Result<> list(const std::string& prefix,
                  const std::function<Result<>(const ObjectInfo&)>& each) override;
    Result<> remove(const std::string& name) override;
    Result<base::Timestamp> now() override;

    std::string describe() const override { return inner_->describe(); }

  private:
    enum class Found { OurBytes, OtherBytes, Nothing };

    // Makes `call` until it answers anything but Unavailable, or the tries are used up, or a stop
    // is requested.
    template <class Call>
    auto persist(const Call& call) -> decltype(call());
    Result<> wait_before(int attempt);
    Result<Found> look(const std::string& name, BytesView bytes);
    Result<> settle_put(const std::string& name, BytesView bytes, Error answer);

    const std::unique_ptr<ObjectStore> inner_;
    const Backoff backoff_;
    base::Clock& clock_;
    base::Random& random_;
    const base::StopToken& stop_;
};

template <class Call>
auto RetryStore::persist(const Call& call) -> decltype(call()) {
    for (int attempt = 1;; ++attempt) {
        auto answer = call();
        if (answer.has_value() || !is_transient(answer.error().code())) {
            return answer;
        }
        if (attempt >= backoff_.attempts) {
            return std::move(answer).during("after " + std::to_string(attempt) + " tries");
        }
        TRY(wait_before(attempt + 1));
    }
}

// Full jitter: anything between nothing and the doubled ceiling, so that hosts that failed together
// do not return together.
Result<> RetryStore::wait_before(int attempt) {
    Duration ceiling = std::min(backoff_.first, backoff_.most);
    for (int i = 2; i < attempt && ceiling < backoff_.most; ++i) {
        ceiling = std::min(ceiling * 2, backoff_.most);
    }
    const auto choices =
        static_cast<std::uint64_t>(std::max<Duration::rep>(ceiling.count(), 0)) + 1;
    Duration left(static_cast<Duration::rep>(random_.u64() % choices));
    TRY(stop_.check());
    while (left > Duration::zero()) {
        const Duration slice = std::min(left, kStopIsSeenWithin);
        clock_.sleep_for(slice);
        left -= slice;
        TRY(stop_.check());
    }
    return {};
}

Result<> RetryStore::put(const std::string& name, BytesView bytes) {
    TRY(check_put(name, bytes.size()));
    bool may_have_landed = false;
    auto answer = persist([&]() -> Result<> {
        auto tried = inner_->put(name, bytes);
        if (!tried && may_have_landed && !is_transient(tried.error().code()) &&
            tried.error().code() != Code::OutcomeUnknown) {
            return settle_put(name, bytes, std::move(tried).error());
        }
        may_have_landed = may_have_landed || (!tried && is_transient(tried.error().code()));
        return tried;
    });
    if (!answer && may_have_landed && answer.error().code() == Code::Cancelled) {
        return std::move(answer)
            .error()
            .recode(Code::OutcomeUnknown)
            .during("putting object '" + name + "', which may have landed");
    }
    return answer;
}

Result<> RetryStore::settle_put(const std::string& name, BytesView bytes, Error answer) {
    auto found = look(name, bytes);
    if (!found) {
        return std::move(found)
            .error()
            .recode(Code::OutcomeUnknown)
            .during("looking whether an earlier try to put object '" + name + "' landed")
            .hint("The object may be in " + inner_->describe() +
                  ": look there before it is put again.");
    }
    switch (*found) {
        case Found::OurBytes:
            return {};
        case Found::OtherBytes:
            return Error(Code::Conflict, "object '" + name + "' exists already, with other bytes");
        case Found::Nothing:
            break;
    }
    if (answer.code() == Code::Conflict) {
        return std::move(answer)
            .recode(Code::Unavailable)
            .during("object '" + name + "' was there and is gone");
    }
    return answer;
}

Result<RetryStore::Found> RetryStore::look(const std::string& name, BytesView bytes) {
    const auto info = stat(name);
    if (!info && info.error().code() == Code::NotFound) {
        return Found::Nothing;
    }
    if (!info) {
        return info.error().clone();
    }
    if (info->size != bytes.size()) {
        return Found::OtherBytes;
    }
    auto there = get(name);
    if (!there && there.error().code() == Code::NotFound) {
        return Found::Nothing;
    }
    const Bytes stored = TRY(std::move(there));
    return std::ranges::equal(stored, bytes) ? Found::OurBytes : Found::OtherBytes;
}

Result<Bytes> RetryStore::get(const std::string& name) {
    return persist([&] { return inner_->get(name); });
}

Result<> RetryStore::get_range(const std::string& name, std::uint64_t offset,
                               base::MutableBytes out) {
    return persist([&] { return inner_->get_range(name, offset, out); });
}

Result<ObjectInfo> RetryStore::stat(const std::string& name) {
    return persist([&] { return inner_->stat(name); });
}

Result<> RetryStore::list(const std::string& prefix,
                          const std::function<Result<>(const ObjectInfo&)>& each) {
    std::string
        last;  // the names ascend, so a new start skips what was shown; no object has an empty name
    std::optional<Error> refusal;
    auto answer = persist([&]() -> Result<> {
        auto listed = inner_->list(prefix, [&](const ObjectInfo& object) -> Result<> {
            if (object.name <= last) {
                return {};
            }
            last = object.name;
            auto shown = each(object);
            if (shown) {
                return {};
            }
            refusal.emplace(std::move(shown).error());
            return Error(Code::Cancelled, "the reader of the list stopped");
        });
        return refusal ? Result<>() : std::move(listed);
    });
    if (refusal) {
        return *std::move(refusal);
    }
    return answer;
}

Result<> RetryStore::remove(const std::string& name) {
    bool may_have_landed = false;
    auto answer = persist([&]() -> Result<> {
        auto tried = inner_->remove(name);
        if (!tried && may_have_landed && tried.error().code() == Code::NotFound) {
            return {};
        }
        may_have_landed = may_have_landed || (!tried && is_transient(tried.error().code()));
        return tried;
    });
    if (!answer && may_have_landed && answer.error().code() == Code::Cancelled) {
        return std::move(answer)
            .error()
            .recode(Code::OutcomeUnknown)
            .during("removing object '" + name + "', which may be gone");
    }
    return answer;
}

Result<base::Timestamp> RetryStore::now() {
    return persist([&] { return inner_->now(); });
}

}  // namespace

std::unique_ptr<ObjectStore> with_retry(std::unique_ptr<ObjectStore> inner, Backoff backoff,
                                        base::Clock& clock, base::Random& random,
                                        const base::StopToken& stop) {
    return std::make_unique<RetryStore>(std::move(inner), backoff, clock, random, stop);
}

}  // namespace lifeboat::store
