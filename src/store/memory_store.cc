#include <algorithm>
#include <map>

#include "base/mutex.h"
#include "store/decorators.h"

namespace lifeboat::store {

namespace {

using base::Bytes;
using base::BytesView;
using base::Code;
using base::Error;
using base::Result;

class MemoryStore final : public ObjectStore {
  public:
    explicit MemoryStore(base::Clock& clock) : clock_(clock) {}

    Result<> put(const std::string& name, BytesView bytes) override;
    Result<Bytes> get(const std::string& name) override;
    Result<> get_range(const std::string& name, std::uint64_t offset,
                       base::MutableBytes out) override;
    Result<ObjectInfo> stat(const std::string& name) override;
    Result<> list(const std::string& prefix,
                  const std::function<Result<>(const ObjectInfo&)>& each) override;
    Result<> remove(const std::string& name) override;

    Result<base::Timestamp> now() override { return clock_.now(); }

    std::string describe() const override { return "memory:"; }

  private:
    struct Object {
        std::shared_ptr<const Bytes>
            bytes;  // owned by the map and by the readers that copy from it without the lock
        base::Timestamp modified;
    };

    Result<Object> find(const std::string& name);

    base::Clock& clock_;
    base::Mutex mutex_;
    std::map<std::string, Object> objects_ LB_GUARDED_BY(mutex_);
};

Error no_such_object(const std::string& name) {
    return Error(Code::NotFound, "object '" + name + "' does not exist");
}

Result<> MemoryStore::put(const std::string& name, BytesView bytes) {
    TRY(check_put(name, bytes.size()));
    Object object{std::make_shared<const Bytes>(bytes.begin(), bytes.end()), clock_.now()};
    const base::Lock lock(mutex_);
    if (!objects_.try_emplace(name, std::move(object)).second) {
        return Error(Code::Conflict, "object '" + name + "' exists already");
    }
    return {};
}

Result<MemoryStore::Object> MemoryStore::find(const std::string& name) {
    TRY(check_object_name(name));
    const base::Lock lock(mutex_);
    const auto found = objects_.find(name);
    if (found == objects_.end()) {
        return no_such_object(name);
    }
    return found->second;
}

Result<Bytes> MemoryStore::get(const std::string& name) {
    const Object object = TRY(find(name));
    return *object.bytes;
}

Result<> MemoryStore::get_range(const std::string& name, std::uint64_t offset,
                                base::MutableBytes out) {
    const Object object = TRY(find(name));
    const std::uint64_t size = object.bytes->size();
    TRY(check_range(name, size, offset, out.size()));
    std::copy_n(object.bytes->begin() + static_cast<std::ptrdiff_t>(offset), out.size(),
                out.begin());
    return {};
}

Result<ObjectInfo> MemoryStore::stat(const std::string& name) {
    const Object object = TRY(find(name));
    return ObjectInfo{name, object.bytes->size(), object.modified};
}

Result<> MemoryStore::list(const std::string& prefix,
                           const std::function<Result<>(const ObjectInfo&)>& each) {
    std::vector<ObjectInfo> found;
    {
        const base::Lock lock(mutex_);
        for (auto at = objects_.lower_bound(prefix);
             at != objects_.end() && at->first.starts_with(prefix); ++at) {
            found.push_back({at->first, at->second.bytes->size(), at->second.modified});
        }
    }
    for (const ObjectInfo& object : found) {
        TRY(each(object));
    }
    return {};
}

Result<> MemoryStore::remove(const std::string& name) {
    TRY(check_object_name(name));
    const base::Lock lock(mutex_);
    if (objects_.erase(name) == 0) {
        return no_such_object(name);
    }
    return {};
}

}  // namespace

std::unique_ptr<ObjectStore> memory_store(base::Clock& clock) {
    return std::make_unique<MemoryStore>(clock);
}

}  // namespace lifeboat::store
