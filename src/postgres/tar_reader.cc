// A tar parser for what a server sends as a base backup. Tested by tar_reader_test.cc and
// tests/fuzz/fuzz_tar.cc.
//
// A member is a 512-byte header, its body, and zeros up to the next block. PAX ('x') and GNU ('L',
// 'K') members carry in their body what does not fit into the next member's header; they change
// nothing by themselves.
//
//     Header --file--> Data --last byte and padding--> Header
//     Header --x, g, L, K--> Extension --last byte and padding, applied--> Header
//     Header --zero block--> Ended

#include "postgres/tar_reader.h"

#include <algorithm>
#include <charconv>

namespace lifeboat::postgres {

namespace {

using base::BytesView;
using base::Code;
using base::Error;
using base::Result;

constexpr std::uint64_t kMaxSeconds = std::uint64_t{1}
                                      << 42;  // in microseconds it still fits 64 bits

struct Field {
    std::size_t offset;
    std::size_t size;
};

constexpr Field kName = {0, 100};
constexpr Field kMode = {100, 8};
constexpr Field kUid = {108, 8};
constexpr Field kGid = {116, 8};
constexpr Field kSize = {124, 12};
constexpr Field kModified = {136, 12};
constexpr Field kChecksum = {148, 8};
constexpr std::size_t kType = 156;
constexpr Field kLink = {157, 100};
constexpr Field kMagic = {257, 8};
constexpr Field kPrefix = {345, 155};

Error corrupt(std::string what) {
    return {Code::Corrupt, "tar archive: " + std::move(what)};
}

BytesView field(BytesView block, Field f) {
    return block.subspan(f.offset, f.size);
}

std::string_view text_field(BytesView block, Field f) {
    const std::string_view all = base::text(field(block, f));
    return all.substr(0, std::min(all.find('\0'), all.size()));
}

// Octal digits ended by a space, a NUL or the field; or, with the first bit set, a big-endian
// binary number.
Result<std::uint64_t> number_field(BytesView block, Field f, std::uint64_t limit) {
    const BytesView bytes = field(block, f);
    const bool binary = bytes[0] == 0x80;
    const unsigned base = binary ? 256 : 8;
    std::uint64_t value = 0;
    bool started = false;
    bool ended = false;
    for (const base::Byte byte : bytes.subspan(binary ? 1 : 0)) {
        if (!binary && (byte == ' ' || byte == 0)) {
            ended = ended || started || byte == 0;
            continue;
        }
        started = true;
        const unsigned digit = binary ? byte : byte - unsigned{'0'};
        if (digit >= base || ended || value > limit / base) {
            return corrupt("a number in a header is malformed or too large");
        }
        value = value * base + digit;
    }
    if (value > limit) {
        return corrupt("a number in a header is malformed or too large");
    }
    return value;
}

Result<> check_sum(BytesView block) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < block.size(); ++i) {
        const bool blanked = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.size;
        sum += blanked ? unsigned{' '} : block[i];
    }
    const std::uint64_t stored = TRY(number_field(block, kChecksum, UINT32_MAX));
    if (stored != sum) {
        return corrupt("a header has a wrong checksum");
    }
    return {};
}

bool is_posix(BytesView block) {
    return base::text(field(block, kMagic)) == std::string_view("ustar\00000", 8);
}

bool is_gnu(BytesView block) {
    return base::text(field(block, kMagic)) == std::string_view("ustar  \0", 8);
}

// Names come from outside and become paths: whatever is not plainly below the directory is refused,
// not repaired.
Result<std::string> safe_name(std::string_view raw, TarKind kind) {
    std::string_view name = raw;
    while (name.starts_with("./")) {
        name.remove_prefix(2);
    }
    if (kind == TarKind::Directory && name.ends_with('/')) {
        name.remove_suffix(1);
    }
    if (kind == TarKind::Directory &&
        (name == "." || (name.empty() && !raw.empty() && raw.front() == '.'))) {
        return std::string(".");
    }
    if (name.size() > TarReader::kMaxName || name.find('\0') != std::string_view::npos) {
        return corrupt("a member's name is too long or holds a zero byte");
    }
    std::string_view rest = name;
    while (true) {
        const std::size_t slash = std::min(rest.find('/'), rest.size());
        const std::string_view part = rest.substr(0, slash);
        if (part.empty() || part == "." || part == "..") {
            return corrupt("the name of a member leaves its directory or is empty");
        }
        if (slash == rest.size()) {
            return std::string(name);
        }
        rest.remove_prefix(slash + 1);
    }
}

Result<std::uint64_t> decimal(std::string_view digits, std::uint64_t limit) {
    std::uint64_t value = 0;
    const char* end = digits.data() + digits.size();
    const auto [stop, failure] = std::from_chars(digits.data(), end, value);
    if (failure != std::errc() || stop != end || value > limit) {
        return corrupt("a number in an extended header is malformed or too large");
    }
    return value;
}

// "940", "10485760.25": PAX times may have a fraction, which is dropped.
Result<std::uint64_t> seconds(std::string_view value) {
    const std::size_t dot = std::min(value.find('.'), value.size());
    return decimal(value.substr(0, dot), kMaxSeconds);
}

std::string joined_name(BytesView block) {
    const std::string_view prefix =
        is_posix(block) ? text_field(block, kPrefix) : std::string_view();
    const std::string_view name = text_field(block, kName);
    return prefix.empty() ? std::string(name) : std::string(prefix) + "/" + std::string(name);
}

}  // namespace

Result<TarReader::Event> TarReader::next() {
    while (true) {
        std::optional<Event> event = TRY(step());
        if (event) {
            return std::move(*event);
        }
    }
}

Result<> TarReader::finish() const {
    const bool between = state_ == State::Ended || (state_ == State::Header && block_filled_ == 0);
    if (!between || overrides_.pending) {
        return corrupt("it ends inside a member")
            .hint("The connection was cut or the sender failed: take the backup again.");
    }
    return {};
}

Result<std::optional<TarReader::Event>> TarReader::step() {
    switch (state_) {
        case State::Header:
            return step_header();
        case State::Data:
            return step_data();
        case State::Extension:
            return step_extension();
        case State::Ended:
            break;
    }
    return step_ended();
}

BytesView TarReader::take(std::uint64_t limit) {
    const std::size_t count = static_cast<std::size_t>(std::min<std::uint64_t>(limit, in_.size()));
    const BytesView taken = in_.first(count);
    in_ = in_.subspan(count);
    return taken;
}

// True once the body and its padding are behind us.
Result<bool> TarReader::take_padding() {
    const BytesView zeros = take(padding_);
    if (!base::is_zero(zeros)) {
        return corrupt("the padding after a member is not zero");
    }
    padding_ -= zeros.size();
    return padding_ == 0;
}

void TarReader::expect_body(State state, std::uint64_t size) {
    left_ = size;
    padding_ = (kBlock - size % kBlock) % kBlock;
    state_ = size == 0 ? State::Header : state;
}

Result<std::optional<TarReader::Event>> TarReader::step_header() {
    const BytesView part = take(kBlock - block_filled_);
    std::copy(part.begin(), part.end(),
              block_.begin() + static_cast<std::ptrdiff_t>(block_filled_));
    block_filled_ += part.size();
    if (block_filled_ < kBlock) {
        return std::optional<Event>(NeedMore{});
    }
    block_filled_ = 0;
    if (base::is_zero(block_)) {
        if (overrides_.pending) {
            return corrupt("an extended header has no member");
        }
        state_ = State::Ended;
        return std::optional<Event>();
    }
    TRY(check_sum(block_));
    if (!is_posix(block_) && !is_gnu(block_)) {
        return Error(Code::Unsupported, "tar archive: a header is neither POSIX nor GNU");
    }
    const char type = static_cast<char>(block_[kType]);
    if (type == 'x' || type == 'g' || type == 'L' || type == 'K') {
        const std::uint64_t size = TRY(number_field(block_, kSize, kMaxSize));
        TRY(begin_extension(size, type));
        return std::optional<Event>();
    }
    TarEntry entry = TRY(make_entry(type));
    overrides_ = Overrides();
    expect_body(State::Data, entry.size);
    return std::optional<Event>(std::move(entry));
}

Result<std::optional<TarReader::Event>> TarReader::step_data() {
    if (left_ > 0) {
        const BytesView bytes = take(left_);
        left_ -= bytes.size();
        return bytes.empty() ? std::optional<Event>(NeedMore{}) : std::optional<Event>(Data{bytes});
    }
    const bool done = TRY(take_padding());
    if (!done) {
        return std::optional<Event>(NeedMore{});
    }
    state_ = State::Header;
    return std::optional<Event>();
}

Result<std::optional<TarReader::Event>> TarReader::step_extension() {
    const BytesView bytes = take(left_);
    left_ -= bytes.size();
    extension_.insert(extension_.end(), bytes.begin(), bytes.end());
    if (left_ > 0) {
        return std::optional<Event>(NeedMore{});
    }
    const bool done = TRY(take_padding());
    if (!done) {
        return std::optional<Event>(NeedMore{});
    }
    TRY(apply_extension());
    extension_.clear();
    state_ = State::Header;
    return std::optional<Event>();
}

Result<std::optional<TarReader::Event>> TarReader::step_ended() {
    if (!base::is_zero(take(in_.size()))) {
        return corrupt("there are bytes after its end");
    }
    return std::optional<Event>(NeedMore{});
}

Result<> TarReader::begin_extension(std::uint64_t size, char type) {
    if (size == 0 || size > kMaxExtension) {
        return corrupt("an extended header is empty or larger than 64 KiB");
    }
    extension_type_ = type;
    overrides_.pending = overrides_.pending || type != 'g';
    expect_body(State::Extension, size);
    return {};
}

Result<> TarReader::apply_extension() {
    const std::string_view body = base::text(extension_);
    if (extension_type_ == 'x' || extension_type_ == 'g') {
        return apply_pax(body);
    }
    std::string value(body.substr(0, std::min(body.find('\0'), body.size())));
    (extension_type_ == 'L' ? overrides_.name : overrides_.link) = std::move(value);
    return {};
}

// Records of "LENGTH KEY=VALUE\n", where LENGTH counts the whole record.
Result<> TarReader::apply_pax(std::string_view records) {
    while (!records.empty()) {
        const std::size_t space = records.find(' ');
        if (space == std::string_view::npos) {
            return corrupt("an extended header is malformed");
        }
        const std::uint64_t length = TRY(decimal(records.substr(0, space), records.size()));
        if (length < space + 3 || records[length - 1] != '\n') {
            return corrupt("an extended header is malformed");
        }
        const std::string_view record = records.substr(space + 1, length - space - 2);
        const std::size_t equals = record.find('=');
        if (equals == std::string_view::npos) {
            return corrupt("an extended header is malformed");
        }
        TRY(apply_pax_record(record.substr(0, equals), record.substr(equals + 1)));
        records.remove_prefix(length);
    }
    return {};
}

Result<> TarReader::apply_pax_record(std::string_view key, std::string_view value) {
    const bool sparse = key.starts_with("GNU.sparse");
    const bool known = key == "path" || key == "linkpath" || key == "size" || key == "uid" ||
                       key == "gid" || key == "mtime";
    if (sparse || (known && extension_type_ == 'g')) {
        return Error(Code::Unsupported, "tar archive: an extended header sets '" +
                                            std::string(sparse ? "GNU.sparse" : key) +
                                            "' in a way that is not supported");
    }
    if (key == "path") {
        overrides_.name = std::string(value);
    } else if (key == "linkpath") {
        overrides_.link = std::string(value);
    } else if (key == "size") {
        overrides_.size = TRY(decimal(value, kMaxSize));
    } else if (key == "uid") {
        overrides_.uid = TRY(decimal(value, UINT32_MAX));
    } else if (key == "gid") {
        overrides_.gid = TRY(decimal(value, UINT32_MAX));
    } else if (key == "mtime") {
        overrides_.modified = TRY(seconds(value));
    }
    return {};
}

Result<TarEntry> TarReader::make_entry(char type) {
    TarEntry entry;
    if (type == '5') {
        entry.kind = TarKind::Directory;
    } else if (type == '2') {
        entry.kind = TarKind::Symlink;
    } else if (type != '0' && type != '\0') {
        return Error(Code::Unsupported,
                     "tar archive: a member is neither a file, a directory nor a symlink");
    }
    const std::uint64_t size = TRY(number_field(block_, kSize, kMaxSize));
    const std::uint64_t mode = TRY(number_field(block_, kMode, 07777777));
    const std::uint64_t uid = TRY(number_field(block_, kUid, UINT32_MAX));
    const std::uint64_t gid = TRY(number_field(block_, kGid, UINT32_MAX));
    const std::uint64_t modified = TRY(number_field(block_, kModified, kMaxSeconds));
    entry.name =
        TRY(safe_name(overrides_.name ? *overrides_.name : joined_name(block_), entry.kind));
    entry.size = overrides_.size.value_or(size);
    entry.mode = static_cast<std::uint32_t>(mode & 07777);
    entry.uid = static_cast<std::uint32_t>(overrides_.uid.value_or(uid));
    entry.gid = static_cast<std::uint32_t>(overrides_.gid.value_or(gid));
    entry.modified = base::Timestamp(std::chrono::seconds(overrides_.modified.value_or(modified)));
    if (entry.kind == TarKind::Symlink) {
        entry.link = overrides_.link ? *overrides_.link : std::string(text_field(block_, kLink));
    }
    const bool bad_link =
        entry.kind == TarKind::Symlink && (entry.link.empty() || entry.link.size() > kMaxName ||
                                           entry.link.find('\0') != std::string::npos);
    if (bad_link || (entry.kind != TarKind::File && entry.size != 0)) {
        return corrupt("a directory or symlink is malformed");
    }
    return entry;
}

}  // namespace lifeboat::postgres
