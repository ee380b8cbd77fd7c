#pragma once

#include <cstdlib>
#include <memory>
#include <new>

#include "base/bytes.h"
#include "base/files.h"

namespace lifeboat::base {

// Memory that File::bypass_cache() can write from. Its contents start undefined; its size is fixed.
class AlignedBuffer {
  public:
    explicit AlignedBuffer(std::size_t size)
        : size_((size + kDirectAlignment - 1) / kDirectAlignment * kDirectAlignment),
          memory_(new(std::align_val_t(kDirectAlignment)) Byte[size_]) {}

    // The first `count` bytes; `count` must not exceed the size.
    MutableBytes first(std::size_t count) {
        return MutableBytes(memory_.get(), size_).first(count);
    }

  private:
    struct Free {
        void operator()(Byte* memory) const {
            ::operator delete[](memory, std::align_val_t(kDirectAlignment));
        }
    };

    std::size_t size_;
    std::unique_ptr<Byte[], Free> memory_;
};

}  // namespace lifeboat::base
