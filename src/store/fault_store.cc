#include "store/decorators.h"

namespace lifeboat::store {

namespace {

using base::Bytes;
using base::BytesView;
using base::Code;
using base::Error;
using base::MutableBytes;
using base::Result;

class FaultStore final : public ObjectStore {
  public:
    FaultStore(std::unique_ptr<ObjectStore> inner, FaultPlan decide)
        : inner_(std::move(inner)), decide_(std::move(decide)) {}

    Result<> put(const std::string& name, BytesView bytes) override {
        return suffer<void>(Operation::Put, name, [&] { return inner_->put(name, bytes); });
    }

    Result<Bytes> get(const std::string& name) override;
    Result<> get_range(const std::string& name, std::uint64_t offset, MutableBytes out) override;

    Result<ObjectInfo> stat(const std::string& name) override {
        return suffer<ObjectInfo>(Operation::Stat, name, [&] { return inner_->stat(name); });
    }

    Result<> list(const std::string& prefix,
                  const std::function<Result<>(const ObjectInfo&)>& each) override {
        return suffer<void>(Operation::List, prefix, [&] { return inner_->list(prefix, each); });
    }

    Result<> remove(const std::string& name) override {
        return suffer<void>(Operation::Remove, name, [&] { return inner_->remove(name); });
    }

    Result<base::Timestamp> now() override { return inner_->now(); }

    std::string describe() const override { return inner_->describe(); }

  private:
    // The faults that do not touch the bytes.
    template <class T, class Call>
    Result<T> suffer(Operation operation, const std::string& name, const Call& call) {
        return suffer<T>(decide_(operation, name), operation, name, call);
    }
    template <class T, class Call>
    Result<T> suffer(Fault fault, Operation operation, const std::string& name, const Call& call);

    const std::unique_ptr<ObjectStore> inner_;
    const FaultPlan decide_;
};

template <class T, class Call>
Result<T> FaultStore::suffer(Fault fault, Operation operation, const std::string& name,
                             const Call& call) {
    if (fault == Fault::Fail) {
        return Error(Code::Unavailable, "injected failure at '" + name + "'");
    }
    if (fault == Fault::Deny) {
        return Error(Code::Denied, "injected denial at '" + name + "'");
    }
    if (fault == Fault::NoSpace && operation == Operation::Put) {
        return Error(Code::NoSpace, "injected lack of space at '" + name + "'");
    }
    Result<T> answer = call();
    if (fault == Fault::LoseReply) {
        return Error(Code::Unavailable, "injected loss of the reply at '" + name + "'");
    }
    return answer;
}

// What a store must make of a transfer that ends early.
Result<> truncated(Fault fault, const std::string& name, std::size_t size) {
    if (fault == Fault::Truncate && size > 0) {
        return Error(Code::Corrupt, "object '" + name + "' ended after " +
                                        std::to_string(size / 2) + " of " + std::to_string(size) +
                                        " bytes");
    }
    return {};
}

void flip(Fault fault, MutableBytes bytes) {
    if (fault == Fault::FlipBit && !bytes.empty()) {
        bytes[bytes.size() / 2] ^= 1U;
    }
}

Result<Bytes> FaultStore::get(const std::string& name) {
    const Fault fault = decide_(Operation::Get, name);
    Bytes bytes =
        TRY(suffer<Bytes>(fault, Operation::Get, name, [&] { return inner_->get(name); }));
    TRY(truncated(fault, name, bytes.size()));
    flip(fault, bytes);
    return bytes;
}

Result<> FaultStore::get_range(const std::string& name, std::uint64_t offset, MutableBytes out) {
    const Fault fault = decide_(Operation::GetRange, name);
    TRY(suffer<void>(fault, Operation::GetRange, name,
                     [&] { return inner_->get_range(name, offset, out); }));
    TRY(truncated(fault, name, out.size()));
    flip(fault, out);
    return {};
}

}  // namespace

std::unique_ptr<ObjectStore> with_faults(std::unique_ptr<ObjectStore> inner, FaultPlan decide) {
    return std::make_unique<FaultStore>(std::move(inner), std::move(decide));
}

}  // namespace lifeboat::store
