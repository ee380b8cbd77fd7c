#include "engine/data_engine.h"

#include <utility>

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
    std::vector<Finding> sorted;  // std::stable_sort: clang calls what it uses deprecated
    for (const Severity severity : {Severity::Error, Severity::Warn, Severity::Info}) {
        for (Finding& finding : findings) {
            if (finding.severity == severity) {
                sorted.push_back(std::move(finding));
            }
        }
    }
    findings = std::move(sorted);
}

}  // namespace lifeboat::engine
