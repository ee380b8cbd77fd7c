#include <signal.h>
#include <unistd.h>

#include <cstdlib>
#include <optional>

#include "base/log.h"
#include "postgres/pg_control.h"
#include "postgres/server_process.h"
#include "postgres/validation.h"
#include "postgres/wal_feeder.h"

// start_recovered. Tested by tests/e2e/recovery_test.cc.
//
//   launch --postmaster.pid says "standby"--> consistent --"ready" and pg_control says in
//   production--> open --validate--> report
//
// Nothing but the server's own files is believed: what it writes into postmaster.pid and pg_control
// does not depend on who may connect, or on the language of its log. The log is read for one
// purpose, to tell a person why it gave up.

namespace lifeboat::postgres {

namespace {

using base::join;
using engine::StartReport;

constexpr auto kPoll = std::chrono::milliseconds(20);
constexpr auto kStopGrace = std::chrono::seconds(30);
constexpr std::uint64_t kLogTail = base::kMiB;
constexpr std::size_t kLongestSocketDirectory =
    88;  // an address has room for 107 bytes, ".s.PGSQL.32767" included
constexpr std::string_view kNoSpace = "No space left on device";  // strerror of the C locale
constexpr std::string_view kLogFile = "lifeboat.server.log";
constexpr std::string_view kHbaFile = "lifeboat.hba";

class Starter {
  public:
    Starter(repo::Repository& repository, repo::ReaderKeys& keys, const StartContext& start,
            std::shared_ptr<const PostgresPlan> plan)
        : repository_(repository),
          keys_(keys),
          start_(start),
          plan_(std::move(plan)),
          files_(start.context.files) {}

    Result<StartReport> run() {
        TRY(prepare());
        TRY(launch());
        auto outcome = watch();
        if (!outcome) {
            stop();
            return std::move(outcome).error();
        }
        TRY(check_end());
        forget();
        validate();
        server_->detach();
        return std::move(report_);
    }

  private:
    const std::string& target() const { return start_.request.target; }

    Result<> prepare();
    Result<> refuse_running() const;
    Result<> choose_place();
    Result<std::string> socket_directory() const;
    Result<> launch();
    Result<> watch();
    Result<bool> look();
    Error gave_up();
    void stop();
    Result<> check_end();
    void forget();
    void validate();
    std::optional<PidFile> pid_file() const;
    std::string log_tail() const;
    base::Duration elapsed() const;

    repo::Repository& repository_;
    repo::ReaderKeys& keys_;
    const StartContext& start_;
    const std::shared_ptr<const PostgresPlan> plan_;  // shared: with the neutral plan
    base::Files& files_;
    std::string programs_;
    ServerUser user_;
    ServerPlace place_;
    std::unique_ptr<WalFeeder> feeder_;
    std::optional<base::Child> server_;
    std::chrono::steady_clock::time_point began_;
    StartReport report_;
};

base::Duration Starter::elapsed() const {
    return std::chrono::duration_cast<base::Duration>(start_.context.clock.steady() - began_);
}

std::optional<PidFile> Starter::pid_file() const {
    const auto bytes = base::read_file(files_, join(target(), "postmaster.pid"), base::kMiB);
    return bytes ? parse_pid_file(base::text(*bytes)) : std::nullopt;
}

Result<> Starter::refuse_running() const {
    const auto running = pid_file();
    if (running && running->pid > 0 && ::kill(running->pid, 0) == 0) {
        return Error(Code::Refused, "a server (pid " + std::to_string(running->pid) +
                                        ") is at work in '" + target() + "'")
            .hint("Stop it first.");
    }
    const bool recovering = TRY(base::exists(files_, join(target(), "recovery.signal")));
    if (!recovering) {
        return Error(Code::Refused,
                     "'" + target() + "' is not waiting for recovery: it has no recovery.signal")
            .hint("A directory recovers once. Restore again to recover again.");
    }
    return {};
}

Result<> Starter::prepare() {
    TRY(refuse_running());
    user_ = TRY(choose_server_user(files_, target(), start_.request.owner));
    programs_ =
        TRY(find_bin_directory(files_, plan_->details.major(), start_.request.bin_directory));
    TRY(choose_place());
    FeedPlan feed = FeedPlan::of(*plan_);
    const FeedOptions options = FeedOptions::for_segments_of(feed.segment.bytes());
    feeder_ = TRY(WalFeeder::start(std::move(feed), target(), repository_, keys_, files_, options));
    return {};
}

Result<std::string> Starter::socket_directory() const {
    if (target().size() <= kLongestSocketDirectory) {
        return target();  // 0700 and the owner's already
    }
    std::string made = "/tmp/lifeboat-XXXXXX";
    if (::mkdtemp(made.data()) == nullptr) {
        return base::os_failure("creating a directory for the server's socket", errno);
    }
    if (::geteuid() == 0) {
        TRY(files_.set_owner(made, user_.uid, user_.gid));
    }
    return made;
}

Result<> Starter::choose_place() {
    place_.target = target();
    place_.major = plan_->details.major();
    place_.port = start_.request.port;
    if (place_.port == 0) {
        place_.port = TRY(find_free_port(start_.context.random));
    }
    if (!start_.request.isolated) {
        return {};
    }
    place_.socket_directory = TRY(socket_directory());
    place_.hba_file = join(target(), kHbaFile);
    // Who gets as far as the socket owns the data directory, and with it everything.
    TRY(base::write_durably(files_, place_.hba_file, base::view("local all all trust\n"),
                            base::Replace::Yes));
    return ::geteuid() == 0 ? files_.set_owner(place_.hba_file, user_.uid, user_.gid) : Result<>();
}

Result<> Starter::launch() {
    base::Command command;
    command.argv = {join(programs_, "postgres"), "-D", target()};
    ServerSettings settings = watched_settings();
    // The original's own configuration may name the original's directory.
    settings.emplace_back("data_directory", target());
    const ServerSettings more = start_.request.isolated
                                    ? isolated_settings(place_)
                                    : ServerSettings{{"port", std::to_string(place_.port)}};
    settings.insert(settings.end(), more.begin(), more.end());
    for (const auto& [name, value] : settings) {
        command.argv.push_back("-c");
        command.argv.push_back(name + "=" + value);
    }
    command.directory = target();
    if (::geteuid() == 0) {
        command.uid = user_.uid;
        command.gid = user_.gid;
    }
    command.log_file = join(target(), kLogFile);
    files_.remove(command.log_file).discard("absent unless the server was started before");
    began_ = start_.context.clock.steady();
    server_ = TRY(base::Child::start(command).during("starting '" + command.argv.front() + "'"));
    report_.pid = server_->pid();
    return {};
}

// True once the server accepts writes.
Result<bool> Starter::look() {
    TRY(start_.context.stop.check());
    const auto state = pid_file();
    if (!server_->running()) {
        return gave_up();
    }
    if (!state || state->pid != server_->pid()) {
        return false;
    }
    const bool ready = state->status == "ready";
    if (report_.to_consistent == base::Duration::zero() && (ready || state->status == "standby")) {
        report_.to_consistent = elapsed();
    }
    if (!ready) {
        return false;
    }
    const ControlFile control =
        TRY(read_control(files_, join(target(), kControlFile), start_.context.clock));
    if (control.data.state != ClusterState::InProduction) {
        return false;
    }
    place_.port = state->port;
    place_.socket_directory = state->socket_directory;
    return true;
}

Result<> Starter::watch() {
    while (elapsed() < start_.request.limit) {
        const bool open = TRY(look());
        if (open) {
            report_.to_open = elapsed();
            return {};
        }
        start_.context.clock.sleep_for(kPoll);
    }
    return Error(Code::Unavailable, "the server did not reach " + format_lsn(plan_->end) +
                                        " within " + base::human_duration(start_.request.limit))
        .hint("Its log is '" + join(target(), kLogFile) +
              "'. Its recovery goes on where it was when it is started again.");
}

std::string Starter::log_tail() const {
    const auto file = files_.open(join(target(), kLogFile), base::OpenMode::Read);
    const auto size = file ? (*file)->size() : Result<std::uint64_t>(std::uint64_t{0});
    if (!size || *size == 0) {
        return {};
    }
    const std::uint64_t from = *size > kLogTail ? *size - kLogTail : 0;
    std::string text(static_cast<std::size_t>(*size - from), '\0');
    const auto got =
        (*file)->read_at(from, {reinterpret_cast<base::Byte*>(text.data()), text.size()});
    text.resize(got ? *got : 0);
    return text;
}

// The feeder knows better than the server why WAL did not come.
Error Starter::gave_up() {
    std::string fatal = fatal_in_log(log_tail());
    std::string hint = hint_for_fatal(fatal);
    if (fatal.empty()) {
        fatal = "exit status " + std::to_string(server_->exit_status().value_or(-1));
    }
    const auto feed = feeder_->failure();
    if (feed) {
        fatal += "; its WAL: " + feed->message();
        hint = feed->hint().empty() ? hint : feed->hint();
    }
    if (hint.empty()) {
        hint = "Its log is '" + join(target(), kLogFile) + "'.";
    }
    const bool full = fatal.find(kNoSpace) != std::string::npos;
    if (full) {
        hint = "Free some space in '" + target() + "' first.";
    }
    const Code code = full ? Code::NoSpace : feed ? feed->code() : Code::Unavailable;
    return Error(code, "the server gave up: " + fatal).hint(hint);
}

void Starter::stop() {
    if (server_ && server_->running()) {
        server_->stop(SIGINT, kStopGrace);
    }
}

// A server that opened short of the target is a failure, never a success (P5).
Result<> Starter::check_end() {
    feeder_.reset();  // its work is done, also if what follows takes long
    const auto end = read_recovery_end(files_, target(), *plan_);
    if (!end) {
        stop();
        return end.error().clone().during("looking where recovery ended");
    }
    const std::string wrong = judge_recovery_end(*end, *plan_);
    if (!wrong.empty()) {
        stop();
        return Error(Code::Bug, wrong)
            .hint("Do not use this directory. Restore again, and report this.");
    }
    report_.reached = true;
    report_.point = format_lsn(end->at) + " on timeline " + std::to_string(end->from) +
                    "; the server goes on as timeline " + std::to_string(end->new_timeline);
    return {};
}

// The server is as it should be; that others made of it may not start is a finding.
void Starter::forget() {
    const auto forgotten = forget_recovery(files_, target());
    if (!forgotten) {
        report_.findings.push_back("'" + join(target(), "postgresql.auto.conf") +
                                   "' still has the target of this recovery, at which a replica of "
                                   "this server would stop: " +
                                   forgotten.error().message() + ".");
    }
}

void Starter::validate() {
    const ValidationPlace place{target(), place_.socket_directory, place_.port, start_.connection};
    validate_server(place, plan_->details, start_.request, start_.context, report_);
}

}  // namespace

Result<StartReport> start_recovered(repo::Repository& repository, repo::ReaderKeys& keys,
                                    const StartContext& start) {
    auto plan = TRY(postgres_plan(start.plan));
    return Starter(repository, keys, start, std::move(plan))
        .run()
        .during("starting the server restored to '" + start.request.target + "'");
}

}  // namespace lifeboat::postgres
