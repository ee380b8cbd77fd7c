#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/error.h"

namespace lifeboat::config {

// A place in the configuration file; both count from 1.
struct Mark {
    int line = 1;
    int column = 1;
    auto operator<=>(const Mark&) const = default;
};

// Collects what is wrong with one file, so that a user mends it in one go. One thread.
class Problems {
  public:
    explicit Problems(std::string file_name) : file_name_(std::move(file_name)) {}

    void add(Mark mark, std::string text, std::string hint = {});
    // For what is possible but unsafe: makes the whole failure Refused.
    void refuse(Mark mark, std::string text, std::string hint);

    bool any() const { return !problems_.empty(); }

    // All of them, in the order of the file. There must be one.
    base::Error error() &&;

  private:
    struct Problem {
        base::Code code;
        Mark mark;
        std::size_t number;  // keeps the order of those at the same place
        std::string text;
        std::string hint;
    };

    void collect(base::Code code, Mark mark, std::string text, std::string hint);
    std::string line_of(const Problem& problem) const;

    std::string file_name_;
    std::vector<Problem> problems_;
};

}  // namespace lifeboat::config
