#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "base/time.h"

namespace lifeboat::store {

struct ObjectInfo {
    std::string name;
    std::uint64_t size = 0;
    base::Timestamp modified;  // by the store's clock
};

// Where objects lie: a flat space of immutable byte strings under names. It knows nothing of what
// they mean. tests/conformance/object_store_contract.h checks all of this on every implementation
// and every decorator.
//
// - Names: 1 to 512 bytes of [A-Za-z0-9._-] in '/'-separated parts, none of which is empty, longer
//   than 255 bytes, "." or "..", nor begins with ".tmp-". Anything else is InvalidInput before the
//   store is asked. No name may be the directory of another ("a" beside "a/b"): a store of files
//   cannot hold both, and says Conflict.
// - Sizes: 0 to kMaxObjectSize bytes. put() of more is InvalidInput, get() of more is Corrupt: no
//   size that a store claims is believed without a bound.
// - Durability: put() returns only once the object and its name would survive a power cut.
// - Atomicity: an object is there whole or not at all, to every reader, at every instant, also
//   after a crash.
// - Immutability: put() never replaces. If the name exists it is Conflict, and the old object is
//   untouched.
// - Failure: an error from put() means that the object is not there, except OutcomeUnknown, and
//   Unavailable after which it may be: look (stat) before you decide. Unavailable is the only code
//   worth a retry.
// - Threads: every call may be made from any thread at any time.
class ObjectStore {
  public:
    static constexpr std::uint64_t kMaxObjectSize = base::kGiB;

    virtual ~ObjectStore() = default;

    virtual base::Result<> put(const std::string& name, base::BytesView bytes) = 0;
    // The whole object. NotFound when it is proven absent. Corrupt, not a short answer, if fewer
    // bytes arrive than the store claims.
    virtual base::Result<base::Bytes> get(const std::string& name) = 0;
    // Exactly out.size() bytes from `offset`; a range that does not lie inside the object is
    // Corrupt.
    virtual base::Result<> get_range(const std::string& name, std::uint64_t offset,
                                     base::MutableBytes out) = 0;
    virtual base::Result<ObjectInfo> stat(const std::string& name) = 0;
    // Calls `each` for every object whose name starts with `prefix`, in byte order of names; `each`
    // returns an error to stop early. An object that is put or removed meanwhile may or may not be
    // seen; all others are.
    virtual base::Result<> list(const std::string& prefix,
                                const std::function<base::Result<>(const ObjectInfo&)>& each) = 0;
    // NotFound when it is not there. The right to delete is not part of a writer's credential.
    virtual base::Result<> remove(const std::string& name) = 0;
    // The store's own time: retention is decided by it, never by ours.
    virtual base::Result<base::Timestamp> now() = 0;
    // For messages: "file:///var/backups", without credentials.
    virtual std::string describe() const = 0;
};

base::Result<> check_object_name(std::string_view name);

// For implementations. What every put() asks first: the name, and the size.
base::Result<> check_put(std::string_view name, std::uint64_t size);
// Corrupt unless `count` bytes from `offset` lie inside an object of `size` bytes.
base::Result<> check_range(std::string_view name, std::uint64_t size, std::uint64_t offset,
                           std::uint64_t count);

// list() into a vector.
base::Result<std::vector<ObjectInfo>> list_all(ObjectStore& store, const std::string& prefix);

}  // namespace lifeboat::store
