#pragma once

#include <cstdio>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/result.h"
#include "base/time.h"
#include "cli/arguments.h"

namespace lifeboat::cli {

enum class Tone { Plain, Good, Warn, Bad, Dim, Bold };

// The exit code of a program that has said all: `code`, or 1 in the place of 0 when standard output
// did not take what was printed, as on a full disk.
int exit_code_of_all_said(int code);

// Where words go. Results on standard output; progress, notes and errors on standard error. Colours
// and moving bars only on a terminal, and never with NO_COLOR. With --json, standard output carries
// exactly one object, whatever happens. One thread at a time, except progress().
class Console {
  public:
    Console(const Common& common, std::string verb);

    bool json() const { return common_.json; }

    bool quiet() const { return common_.quiet; }

    void line(const std::string& text = "");  // result text; nothing with --json
    void note(const std::string& text);       // on standard error; nothing with --quiet or --json
    void complain(const base::Error& error);  // on standard error, also with --quiet; not --json
    std::string tint(Tone tone, const std::string& text) const;
    // Columns are as wide as their longest cell; the first row is the heading.
    void table(const std::vector<std::vector<std::string>>& rows);

    // Ends a verb: prints the JSON result, or the error with its hint. Returns the exit code.
    int finish(const base::Json& result, int exit_code = 0);
    int fail(const base::Error& error);

    // Shows `describe` every so often until the returned guard dies: a bar on a terminal, a line
    // every ten seconds elsewhere.
    struct Tick {
        std::string label;
        std::uint64_t done = 0;
        std::uint64_t expected = 0;  // 0: unknown
    };

    std::shared_ptr<void> progress(std::function<Tick()> look);

  private:
    const Common common_;
    const std::string verb_;
    const bool terminal_;  // standard error is one
    const bool colour_;
};

}  // namespace lifeboat::cli
