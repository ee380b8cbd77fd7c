#include "store/decorators.h"

namespace lifeboat::store {

namespace {

using base::Bytes;
using base::BytesView;
using base::Result;

class MeterStore final : public ObjectStore {
  public:
    MeterStore(std::unique_ptr<ObjectStore> inner, std::shared_ptr<Meter> meter)
        : inner_(std::move(inner)), meter_(std::move(meter)) {}

    Result<> put(const std::string& name, BytesView bytes) override {
        ++meter_->puts;
        return counted(inner_->put(name, bytes), meter_->bytes_put, bytes.size());
    }

    Result<Bytes> get(const std::string& name) override {
        ++meter_->gets;
        auto answer = inner_->get(name);
        const std::uint64_t size = answer ? answer->size() : 0;
        return counted(std::move(answer), meter_->bytes_got, size);
    }

    Result<> get_range(const std::string& name, std::uint64_t offset,
                       base::MutableBytes out) override {
        ++meter_->gets;
        return counted(inner_->get_range(name, offset, out), meter_->bytes_got, out.size());
    }

    Result<ObjectInfo> stat(const std::string& name) override {
        ++meter_->stats;
        return counted(inner_->stat(name));
    }

    Result<> list(const std::string& prefix,
                  const std::function<Result<>(const ObjectInfo&)>& each) override;

    Result<> remove(const std::string& name) override {
        ++meter_->removes;
        return counted(inner_->remove(name));
    }

    Result<base::Timestamp> now() override { return counted(inner_->now()); }

    std::string describe() const override { return inner_->describe(); }

  private:
    template <class T>
    Result<T> counted(Result<T> answer) {
        meter_->failures += answer ? 0 : 1;
        return answer;
    }

    template <class T>
    Result<T> counted(Result<T> answer, std::atomic<std::uint64_t>& bytes, std::uint64_t size) {
        bytes += answer ? size : 0;
        return counted(std::move(answer));
    }

    const std::unique_ptr<ObjectStore> inner_;
    const std::shared_ptr<Meter> meter_;  // owned by the caller, who reads it, and by this store
};

Result<> MeterStore::list(const std::string& prefix,
                          const std::function<Result<>(const ObjectInfo&)>& each) {
    ++meter_->lists;
    bool stopped = false;
    auto answer = inner_->list(prefix, [&](const ObjectInfo& object) {
        auto shown = each(object);
        stopped = !shown;
        return shown;
    });
    if (stopped) {
        return answer;
    }
    return counted(std::move(answer));
}

}  // namespace

std::unique_ptr<ObjectStore> with_meter(std::unique_ptr<ObjectStore> inner,
                                        std::shared_ptr<Meter> meter) {
    return std::make_unique<MeterStore>(std::move(inner), std::move(meter));
}

}  // namespace lifeboat::store
