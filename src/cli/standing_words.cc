#include "cli/standing_words.h"

namespace lifeboat::cli {

using policy::Assessment;
using policy::Verdict;

std::string verdict_word(Verdict verdict, const Console& console) {
    switch (verdict) {
        case Verdict::Met:
            return console.tint(Tone::Good, "ok");
        case Verdict::Missed:
            return console.tint(Tone::Bad, "LATE");
        case Verdict::Unknown:
            break;
    }
    return console.tint(Tone::Warn, "unknown");
}

namespace {

std::string padded(const std::string& label) {
    constexpr std::size_t kWidth = 13;
    return label + std::string(label.size() < kWidth ? kWidth - label.size() : 1, ' ');
}

void show_assessment(const std::string& label, const Assessment& assessment,
                     const std::string& indent, Console& console) {
    console.line(indent + padded(label) + verdict_word(assessment.verdict, console) + "  " +
                 assessment.reason);
}

void show_stream(const service::Standing& standing, const std::string& indent, Console& console) {
    if (!standing.stream_trouble.empty()) {
        console.line(indent + padded("stream") + console.tint(Tone::Warn, "not protecting") + "  " +
                     standing.stream_trouble);
        return;
    }
    if (!standing.stream) {
        return;
    }
    const engine::StreamState& s = standing.stream->state;
    std::string text =
        s.phase + " at " + s.position + ", " + base::human_size(s.lag_bytes) + " behind";
    text += s.gaps > 0 ? ", " + std::to_string(s.gaps) + " gaps" : "";
    console.line(indent + padded("stream") + text);
    if (!s.trouble.empty()) {
        console.line(indent + padded("") + console.tint(Tone::Warn, "note") + "  " + s.trouble);
    }
}

}  // namespace

void show_standing(const service::Standing& standing, const std::string& indent, Console& console) {
    if (standing.newest) {
        console.line(indent + padded("newest") + standing.newest->backup + ", ended " +
                     base::human_time(standing.newest->stop) + ", of " +
                     std::to_string(standing.backups));
    }
    if (standing.damaged_pages > 0) {
        console.line(indent + padded("pages") + console.tint(Tone::Bad, "DAMAGED") + "  " +
                     std::to_string(standing.damaged_pages) +
                     " in the newest backup, as they are on the server");
    }
    if (standing.newest_point) {
        console.line(indent + padded("recoverable") + "to " +
                     base::human_time(*standing.newest_point, 3));
    }
    show_assessment("backup age", standing.backup_age, indent, console);
    show_assessment("data loss", standing.rpo, indent, console);
    show_assessment("recovery", standing.rto, indent, console);
    show_stream(standing, indent, console);
}

}  // namespace lifeboat::cli
