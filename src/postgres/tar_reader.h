#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/bytes.h"
#include "base/time.h"

namespace lifeboat::postgres {

enum class TarKind { File, Directory, Symlink };

// The head of one archive member. `name` is relative, has no "", "." or ".." parts and no trailing
// slash; only the root directory of an archive may be ".".
struct TarEntry {
    TarKind kind = TarKind::File;
    std::string name;
    std::string link;        // where a symlink points, as written: not judged
    std::uint64_t size = 0;  // of the data that follows; 0 unless a file
    std::uint32_t mode = 0;  // permission bits
    std::uint32_t uid = 0;
    std::uint32_t gid = 0;
    base::Timestamp modified;
};

// Reads POSIX ustar archives with PAX and GNU long names, from bytes that may be hostile, in pieces
// of any size. Strict: checksums, numbers, names and padding are checked; hard links, devices,
// sparse files and names that would leave the directory are Corrupt or Unsupported, never passed
// on. Memory is bounded by kMaxExtension. One thread. After a failure the reader is of no more use.
//
//     reader.supply(chunk);             // borrowed until next() answers NeedMore
//     auto event = TRY(reader.next());  // until NeedMore, then the next chunk
//     TRY(reader.finish());             // after the last chunk
//
// A file is followed by Data events that add up to its size; its end has no event of its own.
// Servers before 15 omit the two zero blocks that end an archive, so their absence is no failure; a
// member that is cut short is one.
class TarReader {
  public:
    static constexpr std::size_t kBlock = 512;
    static constexpr std::size_t kMaxName = 4096;
    static constexpr std::size_t kMaxExtension =
        64 * base::kKiB;  // of one PAX or GNU long-name member
    static constexpr std::uint64_t kMaxSize = std::uint64_t{1} << 60;

    struct NeedMore {};

    struct Data {
        base::BytesView bytes;  // borrowed from the chunk; never empty
    };

    using Event = std::variant<NeedMore, TarEntry, Data>;

    void supply(base::BytesView chunk) { in_ = chunk; }

    base::Result<Event> next();
    base::Result<> finish() const;

  private:
    enum class State { Header, Data, Extension, Ended };

    // What PAX and GNU members say about the member after them.
    struct Overrides {
        std::optional<std::string> name;
        std::optional<std::string> link;
        std::optional<std::uint64_t> size;
        std::optional<std::uint64_t> uid;
        std::optional<std::uint64_t> gid;
        std::optional<std::uint64_t> modified;  // seconds
        bool pending = false;                   // such a member was seen, and must not be the last
    };

    base::BytesView take(std::uint64_t limit);
    base::Result<bool> take_padding();
    base::Result<std::optional<Event>> step();
    base::Result<std::optional<Event>> step_header();
    base::Result<std::optional<Event>> step_data();
    base::Result<std::optional<Event>> step_extension();
    base::Result<std::optional<Event>> step_ended();
    base::Result<> begin_extension(std::uint64_t size, char type);
    base::Result<> apply_extension();
    base::Result<> apply_pax(std::string_view records);
    base::Result<> apply_pax_record(std::string_view key, std::string_view value);
    base::Result<TarEntry> make_entry(char type);
    void expect_body(State state, std::uint64_t size);

    State state_ = State::Header;
    base::BytesView in_;
    std::array<base::Byte, kBlock> block_{};
    std::size_t block_filled_ = 0;
    std::uint64_t left_ = 0;     // bytes of the member's body still to come
    std::uint64_t padding_ = 0;  // zeros after them, up to the next block
    base::Bytes extension_;
    char extension_type_ = 0;
    Overrides overrides_;
};

}  // namespace lifeboat::postgres
