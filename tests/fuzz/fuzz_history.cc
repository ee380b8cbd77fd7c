// Timeline histories, WAL file names and positions from hostile text. The text is cut at zero
// bytes; each part is taken for the history of a timeline, a name and a position. Never crashes;
// names and positions that are accepted are written back as they were read; histories that are
// accepted together answer every question without contradiction.

#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "postgres/lsn.h"
#include "postgres/timeline.h"

namespace {

using namespace lifeboat::postgres;

void check_name(std::string_view text, SegmentSize size) {
    const auto file = parse_wal_file_name(text, size);
    if (!file) {
        return;
    }
    LB_CHECK(file->timeline != 0);
    switch (file->kind) {
        case WalFileKind::Segment:
            LB_CHECK(segment_name(file->timeline, file->segment, size) == text);
            break;
        case WalFileKind::Partial:
            LB_CHECK(partial_name(file->timeline, file->segment, size) == text);
            break;
        case WalFileKind::History:
            LB_CHECK(history_name(file->timeline) == text);
            break;
        case WalFileKind::BackupLabel:
            LB_CHECK(text.starts_with(segment_name(file->timeline, file->segment, size)));
            break;
    }
}

void check_position(std::string_view text) {
    const auto lsn = parse_lsn(text);
    LB_CHECK(!lsn || parse_lsn(format_lsn(*lsn)).value() == *lsn);
}

void check_tree(const TimelineTree& tree) {
    for (const TimelineId target : tree.timelines()) {
        for (const TimelineId from : tree.timelines()) {
            const auto left = tree.departure(from, target);
            LB_CHECK(left.has_value() == tree.is_ancestor(from, target));
            if (!left) {
                continue;
            }
            const auto path = tree.path(from, *left, target);
            LB_CHECK(path && !path->empty() && path->back().timeline == target &&
                     !path->back().end.is_set());
            for (std::size_t i = 1; i < path->size(); ++i) {
                LB_CHECK((*path)[i - 1].end == (*path)[i].begin);
                LB_CHECK(tree.timeline_at((*path)[i].begin, target).value() == (*path)[i].timeline);
            }
        }
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::string_view rest(reinterpret_cast<const char*>(data), size);
    TimelineTree tree;
    TimelineId timeline = 1;
    while (!rest.empty() && timeline < 12) {
        const std::string_view text = rest.substr(0, rest.find('\0'));
        rest.remove_prefix(std::min(text.size() + 1, rest.size()));
        const auto history = parse_history(++timeline, text);
        if (history) {
            tree.add(*history).discard("it may contradict the others");
        }
        check_name(text, {});
        check_name(text, SegmentSize::of(1 << 30).value());
        check_position(text);
    }
    check_tree(tree);
    return 0;
}
