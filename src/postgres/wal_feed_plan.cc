#include "postgres/wal_feed_plan.h"

#include <algorithm>
#include <charconv>

// Tested by wal_feed_plan_test.cc.

namespace lifeboat::postgres {

using base::Json;

FeedPlan FeedPlan::of(const PostgresPlan& plan) {
    FeedPlan out;
    out.system = plan.system;
    out.backup = plan.backup;
    out.repository = plan.repository;
    out.repository_id = plan.repository_id;
    out.system_identifier = plan.details.system_identifier;
    out.major = plan.details.major();
    const auto size = SegmentSize::of(plan.details.wal_segment_size);
    out.segment = size ? *size : SegmentSize{};
    out.way = plan.way;
    out.end = plan.way.back().end;
    out.local_timeline = plan.details.timeline;
    out.local_end = plan.details.stop;
    out.histories = plan.histories;
    return out;
}

Json FeedPlan::to_json() const {
    Json spans = Json::array();
    for (const TimelineSpan& span : way) {
        Json one = Json::object();
        one.set("timeline", span.timeline)
            .set("from", format_lsn(span.begin))
            .set("to", format_lsn(span.end));
        spans.push(std::move(one));
    }
    Json files = Json::array();
    for (const StoredHistoryFile& history : histories) {
        Json one = Json::object();
        one.set("timeline", history.timeline).set("contents", base::base64(history.contents));
        files.push(std::move(one));
    }
    Json json = Json::object();
    json.set("format", 1)
        .set("about",
             "How this server's recovery gets its WAL: see docs/format/recovery.md. It may be "
             "deleted once recovery is over.");
    json.set("system", system)
        .set("backup", backup)
        .set("repository", repository)
        .set("repository_id", base::hex(repository_id));
    json.set("system_identifier", std::to_string(system_identifier))
        .set("major", major)
        .set("segment_size", segment.bytes());
    json.set("way", std::move(spans)).set("end", format_lsn(end));
    json.set("local_timeline", local_timeline)
        .set("local_end", format_lsn(local_end))
        .set("histories", std::move(files));
    return json;
}

namespace {

Result<Lsn> lsn_of(const Json& json, std::string_view key) {
    const std::string text = TRY(json.text(key));
    auto lsn = parse_lsn(text);
    return lsn ? std::move(lsn) : Result<Lsn>(std::move(lsn).error().recode(Code::Corrupt));
}

Result<TimelineId> timeline_of(const Json& json, std::string_view key) {
    const std::int64_t value = TRY(json.integer(key));
    if (value <= 0 || value > 0xffffffffLL) {
        return Error(Code::Corrupt, "'" + std::to_string(value) + "' is no timeline");
    }
    return static_cast<TimelineId>(value);
}

Result<> parse_way(const Json& json, FeedPlan& plan) {
    const Json::Array* spans = TRY(json.list("way"));
    for (const Json& one : *spans) {
        TimelineSpan span;
        span.timeline = TRY(timeline_of(one, "timeline"));
        span.begin = TRY(lsn_of(one, "from"));
        span.end = TRY(lsn_of(one, "to"));
        const bool follows = plan.way.empty() || plan.way.back().end == span.begin;
        if (!follows || span.begin > span.end) {
            return Error(Code::Corrupt, "its way has a hole at " + format_lsn(span.begin));
        }
        plan.way.push_back(span);
    }
    if (plan.way.empty() || plan.way.back().end != plan.end) {
        return Error(Code::Corrupt, "its way does not lead to its end");
    }
    return {};
}

Result<> parse_histories(const Json& json, FeedPlan& plan) {
    const Json::Array* files = TRY(json.list("histories"));
    for (const Json& one : *files) {
        StoredHistoryFile history;
        history.timeline = TRY(timeline_of(one, "timeline"));
        const std::string contents = TRY(one.text("contents"));
        history.contents = TRY(base::from_base64(contents));
        plan.histories.push_back(std::move(history));
    }
    return {};
}

Result<> parse_cluster(const Json& json, FeedPlan& plan) {
    const std::string id = TRY(json.text("repository_id"));
    plan.repository_id = TRY(repo::parse_id(id));
    const std::string system = TRY(json.text("system_identifier"));
    const auto parsed =
        std::from_chars(system.data(), system.data() + system.size(), plan.system_identifier);
    if (parsed.ec != std::errc{} || parsed.ptr != system.data() + system.size()) {
        return Error(Code::Corrupt, "'" + system + "' is no system identifier");
    }
    const std::int64_t major = TRY(json.integer("major"));
    plan.major = static_cast<int>(major);
    const std::int64_t size = TRY(json.integer("segment_size"));
    plan.segment = TRY(SegmentSize::of(static_cast<std::uint64_t>(size)));
    return {};
}

}  // namespace

Result<FeedPlan> FeedPlan::from_json(const Json& json) {
    const std::int64_t format = TRY(json.integer("format"));
    if (format != 1) {
        return Error(Code::Unsupported, "the recovery plan is of format " + std::to_string(format) +
                                            ", this lifeboat reads 1");
    }
    FeedPlan plan;
    plan.system = TRY(json.text("system"));
    plan.backup = TRY(json.text("backup"));
    plan.repository = TRY(json.text("repository"));
    TRY(parse_cluster(json, plan));
    plan.end = TRY(lsn_of(json, "end"));
    TRY(parse_way(json, plan));
    plan.local_timeline = TRY(timeline_of(json, "local_timeline"));
    plan.local_end = TRY(lsn_of(json, "local_end"));
    TRY(parse_histories(json, plan));
    return plan;
}

// A server asks for a segment on the newest timeline that may have it first. Up to where a timeline
// begins, its first segment holds its ancestor's bytes, as its own server would have copied them.
FeedSegment plan_segment(const FeedPlan& plan, TimelineId timeline, std::uint64_t number) {
    const Lsn start = plan.segment.start_of(number);
    const Lsn end = start + plan.segment.bytes();
    const auto own = std::find_if(plan.way.begin(), plan.way.end(), [&](const TimelineSpan& span) {
        return span.timeline == timeline;
    });
    FeedSegment out;
    if (own == plan.way.end() || own->begin >= end || own->end <= start) {
        return out;
    }
    bool all_local = true;
    for (auto span = plan.way.begin(); span != own + 1; ++span) {
        const FeedPart part{span->timeline, std::max(span->begin, start), std::min(span->end, end)};
        if (part.from < part.to) {
            out.parts.push_back(part);
            all_local =
                all_local && part.timeline == plan.local_timeline && part.to <= plan.local_end;
        }
    }
    // The way may begin inside its first segment; the server reads the page headers before.
    if (!out.parts.empty() && out.parts.front().from > start &&
        out.parts.front().from == plan.way.front().begin) {
        out.parts.front().from = start;
    }
    if (!out.parts.empty()) {
        out.kind = all_local ? FeedSegment::Kind::Local : FeedSegment::Kind::Needed;
    }
    return out;
}

std::vector<std::pair<TimelineId, std::uint64_t>> segments_in_order(const FeedPlan& plan) {
    std::vector<std::pair<TimelineId, std::uint64_t>> out;
    for (const TimelineSpan& span : plan.way) {
        if (span.begin >= span.end) {
            continue;
        }
        // The segment in which the next timeline begins is asked for under that timeline.
        while (!out.empty() && out.back().second >= plan.segment.number_at(span.begin)) {
            out.pop_back();
        }
        for (std::uint64_t n = plan.segment.number_at(span.begin);
             n <= plan.segment.number_before(span.end); ++n) {
            out.emplace_back(span.timeline, n);
        }
    }
    return out;
}

}  // namespace lifeboat::postgres
