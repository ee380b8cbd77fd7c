#include "engine/data_engine.h"

#include <algorithm>

namespace lifeboat::engine {

std::string_view name(Severity severity) {
    switch (severity) {
        case Severity::Info:
            return "info";
        case Severity::Warn:
            return "warn";
        case Severity::Error:
            return "error";
    }
    return "unknown";
}

void sort_findings(std::vector<Finding>& findings) {
    std::stable_sort(findings.begin(), findings.end(),
                     [](const Finding& a, const Finding& b) { return a.severity > b.severity; });
}

}  // namespace lifeboat::engine
