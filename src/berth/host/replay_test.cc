// SPDX-License-Identifier: Apache-2.0
#include "berth/host/replay.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <tuple>

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <boost/json.hpp>

#include "berth/core/scheduler.h"
#include "berth/host/event_json.h"
#include "berth/host/journal.h"

// Events are compared nowhere else.
namespace berth::core {

static bool operator==(const JobArrived& a, const JobArrived& b) {
  const auto members = [](const JobArrived& e) {
    return std::tie(e.job, e.kind, e.server, e.job_class, e.client, e.need, e.parent, e.hold,
                    e.servers, e.exclusive, e.limit, e.kept_alive);
  };
  return members(a) == members(b);
}
static bool operator==(const JobWithdrawn& a, const JobWithdrawn& b) {
  return a.job == b.job;
}
static bool operator==(const JobEnded& a, const JobEnded& b) {
  return a.job == b.job && a.how == b.how;
}
static bool operator==(const EffectEnded& a, const EffectEnded& b) {
  return std::tie(a.effect, a.result.error, a.result.state_restored) ==
         std::tie(b.effect, b.result.error, b.result.state_restored);
}
static bool operator==(const ServerChanged& a, const ServerChanged& b) {
  return std::tie(a.server, a.generation, a.fact, a.detail) ==
         std::tie(b.server, b.generation, b.fact, b.detail);
}
static bool operator==(const Measured& a, const Measured& b) {
  return std::tie(a.effect, a.error, a.pools, a.holders) ==
         std::tie(b.effect, b.error, b.pools, b.holders);
}
static bool operator==(const UserAsked& a, const UserAsked& b) {
  return a.what == b.what && a.server == b.server;
}
static bool operator==(const TimerFired& a, const TimerFired& b) {
  return a.timer == b.timer;
}
static bool operator==(const Recovered& a, const Recovered& b) {
  return std::tie(a.config, a.rows, a.found, a.holds) ==
         std::tie(b.config, b.rows, b.found, b.holds);
}

}  // namespace berth::core

namespace berth::host {
namespace {

namespace json = boost::json;
using testing::HasSubstr;

core::Config config() {
  core::Config config;
  config.pools = {{"ram", core::PoolKind::capped, 600_MiB, 7_MiB},
                  {"vram", core::PoolKind::device, 8_GiB, {}}};
  core::ServerConfig chat{.name = "chat", .wanted = core::Wanted::on, .slots = 2};
  chat.footprint.shares = {{PoolId{0}, 300_MiB}};
  core::ServerConfig image{.name = "image", .job_class = core::ServerClass::image};
  image.footprint.shares = {{PoolId{0}, 400_MiB}};
  image.drain_limit = std::nullopt;
  image.job_limit = 90s;
  image.source = core::FootprintSource::learned;
  chat.while_displaced = core::WhileDisplaced::fallback;
  chat.fallback = ServerId{1};
  chat.max_hold = 17s;
  config.servers = {chat, image};
  config.policy.oversize = core::Oversize::refuse;
  return config;
}

core::Footprint footprint() {
  return {{{PoolId{0}, 3_MiB}, {PoolId{1}, Bytes{1}}}};
}

core::Measured sample(Bytes free) {
  core::Measured measured{.effect = EffectId{9}};
  measured.pools = {{PoolId{0}, 600_MiB, free, 5_MiB}, {PoolId{1}, 8_GiB, 8_GiB, {}}};
  measured.holders = {{4711, "python3 \"\xff\"", std::nullopt, {}, footprint()},
                      {4712, "llama-server", ServerId{0}, Generation{3}, footprint()}};
  return measured;
}

core::Recovered world() {
  core::Recovered world{.config = config()};
  core::Row row{.server = ServerId{0}, .wanted = core::Wanted::on, .generation = Generation{7}};
  row.displaced = core::Displacement{Instant{-5s}, ServerId{1}, core::After::on_request};
  row.skip_next_restore = true;
  world.rows = {row, {.server = ServerId{1}}};
  world.found = {{ServerId{1}, Generation{2}, true}};
  world.holds = {{.job = JobId{9}, .kind = core::JobKind::hold, .servers = {ServerId{1}}}};
  return world;
}

/// Every kind of event, with every member away from its default, and with every optional left out.
std::vector<core::Event> events() {
  core::JobArrived arrival{JobId{5},
                           core::JobKind::lease,
                           ServerId{1},
                           core::ServerClass::batch,
                           "a \n \"client\"",
                           footprint(),
                           JobId{3},
                           JobId{4},
                           {ServerId{0}, ServerId{1}},
                           true,
                           5min,
                           true};
  const Error error{ErrorCode::memory_not_released, "held by \"x\""};
  core::Measured failed{.effect = EffectId{2}};
  failed.error = error;
  return {arrival,
          core::JobArrived{.job = JobId{1}},
          core::JobWithdrawn{JobId{5}},
          core::JobEnded{JobId{5}, core::JobEnd::cut},
          core::EffectEnded{EffectId{6}, {}},
          core::EffectEnded{EffectId{6}, {error, false}},
          core::ServerChanged{ServerId{1}, Generation{8}, core::ServerChanged::Fact::unresponsive,
                              "exit code 1"},
          sample(123_MiB),
          failed,
          core::UserAsked{core::UserAsked::What::clear_saved_state, ServerId{1}},
          core::TimerFired{TimerId{11}},
          world(),
          core::Recovered{}};
}

TEST(EventJson, EveryEventIsReadBackAsItWasWritten) {
  const core::Config names = config();
  std::set<std::size_t> kinds;
  for (const core::Event& event : events()) {
    const json::object written = to_json(event, names);
    const std::string text = json::serialize(written);
    json::parse_options options;
    options.allow_invalid_utf8 = true;
    const json::value parsed = json::parse(text, {}, options);
    const Result<core::Event> read = event_from_json(parsed.get_object(), names);
    ASSERT_TRUE(read) << text << ": " << read.error().message;
    EXPECT_TRUE(*read == event) << text;
    EXPECT_EQ(json::serialize(to_json(*read, names)), text);
    kinds.insert(event.index());
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<core::Event>);
}

TEST(EventJson, AMemberThatIsMissingOrWrongIsNamed) {
  const core::Config names = config();
  for (const core::Event& event : events()) {
    const json::object whole = to_json(event, names);
    for (const auto& member : whole) {
      json::object wrong = whole;
      wrong[member.key()] = json::array{json::array{}};
      EXPECT_FALSE(event_from_json(wrong, names)) << json::serialize(wrong);
    }
  }
  json::object job = to_json(core::Event(core::JobEnded{JobId{1}}), names);
  job["how"] = "perhaps";
  EXPECT_THAT(event_from_json(job, names).error().message,
              HasSubstr(R"("how" cannot be "perhaps")"));
  job.erase("job");
  EXPECT_THAT(event_from_json(job, names).error().message, HasSubstr(R"("job" is missing)"));
}

/// Adds the value, and for each change a copy with that change alone.
template <class Type, class... Changes>
void add_varied(std::vector<core::Action>& out, const Type& base, Changes... changes) {
  out.emplace_back(base);
  const auto add = [&](auto change) {
    Type each = base;
    change(each);
    out.emplace_back(each);
  };
  (add(changes), ...);
}

void add_announcements(std::vector<core::Action>& out) {
  core::Announce base;
  base.numbers = core::Admission{};
  add_varied(
      out, base, [](auto& a) { a.reason = core::Reason::restored; },
      [](auto& a) { a.server = ServerId{1}; }, [](auto& a) { a.victims = {ServerId{0}}; },
      [](auto& a) {
        a.victims = {ServerId{0}, ServerId{1}};
      },
      [](auto& a) { a.job = JobId{0}; }, [](auto& a) { a.numbers.reset(); },
      [](auto& a) { a.numbers->pool = PoolId{1}; }, [](auto& a) { a.numbers->need = Bytes{1}; },
      [](auto& a) { a.numbers->others = Bytes{1}; }, [](auto& a) { a.numbers->limit = Bytes{1}; },
      [](auto& a) { a.numbers->capacity = Bytes{1}; },
      [](auto& a) { a.numbers->foreign = Bytes{1}; }, [](auto& a) { a.numbers->free = Bytes{1}; },
      [](auto& a) { a.holders = sample({}).holders; },
      [](auto& a) {
        a.error = Error{ErrorCode::io, ""};
      });
}

void add_commits(std::vector<core::Action>& out) {
  core::Commit base;
  base.row.displaced = core::Displacement{};
  add_varied(
      out, base, [](auto& a) { a.effect = EffectId{1}; },
      [](auto& a) { a.row.server = ServerId{1}; },
      [](auto& a) { a.row.wanted = core::Wanted::off; },
      [](auto& a) { a.row.generation = Generation{1}; }, [](auto& a) { a.row.displaced.reset(); },
      [](auto& a) { a.row.displaced->since = Instant{1ns}; },
      [](auto& a) { a.row.displaced->by = ServerId{1}; },
      [](auto& a) { a.row.displaced->after = core::After::on_request; },
      [](auto& a) { a.row.skip_next_restore = true; });
}

TEST(ActionJson, ActionsThatDifferInOneMemberHaveDifferentTexts) {
  std::vector<core::Action> actions;
  add_commits(actions);
  add_varied(
      actions, core::MoveTo{}, [](auto& a) { a.effect = EffectId{1}; },
      [](auto& a) { a.server = ServerId{1}; }, [](auto& a) { a.rung = core::Rung::resident; },
      [](auto& a) { a.keep = false; }, [](auto& a) { a.generation = Generation{1}; },
      [](auto& a) { a.deadline = 1ns; });
  add_varied(
      actions, core::Dispatch{}, [](auto& a) { a.job = JobId{1}; },
      [](auto& a) { a.server = ServerId{1}; }, [](auto& a) { a.generation = Generation{1}; });
  add_varied(
      actions, core::Cancel{}, [](auto& a) { a.job = JobId{1}; },
      [](auto& a) { a.reason = core::CancelReason::drain_limit; });
  add_varied(actions, core::Measure{}, [](auto& a) { a.effect = EffectId{1}; });
  add_varied(
      actions, core::SetTimer{}, [](auto& a) { a.timer = TimerId{1}; },
      [](auto& a) { a.at = Instant{1ns}; });
  add_varied(
      actions, core::Reject{}, [](auto& a) { a.job = JobId{1}; },
      [](auto& a) { a.error.code = ErrorCode::io; }, [](auto& a) { a.error.message = "a"; },
      [](auto& a) { a.retry_after = 0ns; }, [](auto& a) { a.retry_after = 1ns; });
  add_announcements(actions);
  std::set<std::string> texts;
  std::set<std::size_t> kinds;
  for (const core::Action& action : actions) {
    const std::string text = json::serialize(to_json(action, config()));
    EXPECT_TRUE(texts.insert(text).second) << text << " stands for two actions";
    kinds.insert(action.index());
  }
  EXPECT_EQ(kinds.size(), std::variant_size_v<core::Action>);
}

/// A journal as the host writes it: one run, in which a picture displaces the LLM.
class ReplayTest : public testing::Test {
 protected:
  ReplayTest() : folder_(make_folder()), path_(folder_ / "journal.jsonl") {}
  ~ReplayTest() override { std::filesystem::remove_all(folder_); }

  static std::filesystem::path make_folder() {
    std::string name = (std::filesystem::temp_directory_path() / "berth-XXXXXX").string();
    return ::mkdtemp(name.data());
  }

  /// One life of Berth; the file is closed at its end.
  void run() {
    const auto opened = Journal::open(path_.string());
    ASSERT_TRUE(opened);
    Journal& journal = **opened;
    core::Scheduler core;
    const auto tell = [&](const core::Event& event) {
      const Journal::Stamp stamp{Instant{Duration{++tick_}}, WallTime{tick_}};
      journal.write(stamp, event, config());
      std::vector<core::Action> actions = core.apply(stamp.at, event);
      for (const core::Action& action : actions)
        journal.write(stamp, action, config());
      return actions;
    };
    core::Recovered world{.config = config()};
    world.found = {{ServerId{0}, Generation{1}, true}};
    world.rows = {{.server = ServerId{0}, .wanted = core::Wanted::on, .generation = Generation{1}}};
    tell(world);
    journal.step({}, "job_arrived", "image", "a step is no part of the decisions");
    const auto answers = tell(core::JobArrived{
        .job = JobId{1}, .server = ServerId{1}, .job_class = core::ServerClass::image});
    EXPECT_GE(answers.size(), 3u) << "the picture claims its place, a row is written";
    tell(core::JobWithdrawn{JobId{1}});
  }

  std::vector<std::string> lines() const {
    std::ifstream file(path_);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);)
      lines.push_back(line);
    return lines;
  }

  static Result<ReplayReport> replayed(const std::vector<std::string>& lines) {
    std::stringstream text;
    for (const std::string& line : lines)
      text << line << "\n";
    return replay(text);
  }

  /// Returns the position of the n-th line with this text.
  static std::size_t find(const std::vector<std::string>& lines, const std::string& text) {
    const auto found = std::find_if(lines.begin(), lines.end(), [&](const std::string& line) {
      return line.find(text) != std::string::npos;
    });
    EXPECT_NE(found, lines.end()) << text;
    return static_cast<std::size_t>(found - lines.begin());
  }

  static void change(std::string& line, const std::string& from, const std::string& to) {
    const std::size_t place = line.find(from);
    ASSERT_NE(place, std::string::npos) << line;
    line.replace(place, from.size(), to);
  }

  std::filesystem::path folder_;
  std::filesystem::path path_;
  std::int64_t tick_ = 0;
};

TEST_F(ReplayTest, TheSameEventsGiveTheSameActions) {
  run();
  const auto report = replayed(lines());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->runs, 1u);
  EXPECT_EQ(report->events, 3u);
  EXPECT_EQ(report->events + report->actions + 1, lines().size());
  EXPECT_EQ(report->differences, 0u);
  EXPECT_TRUE(report->notes.empty()) << report->notes.front();
}

TEST_F(ReplayTest, EachRunStartsWithANewCore) {
  run();
  run();
  const auto report = replayed(lines());
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->runs, 2u);
  EXPECT_EQ(report->differences, 0u);
}

TEST_F(ReplayTest, AChangedEventIsFoundByTheActionThatItChanges) {
  run();
  auto all = lines();
  const std::size_t event = find(all, "job_arrived\",\"job\"");
  change(all[event], R"("server":"image")", R"("server":"chat")");
  const auto report = replayed(all);
  ASSERT_TRUE(report) << report.error().message;
  ASSERT_TRUE(report->first);
  EXPECT_EQ(report->first->event_line, event + 1);
  EXPECT_EQ(report->first->line, event + 2);
  EXPECT_THAT(report->first->actual, HasSubstr("dispatch"));
  EXPECT_GT(report->differences, 0u);
}

TEST_F(ReplayTest, AChangedActionIsFoundAtItsLine) {
  run();
  auto all = lines();
  const std::size_t action = find(all, R"("name":"commit")");
  change(all[action], R"("wanted":"on")", R"("wanted":"off")");
  const auto report = replayed(all);
  ASSERT_TRUE(report && report->first);
  EXPECT_EQ(report->first->line, action + 1);
  EXPECT_EQ(report->differences, 1u);
  EXPECT_THAT(report->first->expected, HasSubstr("off"));
}

TEST_F(ReplayTest, ARunThatWasKilledMayEndWithinTheActionsOfItsLastEvent) {
  run();
  auto all = lines();
  const std::size_t commit = find(all, R"("name":"commit")");
  all.resize(commit + 1);
  const auto report = replayed(all);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->differences, 0u);
  ASSERT_EQ(report->notes.size(), 1u);
  EXPECT_THAT(report->notes.front(), HasSubstr("ends within the actions of line"));
}

TEST_F(ReplayTest, ATornLastLineIsSaidAndTheNextRunWritesBehindIt) {
  run();
  std::filesystem::resize_file(path_, std::filesystem::file_size(path_) - 9);
  const auto torn = replayed(lines());
  ASSERT_TRUE(torn) << torn.error().message;
  EXPECT_THAT(torn->notes, testing::Contains(HasSubstr("torn")));
  run();
  const auto both = replayed(lines());
  ASSERT_TRUE(both) << both.error().message;
  EXPECT_EQ(both->runs, 2u);
  EXPECT_EQ(both->differences, 0u);
}

TEST_F(ReplayTest, ALineWithinARunThatCannotBeReadIsAnErrorWithItsNumber) {
  run();
  for (const char* text : {"", "{", "[]", "{}", "{\"n\":2,\"t_ns\":1,\"kind\":\"event\"}"}) {
    auto all = lines();
    all[1] = text;
    EXPECT_THAT(replayed(all).error().message, HasSubstr("line 2: ")) << text;
  }
}

TEST_F(ReplayTest, LinesThatAreMissingOrMovedAreAnErrorWithTheirNumber) {
  run();
  auto missing = lines();
  missing.erase(missing.begin() + 2);
  EXPECT_THAT(replayed(missing).error().message, HasSubstr("line 3: "));
  auto swapped = lines();
  std::swap(swapped[2], swapped[3]);
  EXPECT_THAT(replayed(swapped).error().message, HasSubstr("line 3: "));
}

TEST_F(ReplayTest, ATruncatedStartIsLeftOutUntilTheNextRun) {
  run();
  run();
  auto all = lines();
  all.erase(all.begin(), all.begin() + 2);
  const auto report = replayed(all);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->runs, 1u);
  EXPECT_EQ(report->differences, 0u);
  EXPECT_THAT(report->notes.front(), HasSubstr("their run does not start in this file"));
  all.resize(3);
  EXPECT_EQ(replayed(all).error().code, ErrorCode::not_found);
  EXPECT_THAT(replayed(all).error().message, HasSubstr("cat journal.jsonl.1 journal.jsonl"));
}

TEST_F(ReplayTest, ARunInAnotherFormatIsSaidAndNotCompared) {
  run();
  run();
  auto all = lines();
  change(all[0], R"("format":4)", R"("format":99)");
  const auto report = replayed(all);
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->runs, 1u);
  EXPECT_THAT(report->notes.front(), HasSubstr("format 99, this Berth reads format 4"));
  all.resize(all.size() / 2);
  EXPECT_THAT(replayed(all).error().message, HasSubstr("format 99"));
}

TEST_F(ReplayTest, AnEventThatTheCoreCannotBeGivenIsAnErrorWithItsNumber) {
  run();
  auto back = lines();
  const std::size_t last = find(back, "job_withdrawn");
  change(back[last], R"("t_ns":3)", R"("t_ns":1)");
  EXPECT_THAT(replayed(back).error().message, HasSubstr("t_ns goes back"));
  auto twice = lines();
  const std::size_t arrival = find(twice, "job_arrived\",\"job\"");
  twice.resize(arrival + 1);
  twice.push_back(twice[arrival]);
  const auto number = json::parse(twice[arrival]).at("n").as_int64();
  change(twice.back(), fmt::format("\"n\":{}", number), fmt::format("\"n\":{}", number + 1));
  EXPECT_THAT(replayed(twice).error().message, HasSubstr("arrives a second time"));
}

}  // namespace
}  // namespace berth::host
