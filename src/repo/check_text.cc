#include <array>
#include <cstdio>
#include <tuple>

#include "repo/check.h"

// The report of check in sentences.

namespace lifeboat::repo {

namespace {

constexpr std::size_t kMostNamed =
    20;  // of files, or objects: enough to act on, and still a page of text

std::string number(std::uint64_t n) {
    std::string digits = std::to_string(n);
    for (std::size_t at = digits.size(); at > 3; at -= 3) {
        digits.insert(at - 3, ",");
    }
    return digits;
}

std::string counted(std::uint64_t n, const char* one, const char* many) {
    return number(n) + " " + (n == 1 ? one : many);
}

// A path of a backup may hold any byte; a terminal must not obey it.
std::string shown(const std::string& path) {
    std::string out;
    for (const char c : path) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f) {
            std::array<char, 8> escaped{};
            std::snprintf(escaped.data(), escaped.size(), "\\x%02x", byte);
            out += escaped.data();
        } else {
            out += c;
        }
    }
    return out;
}

std::string pages_of(const LostFile& file) {
    const bool all =
        file.lost.size() == 1 && file.lost[0].first == 0 && file.lost[0].last + 1 >= file.pages;
    if (all) {
        return "all of it";
    }
    std::string out;
    std::uint64_t lost = 0;
    for (const PageRange& range : file.lost) {
        lost += range.last - range.first + 1;
        out += (out.empty() ? "" : ", ") + number(range.first);
        out += range.first == range.last ? "" : "-" + number(range.last);
    }
    if (file.lost.size() > kMostNamed) {
        return counted(lost, "page", "pages") + " in " +
               counted(file.lost.size(), "place", "places");
    }
    return (lost == 1 ? "page " : "pages ") + out;
}

std::string files_of(const BackupCheck& backup) {
    std::string out;
    for (std::size_t i = 0; i < backup.lost.size() && i < kMostNamed; ++i) {
        out += (i == 0 ? "" : ", ") + shown(backup.lost[i].path) + " (" + pages_of(backup.lost[i]) +
               ")";
    }
    if (backup.lost.size() > kMostNamed) {
        out += " and " + counted(backup.lost.size() - kMostNamed, "more file", "more files");
    }
    return out;
}

std::string rest_of(const BackupCheck& backup) {
    const std::uint64_t rest = backup.files - backup.lost.size();
    if (rest == 0) {
        return "it has no other file";
    }
    return rest == 1 ? "its other file is whole" : "its other " + number(rest) + " files are whole";
}

std::string troubled_objects(const BackupCheck& backup) {
    std::string out;
    const auto add = [&out](std::size_t count, const char* what) {
        if (count > 0) {
            out += (out.empty() ? "" : " and ") + number(count) + " " + what;
        }
    };
    add(backup.missing.size(), "missing");
    add(backup.damaged.size(), "damaged");
    add(backup.unread.size(), "unreadable");
    return out;
}

std::string sentence_of(const BackupCheck& backup) {
    const std::string subject = "backup " + backup.name.backup + " of " + backup.name.system;
    if (!backup.fatal.empty()) {
        return subject + " cannot be restored: " + backup.fatal;
    }
    if (backup.state == BackupState::Unknown) {
        const std::string objects = troubled_objects(backup);
        return subject + " is neither proven whole nor damaged: " +
               (objects.empty() ? "not all of it could be opened with the keys at hand"
                                : "of the objects that it needs " + objects);
    }
    if (!backup.paths_known) {
        return subject + " is degraded: of the objects that it needs " + troubled_objects(backup) +
               "; which files that costs is known with the key of its host, or an identity";
    }
    const std::string may = backup.exact ? " cannot restore " : " may not be able to restore ";
    return subject + may + files_of(backup) + "; " + rest_of(backup) +
           (backup.exact ? "" : "; with an identity the pages are known exactly");
}

// As PostgreSQL writes a position in its log.
std::string position(std::uint64_t lsn) {
    std::array<char, 32> out{};
    std::snprintf(out.data(), out.size(), "%X/%X", static_cast<unsigned>(lsn >> 32),
                  static_cast<unsigned>(lsn));
    return out.data();
}

std::string place_of(const StreamRange& range) {
    return position(range.from) + " to " + position(range.to) + " on timeline " +
           std::to_string(range.timeline);
}

std::string reason_of(StreamLossKind kind) {
    switch (kind) {
        case StreamLossKind::Recorded:
            return "lost before it was captured, as a gap records";
        case StreamLossKind::Hole:
            return "no object holds it, and no gap says why";
        case StreamLossKind::Damaged:
            return "the objects that held it are damaged";
        case StreamLossKind::Unread:
            return "the objects that hold it could not be looked at";
    }
    return {};
}

using Lines = std::vector<std::string>;

void add_objects(Lines& lines, const std::vector<ObjectFinding>& findings, const char* is,
                 const char* are) {
    for (std::size_t i = 0; i < findings.size() && i < kMostNamed; ++i) {
        lines.push_back("'" + findings[i].name + "' " + is + ": " + findings[i].why);
    }
    if (findings.size() > kMostNamed) {
        const std::size_t more = findings.size() - kMostNamed;
        lines.push_back(counted(more, "more object ", "more objects ") + (more == 1 ? is : are));
    }
}

void add_sum(Lines& lines, const std::vector<ObjectFinding>& findings, const std::string& text) {
    std::uint64_t bytes = 0;
    for (const ObjectFinding& finding : findings) {
        bytes += finding.size;
    }
    if (!findings.empty()) {
        lines.push_back(counted(findings.size(), "object", "objects") + " of " +
                        base::human_size(bytes) + " " + text);
    }
}

void add_backups(Lines& lines, const CheckReport& report) {
    std::size_t whole = 0;
    for (const BackupState wanted : {BackupState::Degraded, BackupState::Unknown}) {
        for (const BackupCheck& backup : report.backups) {
            if (backup.state == wanted) {
                lines.push_back(sentence_of(backup));
            }
        }
    }
    for (const BackupCheck& backup : report.backups) {
        whole += backup.state == BackupState::Whole ? 1 : 0;
        for (const std::string& warning : backup.warnings) {
            lines.push_back("backup " + backup.name.backup + " of " + backup.name.system + ": " +
                            warning);
        }
    }
    if (whole > 0) {
        lines.push_back(counted(whole, "backup is", "backups are") + " whole");
    }
    if (report.backups.empty()) {
        lines.emplace_back("there is no backup");
    }
}

void add_streams(Lines& lines, const CheckReport& report) {
    for (const StreamCheck& stream : report.streams) {
        for (const StreamLoss& loss : stream.lost) {
            lines.push_back("the stream of " + stream.system + " lacks " + place_of(loss.range) +
                            ": " + reason_of(loss.kind));
        }
        std::uint64_t twice = 0;
        for (const StreamRange& range : stream.twice) {
            twice += range.to - range.from;
        }
        if (twice > 0) {
            lines.push_back("the stream of " + stream.system + " holds " + base::human_size(twice) +
                            " more than once, which does no harm");
        }
    }
}

std::string level_text(const CheckReport& report) {
    switch (report.level) {
        case CheckLevel::Names:
            return "names and sizes were compared; no object was read";
        case CheckLevel::Objects:
            return "every object was read; none was decrypted";
        case CheckLevel::Data:
            return "every object was read, and " + base::human_size(report.plain_bytes) +
                   " of data decrypted and expanded";
    }
    return {};
}

}  // namespace

std::vector<std::string> describe(const CheckReport& report) {
    Lines lines;
    add_backups(lines, report);
    add_streams(lines, report);
    add_objects(lines, report.missing, "is missing", "are missing");
    add_objects(lines, report.damaged, "is damaged", "are damaged");
    add_objects(lines, report.unread, "could not be looked at", "could not be looked at");
    add_sum(lines, report.unreferenced,
            report.references_known
                ? "of no committed backup: of one that runs now, or that never ended"
                : "of no backup whose manifest could be read");
    add_sum(lines, report.expired, "past expiry: may be pruned");
    add_sum(lines, report.foreign, "not named as lifeboat names: left alone");
    lines.push_back(counted(report.objects, "object", "objects") + ", " +
                    base::human_size(report.bytes) + ": " + level_text(report));
    return lines;
}

}  // namespace lifeboat::repo
