#include "cli/commands.h"
#include "service/doctor.h"

namespace lifeboat::cli {

namespace {

using engine::Severity;

std::string mark(Severity severity, const Console& console) {
    switch (severity) {
        case Severity::Error:
            return console.tint(Tone::Bad, "error");
        case Severity::Warn:
            return console.tint(Tone::Warn, "warn ");
        case Severity::Info:
            break;
    }
    return console.tint(Tone::Dim, "info ");
}

void show_section(const service::DoctorSection& section, Console& console) {
    console.line(console.tint(Tone::Bold, section.title));
    if (section.findings.empty()) {
        console.line("  " + console.tint(Tone::Good, "ok") + "     nothing was found");
    }
    for (const engine::Finding& finding : section.findings) {
        console.line("  " + mark(finding.severity, console) + "  " +
                     console.tint(Tone::Bold, finding.subject) + ": " + finding.what);
        if (!finding.remedy.empty()) {
            console.line("         -> " + finding.remedy);
        }
    }
}

std::string counted(std::size_t n, const std::string& what) {
    return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

}  // namespace

int run_doctor(const service::World& world, const Common& common, const DoctorArguments& arguments,
               Console& console) {
    auto installation = service::Installation::open(world, common.config);
    if (!installation) {
        return console.fail(installation.error());
    }
    const auto report = service::doctor(*installation, {arguments.systems, arguments.repository});
    if (!report) {
        return console.fail(report.error());
    }
    for (const service::DoctorSection& section : report->sections) {
        show_section(section, console);
    }
    console.line(counted(report->count(Severity::Error), "error") + ", " +
                 counted(report->count(Severity::Warn), "warning"));
    return console.finish(report->to_json(), report->exit_code());
}

}  // namespace lifeboat::cli
