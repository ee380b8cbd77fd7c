#include "cli/check_progress.h"

#include <algorithm>
#include <atomic>

namespace lifeboat::cli {

namespace {

struct Counters {
    std::atomic<std::uint64_t> done = 0;
    std::atomic<std::uint64_t> total = 0;
};

}  // namespace

CheckProgressBar::CheckProgressBar(const std::string& label, Console& console) {
    const auto counters = std::make_shared<Counters>();  // shared: the bar's thread reads it
    watch = [counters](const repo::CheckProgress& progress) {
        counters->done = progress.bytes_done;
        counters->total = progress.bytes_total;
    };
    bar = console.progress([counters, label] {
        return Console::Tick{label, counters->done.load(), counters->total.load()};
    });
}

std::string check_pace(const repo::CheckReport& report, base::Duration took) {
    if (report.level == repo::CheckLevel::Names) {
        return base::human_duration(took);
    }
    const double seconds = std::max(1e-3, std::chrono::duration<double>(took).count());
    const std::uint64_t worked = std::max(report.plain_bytes, report.bytes);
    const auto rate = static_cast<std::uint64_t>(static_cast<double>(worked) / seconds);
    return base::human_duration(took) + ", " + base::human_size(rate) + "/s";
}

std::string check_sums(const repo::CheckReport& report, base::Duration took) {
    std::string text = "checked " + base::human_size(report.bytes) + " in " +
                       std::to_string(report.objects) + " objects";
    if (report.plain_bytes > 0) {
        text += ", " + base::human_size(report.plain_bytes) + " of data decrypted";
    }
    return text + "; " + check_pace(report, took);
}

}  // namespace lifeboat::cli
