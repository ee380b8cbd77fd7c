#include "postgres/validation.h"

#include <algorithm>
#include <atomic>

#include "base/mutex.h"
#include "base/workers.h"
#include "postgres/conninfo.h"
#include "postgres/data_directory.h"
#include "postgres/page_check.h"

// Tested by validation_test.cc and tests/e2e/recovery_test.cc.

namespace lifeboat::postgres {

namespace {

using engine::StartReport;
using engine::StartRequest;

constexpr std::size_t kCheckers = 2;
constexpr std::uint64_t kReadSize = base::kMiB;
constexpr int kRereads = 10;
constexpr auto kRereadPause = std::chrono::milliseconds(20);

void add_finding(std::vector<std::string>& findings, std::string finding) {
    if (findings.size() < kMaxFindings) {
        findings.push_back(std::move(finding));
    } else if (findings.size() == kMaxFindings) {
        findings.emplace_back("More findings are not listed.");
    }
}

}  // namespace

// ---- Pages
// ----------------------------------------------------------------------------------------------------------

namespace {

class PageChecker {
  public:
    PageChecker(base::Files& files, base::Clock& clock, const base::StopToken& stop,
                const BackupDetails& details, std::vector<std::string>& findings)
        : files_(files), clock_(clock), stop_(stop), details_(details), findings_(findings) {}

    Result<std::uint64_t> run(const std::vector<FoundFile>& found) {
        std::vector<const FoundFile*> relations;
        for (const FoundFile& file : found) {
            if (file.relation && !file.relation->backend) {
                relations.push_back(&file);
            }
        }
        std::atomic<std::size_t> next = 0;
        const auto body = [&](std::size_t) -> Result<> {
            base::Bytes buffer(kReadSize);
            for (std::size_t i = next++; i < relations.size(); i = next++) {
                TRY(check(*relations[i], buffer));
            }
            return {};
        };
        TRY(base::run_parallel(kCheckers, body));
        return pages_.load();
    }

  private:
    Result<> check(const FoundFile& found, base::Bytes& buffer);
    Result<> settle(const FoundFile& found, base::File& file, std::uint64_t offset,
                    std::uint32_t block, PageVerdict verdict);

    PageVerdict judge(base::BytesView page, std::uint32_t block) const {
        return check_page(page, block, {}, details_.checksums ? Checksums::On : Checksums::Off);
    }

    base::Files& files_;
    base::Clock& clock_;
    const base::StopToken& stop_;
    const BackupDetails& details_;
    std::atomic<std::uint64_t> pages_ = 0;
    base::Mutex mutex_;
    std::vector<std::string>& findings_ LB_GUARDED_BY(mutex_);
};

bool is_bad(PageVerdict verdict) {
    return verdict == PageVerdict::BadChecksum || verdict == PageVerdict::BadHeader;
}

Result<> PageChecker::check(const FoundFile& found, base::Bytes& buffer) {
    const auto opened = files_.open(found.absolute, base::OpenMode::Read);
    if (!opened) {
        return opened.error().code() == Code::NotFound
                   ? Result<>()
                   : Result<>(opened.error().clone());  // dropped meanwhile
    }
    base::File& file = **opened;
    const std::uint32_t size = details_.block_size;
    const std::uint32_t first =
        absolute_block(found.relation->segment, 0, details_.relation_segment_size / size);
    for (std::uint64_t offset = 0;; offset += buffer.size()) {
        TRY(stop_.check());
        const std::size_t got = TRY(file.read_at(offset, buffer));
        for (std::size_t at = 0; at + size <= got; at += size) {
            const auto block = first + static_cast<std::uint32_t>((offset + at) / size);
            const PageVerdict verdict = judge({buffer.data() + at, size}, block);
            if (is_bad(verdict)) {
                TRY(settle(found, file, offset + at, block, verdict));
            }
        }
        pages_ += got / size;
        if (got < buffer.size()) {
            return {};
        }
    }
}

Result<> PageChecker::settle(const FoundFile& found, base::File& file, std::uint64_t offset,
                             std::uint32_t block, PageVerdict verdict) {
    base::Bytes page(details_.block_size);
    for (int i = 0; i < kRereads && is_bad(verdict); ++i) {
        clock_.sleep_for(kRereadPause);
        const std::size_t got = TRY(file.read_at(offset, page));
        if (got < page.size()) {
            return {};  // cut off meanwhile
        }
        verdict = judge(page, block);
    }
    if (is_bad(verdict)) {
        const base::Lock lock(mutex_);
        add_finding(findings_, "Page " + std::to_string(block) + " of '" + found.path +
                                   "': " + std::string(name(verdict)) + ".");
    }
    return {};
}

}  // namespace

Result<std::uint64_t> check_pages(base::Files& files, base::Clock& clock,
                                  const base::StopToken& stop, const std::string& directory,
                                  const BackupDetails& details,
                                  std::vector<std::string>& findings) {
    DirectoryRules rules;
    rules.version_directory = details.version_directory;
    const DataDirectory found = TRY(scan_data_directory(files, directory, rules));
    return PageChecker(files, clock, stop, details, findings)
        .run(found.files)
        .during("checking the pages in '" + directory + "'");
}

// ---- Structure
// ------------------------------------------------------------------------------------------------------

namespace {

constexpr const char* kBtrees =
    "SELECT c.oid::text AS oid, c.oid::regclass::text AS name FROM pg_index i JOIN pg_class c ON "
    "c.oid = i.indexrelid "
    "JOIN pg_am a ON a.oid = c.relam WHERE a.amname = 'btree' AND c.relkind = 'i' AND "
    "c.relpersistence = 'p' "
    "AND i.indisvalid AND i.indisready ORDER BY c.oid";
constexpr const char* kHeaps =
    "SELECT c.oid::text AS oid, c.oid::regclass::text AS name FROM pg_class c JOIN pg_am a ON "
    "a.oid = c.relam "
    "WHERE a.amname = 'heap' AND c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p' ORDER BY "
    "c.oid";
constexpr const char* kDatabases =
    "SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname";
constexpr const char* kScratchSchema = "lifeboat_check";

// The checks of one database, inside one transaction that never commits.
class StructureChecker {
  public:
    StructureChecker(Connection& session, std::string database, base::Duration limit,
                     std::vector<std::string>& findings)
        : session_(session), database_(std::move(database)), limit_(limit), findings_(findings) {}

    Result<> run() {
        TRY(session_.exec("BEGIN; CREATE SCHEMA " + std::string(kScratchSchema)));
        const std::string amcheck = extension("amcheck");
        const std::string visibility = extension("pg_visibility");
        if (!amcheck.empty()) {
            TRY(each(kBtrees, [&](const std::string& oid, const std::string& name) {
                return check_btree(amcheck, oid, name);
            }));
            TRY(each(kHeaps, [&](const std::string& oid, const std::string& name) {
                return check_heap(amcheck, oid, name);
            }));
        }
        if (!visibility.empty()) {
            TRY(each(kHeaps, [&](const std::string& oid, const std::string& name) {
                return check_visibility(visibility, oid, name);
            }));
        }
        return session_.exec("ROLLBACK");
    }

  private:
    using Check = std::function<Result<>(const std::string& oid, const std::string& name)>;

    // The schema of the extension's functions, quoted; empty, with a finding, when it cannot be
    // had.
    std::string extension(const std::string& name) {
        const auto wanted = [&]() -> Result<std::string> {
            TRY(session_.exec("SAVEPOINT lifeboat"));
            TRY(session_.exec("CREATE EXTENSION IF NOT EXISTS " + name + " SCHEMA " +
                              kScratchSchema));
            const QueryResult rows =
                TRY(session_.query("SELECT n.nspname FROM pg_extension e JOIN pg_namespace n ON "
                                   "n.oid = e.extnamespace WHERE e.extname = '" +
                                   name + "'"));
            const std::string schema = TRY(rows.text(0, "nspname"));
            return quote_identifier(schema);
        };
        auto schema = wanted();
        if (schema) {
            return *std::move(schema);
        }
        session_.exec("ROLLBACK TO SAVEPOINT lifeboat").discard("the next command says so too");
        add_finding(findings_, "Database '" + database_ + "' was not checked with " + name + ": " +
                                   schema.error().message() + ".");
        return {};
    }

    Result<> each(const char* relations, const Check& check) {
        const QueryResult rows = TRY(session_.query(relations));
        for (std::size_t i = 0; i < rows.rows.size(); ++i) {
            const std::string oid = TRY(rows.text(i, "oid"));
            const std::string name = TRY(rows.text(i, "name"));
            TRY(session_.exec("SAVEPOINT lifeboat"));
            const auto done = check(oid, name);
            if (!done && !session_.is_open()) {
                return done.error().clone();
            }
            if (!done) {
                add_finding(findings_, "'" + name + "' in database '" + database_ +
                                           "': " + done.error().message() + ".");
            }
            TRY(session_.exec("ROLLBACK TO SAVEPOINT lifeboat"));
        }
        return {};
    }

    Result<> check_btree(const std::string& schema, const std::string& oid, const std::string&) {
        const auto done = session_.query(
            "SELECT " + schema + ".bt_index_check(" + oid + "::regclass, true)", {}, limit_);
        return done ? Result<>() : Result<>(done.error().clone());
    }

    Result<> check_heap(const std::string& schema, const std::string& oid,
                        const std::string& name) {
        if (session_.server_version() < 140000) {
            return {};  // verify_heapam came with 14
        }
        return none_of(
            "SELECT count(*) AS bad, coalesce(min('block ' || blkno || ': ' || msg), '') AS first "
            "FROM " +
                schema + ".verify_heapam(" + oid + "::regclass)",
            name, "damaged tuples");
    }

    Result<> check_visibility(const std::string& schema, const std::string& oid,
                              const std::string& name) {
        TRY(none_of("SELECT count(*) AS bad, coalesce(min(t_ctid::text), '') AS first FROM " +
                        schema + ".pg_check_visible(" + oid + "::regclass)",
                    name, "tuples that are marked visible to all and are not"));
        return none_of("SELECT count(*) AS bad, coalesce(min(t_ctid::text), '') AS first FROM " +
                           schema + ".pg_check_frozen(" + oid + "::regclass)",
                       name, "tuples that are marked frozen and are not");
    }

    Result<> none_of(const std::string& sql, const std::string& name, const std::string& what) {
        const QueryResult rows = TRY(session_.query(sql, {}, limit_));
        const std::int64_t bad = TRY(rows.integer(0, "bad"));
        if (bad > 0) {
            const std::string first = TRY(rows.text(0, "first"));
            add_finding(findings_, "'" + name + "' in database '" + database_ + "' has " +
                                       std::to_string(bad) + " " + what + ", the first at " +
                                       first + ".");
        }
        return {};
    }

    Connection& session_;
    const std::string database_;
    const base::Duration limit_;
    std::vector<std::string>& findings_;
};

}  // namespace

Result<> check_structure(const OpenDatabase& open, const StartRequest& request,
                         std::vector<std::string>& findings) {
    Connection first = TRY(open("postgres"));
    const QueryResult rows = TRY(first.query(kDatabases));
    for (std::size_t i = 0; i < rows.rows.size(); ++i) {
        const std::string database = TRY(rows.text(i, "datname"));
        Connection session =
            TRY(open(database).during("connecting to database '" + database + "'"));
        TRY(StructureChecker(session, database, request.limit, findings)
                .run()
                .during("checking database '" + database + "'"));
    }
    return {};
}

// ---- All of it
// ------------------------------------------------------------------------------------------------------

namespace {

std::string quoted(const std::string& value) {
    std::string out = "'";
    for (const char c : value) {
        if (c == '\'' || c == '\\') {
            out += '\\';
        }
        out += c;
    }
    return out + "'";
}

std::string conninfo(const ValidationPlace& place, const std::string& database,
                     const std::string& user) {
    return "host=" + quoted(place.socket_directory) + " port=" + std::to_string(place.port) +
           " dbname=" + quoted(database) + " user=" + quoted(user);
}

// Roles that may exist: the one that was configured, and the usual one.
std::vector<std::string> likely_roles(const ValidationPlace& place) {
    std::vector<std::string> roles = {"postgres"};
    const auto attempts = plan_attempts({.conninfo = place.original, .password = {}});
    for (const Conninfo& attempt : attempts ? *attempts : std::vector<Conninfo>{}) {
        for (const auto& [key, value] : attempt) {
            if (key == "user" && !value.empty()) {
                roles.push_back(value);
            }
        }
    }
    return roles;
}

// The one that was configured, or else the one that every cluster has.
std::string likely_database(const ValidationPlace& place) {
    const auto attempts = plan_attempts({.conninfo = place.original, .password = {}});
    for (const Conninfo& attempt : attempts ? *attempts : std::vector<Conninfo>{}) {
        for (const auto& [key, value] : attempt) {
            if (key == "dbname" && !value.empty()) {
                return value;
            }
        }
    }
    return "postgres";
}

class Validator {
  public:
    Validator(const ValidationPlace& place, const BackupDetails& details,
              const StartRequest& request, const engine::Context& context, StartReport& report)
        : place_(place), details_(details), request_(request), context_(context), report_(report) {}

    void run() {
        auto role = find_superuser();
        if (role) {
            role_ = *std::move(role);
        }
        report_.connection = conninfo(place_, "postgres", role_);
        const bool connects = !role_.empty();
        if (!role && is_stop(role.error())) {
            report_.stopped = true;
            return;
        }
        if (!connects && (request_.check_structure || !request_.validate.empty())) {
            report_.findings.push_back(
                "Nobody could connect to the server: " + role.error().message() + ".");
        }
        if (connects) {
            note("queries", ask());
        }
        if (request_.check_pages && !report_.stopped) {
            note("pages", pages(connects));
        }
        if (connects && request_.check_structure && !report_.stopped) {
            note("structure",
                 check_structure([&](const std::string& database) { return open(database, role_); },
                                 request_, report_.findings));
        }
    }

  private:
    Result<Connection> open(const std::string& database, const std::string& role) const {
        ConnectOptions options;
        options.conninfo = conninfo(place_, database, role);
        return Connection::open(options, context_.stop);
    }

    // Any role that may connect can tell who the superusers are, and trust lets us be one.
    Result<std::string> find_superuser() const {
        std::optional<Error> failure;
        for (const std::string& role : likely_roles(place_)) {
            auto session = open("postgres", role);
            if (!session) {
                failure = std::move(session).error();
                continue;
            }
            const QueryResult rows =
                TRY(session->query("SELECT rolname FROM pg_roles WHERE rolsuper AND rolcanlogin "
                                   "ORDER BY rolname <> current_user, oid LIMIT 1"));
            return rows.text(0, "rolname");
        }
        return failure ? *std::move(failure) : Error(Code::NotFound, "no role is known");
    }

    // A person's queries mean what they mean to the applications: in the configured database, with
    // the search path that the server gives.
    Result<Connection> open_for_people() const {
        Connection session = TRY(open(likely_database(place_), role_));
        TRY(session.exec("RESET search_path"));
        return session;
    }

    Result<> ask() const {
        if (request_.validate.empty()) {
            return {};
        }
        Connection session = TRY(open_for_people());
        for (const std::string& query : request_.validate) {
            if (!session.is_open()) {
                session = TRY(open_for_people());
            }
            auto rows = session.query(query, {}, request_.limit);
            if (!rows && is_stop(rows.error())) {
                return std::move(rows).error();
            }
            if (!rows) {
                report_.findings.push_back("Query '" + query +
                                           "' failed: " + rows.error().message() + ".");
                continue;
            }
            std::string row;
            for (std::size_t i = 0; !rows->rows.empty() && i < rows->rows[0].size(); ++i) {
                row += (i == 0 ? "" : "|") + rows->rows[0][i].value_or("");
            }
            report_.answers.emplace_back(query, row);
        }
        return {};
    }

    // What replay left in the server's memory has to be in the files that are read.
    Result<> pages(bool connects) const {
        if (connects) {
            Connection session = TRY(open("postgres", role_));
            TRY(session.exec("CHECKPOINT", request_.limit));
        }
        TRY(check_pages(context_.files, context_.clock, context_.stop, place_.target, details_,
                        report_.findings));
        return {};
    }

    // We were told to stop: not the server by its administrator, nor by a time limit.
    bool is_stop(const Error& error) const {
        return error.code() == Code::Cancelled && context_.stop.requested();
    }

    void note(const char* what, Result<> done) const {
        if (!done && is_stop(done.error())) {
            report_.stopped = true;
        } else if (!done) {
            report_.findings.push_back("The check of " + std::string(what) +
                                       " could not be completed: " + done.error().message() + ".");
        }
    }

    const ValidationPlace& place_;
    const BackupDetails& details_;
    const StartRequest& request_;
    const engine::Context& context_;
    StartReport& report_;
    std::string role_;
};

}  // namespace

void validate_server(const ValidationPlace& place, const BackupDetails& details,
                     const StartRequest& request, const engine::Context& context,
                     StartReport& report) {
    Validator(place, details, request, context, report).run();
}

}  // namespace lifeboat::postgres
