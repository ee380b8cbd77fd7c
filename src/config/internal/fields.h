#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "config/internal/yaml_tree.h"
#include "config/keys.h"
#include "config/secret_ref.h"

namespace lifeboat::config {

// Turns relative paths into ones that start where the file lies.
class PathBase {
  public:
    explicit PathBase(const std::string& file_name);
    std::string resolve(std::string_view path) const;

  private:
    std::string directory_;
};

// Reads one mapping of the file by its table of keys. The constructor reports unknown and missing
// keys; each getter reports a value of the wrong type or out of range and then returns
// `otherwise`, so that reading goes on and finds the next problem. Every key of the table must be
// asked for before finish(): a key that is known and never read would be silently ignored.
// Borrows everything; lives for one function.
class Fields {
  public:
    // `where` names the mapping for people: "systems.main-db".
    Fields(const Node& mapping, std::string_view path, std::string where, const PathBase& paths,
           Problems& problems);
    void finish() const;

    // The value of `key`, whatever it is; nullptr when it is absent.
    const Node* value(std::string_view key);
    // The value if it is of that kind; nullptr, reported unless it is absent, otherwise.
    const Node* mapping(std::string_view key);
    const Node* list(std::string_view key);

    std::string text(std::string_view key, std::string otherwise);
    std::string name(std::string_view key, std::string otherwise);
    std::string path(std::string_view key, std::string otherwise);
    // A path that may also be written as ${file:PATH}: the file is the secret, and stays one.
    std::string key_file(std::string_view key, std::string otherwise);
    bool boolean(std::string_view key, bool otherwise);
    int integer(std::string_view key, int otherwise, int least, int most);
    base::Duration duration(std::string_view key, base::Duration otherwise, base::Duration least,
                            base::Duration most);
    std::chrono::days days(std::string_view key, std::chrono::days otherwise,
                           std::chrono::days most);
    std::uint64_t size(std::string_view key, std::uint64_t otherwise, std::uint64_t least);
    // The index of the word.
    std::size_t choice(std::string_view key, std::size_t otherwise,
                       std::initializer_list<std::string_view> words);
    std::optional<SecretRef> secret(
        std::string_view key);  // a literal value is reported by refuse_literal_secrets
    std::vector<std::string> texts(std::string_view key);  // a list of texts

    std::string where(std::string_view key) const;  // "systems.main-db.backup"

    Mark mark() const { return mapping_.mark; }

    const PathBase& paths() const { return paths_; }

    Problems& problems() { return problems_; }

  private:
    const Node* scalar(std::string_view key, std::string_view expectation);
    void report_unknown(const Node::Key& key);
    void report_expected(const Node& found, std::string_view what);

    const Node& mapping_;
    const SectionSpec& spec_;
    std::string where_;
    const PathBase& paths_;
    Problems& problems_;
    std::vector<std::string_view> asked_;
};

// Reports a scalar that is no plain text of one line: empty, a reference where none is read, a
// line break.
bool check_text(const Node& scalar, Problems& problems);

// Reports a name that is not [a-z0-9-]{1,40}.
bool check_name(std::string_view name, Mark mark, Problems& problems);

}  // namespace lifeboat::config
