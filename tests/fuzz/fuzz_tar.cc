// Feeds hostile bytes to the tar reader, whole and in pieces, which must not differ. Whatever it
// passes on must be safe to use as a path below a directory, and a file's data must add up to its
// size.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/check.h"
#include "postgres/tar_reader.h"

namespace {

using lifeboat::base::BytesView;
using lifeboat::postgres::TarEntry;
using lifeboat::postgres::TarKind;
using lifeboat::postgres::TarReader;

bool is_safe(const TarEntry& entry) {
    if (entry.name == ".") {
        return entry.kind == TarKind::Directory;
    }
    const std::string framed = "/" + entry.name + "/";
    return framed.find('\0') == std::string::npos && framed.find("//") == std::string::npos &&
           framed.find("/./") == std::string::npos && framed.find("/../") == std::string::npos &&
           entry.name.size() <= TarReader::kMaxName;
}

// All that the reader says about `bytes`, as text.
std::string read(BytesView bytes, std::size_t piece) {
    TarReader reader;
    std::string said;
    std::uint64_t due = 0;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        reader.supply(bytes.subspan(at, std::min(piece, bytes.size() - at)));
        while (true) {
            const auto event = reader.next();
            if (!event) {
                return said + "!" + event.error().message();
            }
            if (const auto* entry = std::get_if<TarEntry>(&*event)) {
                LB_CHECK(due == 0);
                LB_CHECK(is_safe(*entry));
                LB_CHECK(entry->kind == TarKind::File || entry->size == 0);
                due = entry->size;
                said += "\n" + entry->name + ">" + entry->link + " " + std::to_string(entry->size) +
                        " " + std::to_string(entry->mode) + "=";
            } else if (const auto* data = std::get_if<TarReader::Data>(&*event)) {
                LB_CHECK(!data->bytes.empty() && data->bytes.size() <= due);
                due -= data->bytes.size();
                said += lifeboat::base::text(data->bytes);
            } else {
                break;
            }
        }
    }
    const auto finished = reader.finish();
    LB_CHECK(!finished || due == 0);
    return said + (finished ? "" : "!" + finished.error().message());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    if (size == 0) {
        return 0;
    }
    const BytesView archive(bytes + 1, size - 1);
    LB_CHECK(read(archive, SIZE_MAX / 2) == read(archive, 1 + std::size_t{bytes[0]} * 3));
    return 0;
}
