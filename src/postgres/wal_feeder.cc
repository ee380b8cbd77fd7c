#include "postgres/wal_feeder.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/json.h"
#include "base/log.h"
#include "postgres/server_process.h"

// Tested by wal_feeder_test.cc and tests/e2e/recovery_test.cc.
//
// One thread answers, `workers` threads make segments ahead of the one that was asked for last
// (wanted_):
//
//   Pending --next_slot()--> Working --make()--> Ready, Failed        Ready, Failed --asked for
//   again, and not there--> Pending
//
// A segment is made under a name of its own and renamed to `*.ready`: what bears that name is
// whole.

namespace lifeboat::postgres {

namespace {

using base::join;
using Kind = FeedAnswer::Kind;

constexpr auto kBeat = std::chrono::seconds(2);
constexpr int kAskMillis = 5000;  // a client that has connected asks at once
constexpr std::size_t kLongestName = 64;
constexpr std::uint64_t kReadyBytes = 256 * base::kMiB;

Error os_error(const std::string& what) {
    return base::os_failure(what, errno);
}

// A socket's address has 108 bytes, a data directory's path may have more: the kernel follows the
// descriptor instead.
sockaddr_un address_in(int directory) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::string path =
        "/proc/self/fd/" + std::to_string(directory) + "/" + std::string(kFeedSocket);
    std::memcpy(address.sun_path, path.c_str(), std::min(path.size() + 1, sizeof address.sun_path));
    return address;
}

void send_all(int connection, std::string_view text) {
    while (!text.empty()) {
        const ssize_t sent = ::send(connection, text.data(), text.size(), MSG_NOSIGNAL);
        if (sent <= 0) {
            return;  // the client is gone, and what it was told does not matter
        }
        text.remove_prefix(static_cast<std::size_t>(sent));
    }
}

bool readable(int fd, int millis) {
    pollfd wait{fd, POLLIN, 0};
    return ::poll(&wait, 1, millis) == 1;
}

// One line, without its end; empty when none came in time.
std::string read_name(int connection) {
    std::string name;
    char c = 0;
    while (name.size() <= kLongestName && readable(connection, kAskMillis) &&
           ::read(connection, &c, 1) == 1) {
        if (c == '\n') {
            return name;
        }
        name += c;
    }
    return {};
}

}  // namespace

FeedOptions FeedOptions::for_segments_of(std::uint64_t bytes) {
    FeedOptions options;
    options.ahead = std::clamp<std::size_t>(kReadyBytes / bytes, 2, 8);
    return options;
}

std::uint64_t feed_room(const FeedPlan& plan) {
    const std::uint64_t segment = plan.segment.bytes();
    const std::uint64_t on_the_way = segments_in_order(plan).size();
    return (std::min<std::uint64_t>(FeedOptions::for_segments_of(segment).ahead, on_the_way) + 1) *
           segment;
}

// ---- Beginning and end
// ----------------------------------------------------------------------------------------------

WalFeeder::WalFeeder(FeedPlan plan, std::string target, repo::Repository& repository,
                     repo::ReaderKeys& keys, base::Files& files, FeedOptions options)
    : plan_(std::move(plan)),
      target_(std::move(target)),
      repository_(repository),
      keys_(keys),
      files_(files),
      options_(options),
      last_request_(std::chrono::steady_clock::now()),
      direct_(files, target_, plan_, repository, keys, stop_) {
    const auto order = segments_in_order(plan_);
    const base::Lock lock(mutex_);
    for (const auto& [timeline, number] : order) {
        slot_of_[{timeline, number}] = slots_.size();
        slots_.push_back({timeline, number, State::Pending, {}});
    }
}

Result<std::unique_ptr<WalFeeder>> WalFeeder::start(FeedPlan plan, std::string target,
                                                    repo::Repository& repository,
                                                    repo::ReaderKeys& keys, base::Files& files,
                                                    FeedOptions options) {
    const auto starting = "feeding WAL to '" + target + "'";
    std::unique_ptr<WalFeeder> feeder(
        new WalFeeder(std::move(plan), std::move(target), repository, keys, files, options));
    TRY(feeder->open_directory().during(starting));
    TRY(feeder->listen().during(starting));
    feeder->run();
    return feeder;
}

WalFeeder::~WalFeeder() {
    stop_.request();
    const std::uint64_t one = 1;
    if (wake_.is_open() && ::write(wake_.get(), &one, sizeof one) != sizeof one) {
        base::log(base::LogLevel::Error, "feeder: cannot wake the thread that answers");
    }
    {
        const base::Lock lock(mutex_);
        changed_.notify_all();
    }
    for (std::thread& thread : threads_) {
        thread.join();
    }
    if (lock_.is_open()) {
        base::remove_tree(files_, path_of(""))
            .discard("a leftover in pg_wal harms nobody: the next feeder clears it");
    }
}

std::string WalFeeder::path_of(std::string_view file) const {
    const std::string directory = join(target_, kFeedDirectory);
    return file.empty() ? directory : join(directory, file);
}

Result<> WalFeeder::open_directory() {
    owner_ = TRY(files_.stat(target_));
    auto made = files_.create_directory(path_of(""), 0700);
    if (!made && made.error().code() != Code::Conflict) {
        return made;
    }
    if (::geteuid() == 0) {
        TRY(files_.set_owner(path_of(""), owner_.uid, owner_.gid));
    }
    directory_ =
        base::Fd(::open(path_of("").c_str(), O_DIRECTORY | O_PATH | O_NOFOLLOW | O_CLOEXEC));
    if (!directory_.is_open()) {
        return os_error("opening '" + path_of("") + "'");
    }
    base::Fd lock(
        ::openat(directory_.get(), "lock", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!lock.is_open()) {
        return os_error("creating '" + path_of("lock") + "'");
    }
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
        return Error(Code::Conflict, "another feeder is at work there")
            .hint("It serves this server already; nothing needs to be done.");
    }
    lock_ = std::move(lock);
    const std::vector<std::string> leftovers = TRY(files_.list(path_of("")));
    for (const std::string& name : leftovers) {
        if (name != "lock") {
            TRY(files_.remove(path_of(name)));
        }
    }
    return {};
}

Result<> WalFeeder::listen() {
    wake_ = base::Fd(::eventfd(0, EFD_CLOEXEC));
    socket_ = base::Fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    if (!wake_.is_open() || !socket_.is_open()) {
        return os_error("creating a socket");
    }
    const sockaddr_un address = address_in(directory_.get());
    if (::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
        return os_error("binding '" + path_of(kFeedSocket) + "'");
    }
    if (::geteuid() == 0) {
        TRY(files_.set_owner(path_of(kFeedSocket), owner_.uid, owner_.gid));
    }
    TRY(files_.set_mode(path_of(kFeedSocket), 0600));
    return ::listen(socket_.get(), 8) == 0
               ? Result<>()
               : Result<>(os_error("listening on '" + path_of(kFeedSocket) + "'"));
}

void WalFeeder::run() {
    const auto contained = [this](void (WalFeeder::*body)()) {
        return [this, body] {
            try {
                (this->*body)();
            } catch (...) {  // the top of a thread
                fail(Error(Code::Bug, "a thread of the feeder ended by an exception"))
                    .message.clear();
            }
        };
    };
    threads_.emplace_back(contained(&WalFeeder::serve));
    for (std::size_t i = 0; i < options_.workers; ++i) {
        threads_.emplace_back(contained(&WalFeeder::make_ahead));
    }
}

// ---- Answering
// ------------------------------------------------------------------------------------------------------

void WalFeeder::serve() {
    while (!stop_.requested()) {
        std::array<pollfd, 2> wait = {pollfd{socket_.get(), POLLIN, 0},
                                      pollfd{wake_.get(), POLLIN, 0}};
        if (::poll(wait.data(), wait.size(), -1) < 0 || wait[0].revents == 0) {
            continue;
        }
        const base::Fd connection(::accept4(socket_.get(), nullptr, nullptr, SOCK_CLOEXEC));
        if (connection.is_open() && may_ask(connection.get())) {
            serve_one(connection.get());
        }
    }
}

bool WalFeeder::may_ask(int connection) const {
    ucred peer{};
    socklen_t size = sizeof peer;
    const bool known = ::getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0;
    return known && (peer.uid == owner_.uid || peer.uid == ::geteuid() || peer.uid == 0);
}

void WalFeeder::serve_one(int connection) {
    const std::string name = read_name(connection);
    if (name.empty()) {
        return;  // no answer is no absence: the client takes it for a failure
    }
    const char beat = kStillWorking;
    const FeedAnswer reply = answer(name, [&] { send_all(connection, {&beat, 1}); });
    const char kind = static_cast<char>(reply.kind);
    send_all(connection, {&kind, 1});
    send_all(connection, reply.message);
}

FeedAnswer WalFeeder::answer(std::string_view name, const Beat& beat) {
    {
        const base::Lock lock(mutex_);
        last_request_ = std::chrono::steady_clock::now();
    }
    const auto parsed = parse_wal_file_name(name, plan_.segment);
    if (!parsed) {
        return {Kind::Failed,
                "'" + std::string(name.substr(0, kLongestName)) + "' is no name of a WAL file"};
    }
    switch (parsed->kind) {
        case WalFileKind::History:
            return answer_history(parsed->timeline);
        case WalFileKind::Segment:
            return answer_segment(parsed->timeline, parsed->segment, beat);
        case WalFileKind::Partial:
        case WalFileKind::BackupLabel:
            break;
    }
    return {Kind::Absent, {}};  // no plan needs one
}

// Every history that the repository has, not only those on the way: the target timeline is pinned
// by its number, so none of them leads astray, and a server that ends recovery takes a number for
// its new timeline that no other has.
FeedAnswer WalFeeder::answer_history(TimelineId timeline) {
    const auto found =
        std::find_if(plan_.histories.begin(), plan_.histories.end(),
                     [&](const StoredHistoryFile& h) { return h.timeline == timeline; });
    if (found == plan_.histories.end()) {
        return {Kind::Absent, {}};
    }
    const std::string name = history_name(timeline);
    const auto write = [&]() -> Result<> {
        auto file = TRY(files_.open(path_of("." + name), base::OpenMode::CreateOrTruncate, 0600));
        TRY(file->write_at(0, found->contents));
        TRY(file->close());
        return publish("." + name, name);
    };
    const auto written = write();
    return written ? FeedAnswer{Kind::Found, {}} : fail(written.error());
}

FeedAnswer WalFeeder::answer_segment(TimelineId timeline, std::uint64_t number, const Beat& beat) {
    const FeedSegment segment = plan_segment(plan_, timeline, number);
    if (segment.kind == FeedSegment::Kind::Absent) {
        return {Kind::Absent, {}};
    }
    if (segment.kind == FeedSegment::Kind::Local &&
        files_.stat(join(target_, "pg_wal/" + segment_name(timeline, number, plan_.segment)))) {
        return {Kind::Absent, {}};  // from the archive: the server then takes its own copy
    }
    const auto slot = slot_of_.find({timeline, number});
    return slot == slot_of_.end() ? make_now(timeline, number, segment) : await(slot->second, beat);
}

// Off the straight way: the first segment of a timeline under the name of its ancestor.
FeedAnswer WalFeeder::make_now(TimelineId timeline, std::uint64_t number,
                               const FeedSegment& segment) {
    const base::Lock lock(direct_mutex_);
    const auto made = make(direct_, timeline, number, segment);
    return made ? FeedAnswer{Kind::Found, {}} : fail(made.error());
}

FeedAnswer WalFeeder::await(std::size_t slot, const Beat& beat) {
    for (bool first = true;; first = false) {
        const bool there = is_ready(slot);
        {
            const base::Lock lock(mutex_);
            Slot& wanted = slots_[slot];
            wanted_ = slot;
            const bool taken = wanted.state == State::Ready && !there;
            if (first && (taken || wanted.state == State::Failed)) {
                wanted.state = State::Pending;  // handed over before; or a new attempt is asked for
            }
            changed_.notify_all();
            if (wanted.state == State::Ready) {
                return {Kind::Found, {}};
            }
            if (wanted.state == State::Failed) {
                return {Kind::Failed, wanted.trouble};
            }
            if (stop_.requested()) {
                return {Kind::Failed, "the feeder was stopped"};
            }
            changed_.wait_for(mutex_, kBeat);
        }
        beat();
    }
}

bool WalFeeder::is_ready(std::size_t slot) {
    std::string name;
    {
        const base::Lock lock(mutex_);
        name = segment_name(slots_[slot].timeline, slots_[slot].number, plan_.segment);
    }
    return files_.stat(path_of(name + std::string(kReadySuffix))).has_value();
}

FeedAnswer WalFeeder::fail(const Error& error) {
    const base::Lock lock(mutex_);
    if (!failure_) {
        failure_ = error.clone();
    }
    return {Kind::Failed, error.message()};
}

std::optional<Error> WalFeeder::failure() const {
    const base::Lock lock(mutex_);
    return failure_ ? std::optional<Error>(failure_->clone()) : std::nullopt;
}

base::Duration WalFeeder::idle() const {
    const base::Lock lock(mutex_);
    return std::chrono::duration_cast<base::Duration>(std::chrono::steady_clock::now() -
                                                      last_request_);
}

// ---- Making
// ---------------------------------------------------------------------------------------------------------

std::optional<std::size_t> WalFeeder::next_slot() {
    const std::size_t end = std::min(slots_.size(), wanted_ + options_.ahead + 1);
    for (std::size_t i = wanted_; i < end; ++i) {
        const bool local = plan_segment(plan_, slots_[i].timeline, slots_[i].number).kind ==
                           FeedSegment::Kind::Local;
        if (slots_[i].state == State::Pending && (!local || i == wanted_)) {
            return i;
        }
    }
    return std::nullopt;
}

void WalFeeder::make_ahead() {
    FeedSource source(files_, target_, plan_, repository_, keys_, stop_);
    while (true) {
        std::optional<std::size_t> slot;
        TimelineId timeline = 0;
        std::uint64_t number = 0;
        {
            const base::Lock lock(mutex_);
            if (stop_.requested()) {  // under the lock: or the last call to wake us is missed
                return;
            }
            slot = next_slot();
            if (!slot) {
                changed_.wait(mutex_);
                continue;
            }
            slots_[*slot].state = State::Working;
            timeline = slots_[*slot].timeline;
            number = slots_[*slot].number;
        }
        const auto made = make(source, timeline, number, plan_segment(plan_, timeline, number));
        const std::string trouble = made ? std::string() : fail(made.error()).message;
        const base::Lock lock(mutex_);
        slots_[*slot].state = made ? State::Ready : State::Failed;
        slots_[*slot].trouble = trouble;
        changed_.notify_all();
    }
}

Result<> WalFeeder::make(FeedSource& source, TimelineId timeline, std::uint64_t number,
                         const FeedSegment& segment) const {
    const std::string name = segment_name(timeline, number, plan_.segment);
    TRY(source.write(segment, timeline, number, path_of("." + name)));
    return publish("." + name, name);
}

Result<> WalFeeder::publish(const std::string& made, const std::string& name) const {
    if (::geteuid() == 0) {
        TRY(files_.set_owner(path_of(made), owner_.uid, owner_.gid));
    }
    return files_.rename(path_of(made), path_of(name + std::string(kReadySuffix)),
                         base::Replace::Yes);
}

// ---- Resident
// -------------------------------------------------------------------------------------------------------

Result<FeedPlan> read_feed_plan(base::Files& files, const std::string& target) {
    const std::string path = join(target, kFeedPlanFile);
    auto bytes = base::read_file(files, path);
    if (!bytes && bytes.error().code() == Code::NotFound) {
        return std::move(bytes).error().hint(
            "Only a directory that 'lifeboat restore' made has one: restore again.");
    }
    const base::Bytes read = TRY(std::move(bytes));
    const auto reading = "reading '" + path + "'";
    const base::Json json = TRY(base::Json::parse(base::text(read)).during(reading));
    return FeedPlan::from_json(json).during(reading);
}

Result<> run_resident_feeder(const ResidentRequest& request, repo::Repository& repository,
                             repo::ReaderKeys& keys, base::Files& files, base::Clock& clock,
                             const base::StopToken& stop) {
    FeedPlan plan = TRY(read_feed_plan(files, request.target));
    if (plan.repository_id != repository.id()) {
        return Error(Code::Refused, "the plan in '" + request.target +
                                        "' is for another repository: it was at " + plan.repository)
            .hint(
                "Name the configuration that it was restored with: restore_command in "
                "postgresql.auto.conf has it.");
    }
    const FeedOptions options = FeedOptions::for_segments_of(plan.segment.bytes());
    const auto feeder =
        TRY(WalFeeder::start(std::move(plan), request.target, repository, keys, files, options));
    while (!stop.requested() && feeder->idle() < request.idle_limit) {
        const bool recovering = TRY(base::exists(files, join(request.target, "recovery.signal")));
        if (!recovering) {
            // A replica keeps its restore_command.
            const bool follows = TRY(base::exists(files, join(request.target, "standby.signal")));
            return follows ? Result<>() : forget_recovery(files, request.target);
        }
        clock.sleep_for(std::chrono::milliseconds(500));
    }
    return {};
}

}  // namespace lifeboat::postgres
