#include "tests/support/fake_postgres.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <mutex>
#include <thread>

namespace lifeboat::test {

namespace {

std::string big_endian(std::uint64_t value, int bytes) {
    std::string out;
    for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
        out += static_cast<char>(value >> shift);
    }
    return out;
}

std::uint32_t read_number(const std::string& bytes, std::size_t at, std::size_t size) {
    std::uint32_t value = 0;
    for (std::size_t i = at; i < at + size && i < bytes.size(); ++i) {
        value = value << 8 | static_cast<unsigned char>(bytes[i]);
    }
    return value;
}

std::uint32_t read_u32(const std::string& bytes) {
    return read_number(bytes, 0, 4);
}

// The text of a Parse message: behind the statement's name.
std::string parsed_query(const std::string& body) {
    return body.c_str() + body.find('\0') + 1;
}

// `query` with the values of a Bind message.
std::string bound_query(std::string query, const std::string& body) {
    std::size_t at = body.find('\0', body.find('\0') + 1) + 1;  // behind portal and statement
    at += 2 + std::size_t{2} * read_number(body, at, 2);        // their formats
    const std::uint32_t count = read_number(body, at, 2);
    at += 2;
    for (std::uint32_t i = 1; i <= count; ++i) {
        const std::uint32_t size = read_number(body, at, 4);
        const std::string value = size == 0xFFFFFFFF ? "" : body.substr(at + 4, size);
        at += 4 + value.size();
        const std::string mark = "$" + std::to_string(i);
        for (std::size_t found; (found = query.find(mark)) != std::string::npos;) {
            query.replace(found, mark.size(), "'" + value + "'");
        }
    }
    return query;
}

}  // namespace

namespace wire {

std::string message(char type, std::string_view body) {
    return std::string(1, type) + big_endian(body.size() + 4, 4) + std::string(body);
}

std::string rows(const std::vector<std::string>& columns,
                 const std::vector<std::vector<Cell>>& rows) {
    std::string description = big_endian(columns.size(), 2);
    for (const std::string& column : columns) {
        description += column + std::string(1, '\0') + big_endian(0, 6) + big_endian(25, 4) +
                       big_endian(0xFFFF, 2) + big_endian(0xFFFFFFFF, 4) + big_endian(0, 2);
    }
    std::string out = message('T', description);
    for (const std::vector<Cell>& row : rows) {
        std::string body = big_endian(row.size(), 2);
        for (const Cell& cell : row) {
            body += cell ? big_endian(cell->size(), 4) + *cell : big_endian(0xFFFFFFFF, 4);
        }
        out += message('D', body);
    }
    return out + done("SELECT");
}

std::string done(std::string_view tag) {
    return message('C', std::string(tag) + '\0');
}

std::string ready() {
    return message('Z', "I");
}

std::string error(std::string_view sqlstate, std::string_view text) {
    return message('E', "SERROR" + std::string(1, '\0') + "C" + std::string(sqlstate) + '\0' + "M" +
                            std::string(text) + '\0' + '\0');
}

std::string notice(std::string_view text) {
    return message('N', "SWARNING" + std::string(1, '\0') + "C01000" + '\0' + "M" +
                            std::string(text) + '\0' + '\0');
}

std::string copy_out() {
    return message('H', std::string(3, '\0'));
}

std::string copy_both() {
    return message('W', std::string(3, '\0'));
}

std::string copy_data(std::string_view bytes) {
    return message('d', bytes);
}

std::string copy_done() {
    return message('c', "");
}

std::string u64(std::uint64_t value) {
    return big_endian(value, 8);
}

}  // namespace wire

struct FakePostgres::State {
    std::string version;
    Answer answer;
    Answer on_copy;
    int listener = -1;
    std::atomic<bool> ending = false;
    std::mutex mutex;
    std::string refusal;
    std::vector<std::string> copied;
    std::thread thread;
    std::vector<std::thread> clients;  // of `thread` alone until it has ended

    bool receive(int socket, std::size_t count, std::string& out);
    bool welcome(int socket);
    void serve(int socket);
    bool take(int socket, char kind, std::string body, std::string& query);
    bool reply(int socket, const std::string& query, const std::string& before);
    void run();
    static void send_all(int socket, const std::string& bytes);
};

// False when the peer hung up, or we are ending.
bool FakePostgres::State::receive(int socket, std::size_t count, std::string& out) {
    out.clear();
    while (out.size() < count) {
        pollfd entry = {socket, POLLIN, 0};
        if (ending) {
            return false;
        }
        if (::poll(&entry, 1, 100) <= 0) {
            continue;
        }
        char buffer[4096];
        const ssize_t got = ::recv(socket, buffer, std::min(sizeof buffer, count - out.size()), 0);
        if (got <= 0) {
            return false;
        }
        out.append(buffer, static_cast<std::size_t>(got));
    }
    return true;
}

void FakePostgres::State::send_all(int socket, const std::string& bytes) {
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        const ssize_t count =
            ::send(socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (count <= 0) {
            return;
        }
        sent += static_cast<std::size_t>(count);
    }
}

bool FakePostgres::State::welcome(int socket) {
    std::string length;
    std::string body;
    if (!receive(socket, 4, length) || !receive(socket, read_u32(length) - 4, body)) {
        return false;
    }
    const std::lock_guard<std::mutex> lock(mutex);
    if (!refusal.empty()) {
        send_all(socket, refusal);
        return false;
    }
    send_all(socket, wire::message('R', std::string(4, '\0')) +
                         wire::message('S', "server_version" + std::string(1, '\0') + version +
                                                std::string(1, '\0')) +
                         wire::message('K', std::string(8, '\1')) + wire::ready());
    return true;
}

// False when the answer is to hang up.
bool FakePostgres::State::reply(int socket, const std::string& query, const std::string& before) {
    if (query.starts_with("SET ")) {
        send_all(socket, before + wire::done("SET") + wire::ready());
        return true;
    }
    const auto bytes = answer(query);
    send_all(socket, bytes ? before + *bytes : "");
    return bytes.has_value();
}

// One message. `query`: of a statement that is being prepared.
bool FakePostgres::State::take(int socket, char kind, std::string body, std::string& query) {
    switch (kind) {
        case 'd': {
            {
                const std::lock_guard<std::mutex> lock(mutex);
                copied.push_back(body);
            }
            send_all(socket, on_copy ? on_copy(body).value_or("") : "");
            return true;
        }
        case 'c':
            send_all(socket, answer("<copy done>").value_or(""));
            return true;
        case 'Q':
            body.pop_back();
            return reply(socket, body, "");
        case 'P':
            query = parsed_query(body);
            return true;
        case 'B':
            query = bound_query(query, body);
            return true;
        case 'S':
            return reply(socket, query, wire::message('1', "") + wire::message('2', ""));
        default:
            return kind == 'D' || kind == 'E';
    }
}

void FakePostgres::State::serve(int socket) {
    std::string head;
    std::string body;
    std::string query;
    while (receive(socket, 5, head) && receive(socket, read_u32(head.substr(1)) - 4, body) &&
           take(socket, head[0], body, query)) {
    }
}

void FakePostgres::State::run() {
    while (!ending) {
        pollfd entry = {listener, POLLIN, 0};
        if (::poll(&entry, 1, 100) <= 0) {
            continue;
        }
        const int socket = ::accept(listener, nullptr, nullptr);
        if (socket >= 0) {
            clients.emplace_back([this, socket] {
                if (welcome(socket)) {
                    serve(socket);
                }
                ::close(socket);
            });
        }
    }
}

FakePostgres::FakePostgres(std::string version, Answer answer, Answer on_copy)
    : state_(std::make_unique<State>()) {
    state_->version = std::move(version);
    state_->answer = std::move(answer);
    state_->on_copy = std::move(on_copy);
    sockaddr_un address = {};
    address.sun_family = AF_UNIX;
    const std::string path = directory_ / ".s.PGSQL.5432";
    std::strncpy(address.sun_path, path.c_str(), sizeof address.sun_path - 1);
    state_->listener = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::bind(state_->listener, reinterpret_cast<const sockaddr*>(&address), sizeof address) !=
            0 ||
        ::listen(state_->listener, 8) != 0) {
        ADD_FAILURE() << "cannot listen on " << path;
    }
    state_->thread = std::thread([state = state_.get()] { state->run(); });
}

FakePostgres::~FakePostgres() {
    state_->ending = true;
    ::shutdown(state_->listener, SHUT_RDWR);  // wakes its thread
    state_->thread.join();
    for (std::thread& client : state_->clients) {
        client.join();
    }
    ::close(state_->listener);
}

void FakePostgres::refuse_with(std::string bytes) {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    state_->refusal = std::move(bytes);
}

std::vector<std::string> FakePostgres::copied() const {
    const std::lock_guard<std::mutex> lock(state_->mutex);
    return state_->copied;
}

}  // namespace lifeboat::test
