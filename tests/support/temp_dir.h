#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "base/files.h"

namespace lifeboat::test {

// A directory on the real file system, for one test. The destructor removes it and all that is in
// it.
class TempDir {
  public:
    TempDir() {
        const char* parent = std::getenv("TMPDIR");
        path_ = std::string(parent == nullptr ? "/tmp" : parent) + "/lifeboat-test-XXXXXX";
        if (::mkdtemp(path_.data()) == nullptr) {
            ADD_FAILURE() << "cannot create " << path_;
        }
    }

    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    ~TempDir() {
        base::remove_tree(base::real_files(), path_)
            .discard("a leftover in the temporary directory harms nobody");
    }

    const std::string& path() const { return path_; }

    std::string operator/(std::string_view name) const { return base::join(path_, name); }

  private:
    std::string path_;
};

}  // namespace lifeboat::test
