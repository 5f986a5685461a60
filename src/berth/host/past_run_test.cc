// SPDX-License-Identifier: Apache-2.0
#include "berth/host/past_run.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/host/journal.h"

namespace berth::host {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

constexpr Instant kStart{10min};

core::Config card_of_ten() {
  core::Config config;
  config.pools.push_back({.name = "card", .capacity = 10_GiB});
  config.policy.limit_numerator = 1;
  config.policy.limit_denominator = 1;
  config.servers = {
      {.name = "llm", .wanted = core::Wanted::on, .footprint = {{{PoolId{0}, 6_GiB}}}},
      {.name = "sd", .job_class = core::ServerClass::image, .footprint = {{{PoolId{0}, 8_GiB}}}}};
  return config;
}

/// A Berth whose journal is a file in a folder of its own.
class Past : public testing::Test {
 protected:
  Past() {
    char folder[] = "/tmp/berth-past-XXXXXX";
    folder_ = mkdtemp(folder);
  }
  ~Past() override { std::filesystem::remove_all(folder_); }

  /// A chat of 3 s at 60 s, a picture of 12 s with it, and a batch job, which does not end.
  void live(bool with_jobs) {
    const core::Config config = card_of_ten();
    const auto journal = Journal::open(path());
    core::Scheduler scheduler;
    const core::Event start = core::Recovered{.config = config};
    const std::vector<core::Action> first = scheduler.apply(kStart, start);
    write(**journal, {kStart, start, first});
    core::Pace pace{.moves = {{ServerId{0}, {8s, 1s}}, {ServerId{1}, {4s, 2s}}},
                    .services = {{JobId{1}, 3s}, {JobId{2}, 12s}, {JobId{3}, 24h}}};
    core::Rehearsal rehearsal(scheduler, kStart, std::move(pace));
    advance(rehearsal, **journal, kStart + 60s);
    if (!with_jobs) return;
    const auto ask = [&](std::uint64_t job, ServerId server, core::ServerClass job_class) {
      const core::JobArrived arrival{.job = JobId{job}, .server = server, .job_class = job_class};
      write(**journal, rehearsal.feed(kStart + 60s, arrival));
    };
    ask(1, ServerId{0}, core::ServerClass::chat);
    ask(2, ServerId{1}, core::ServerClass::image);
    ask(3, ServerId{0}, core::ServerClass::batch);
    advance(rehearsal, **journal, kStart + 1h);
  }

  [[nodiscard]] Result<PastRun> read() const {
    std::ifstream in(path());
    return read_past_run(in);
  }
  [[nodiscard]] std::string path() const { return folder_ + "/journal.jsonl"; }

 private:
  void write(Journal& journal, const core::RehearsalStep& step) {
    journal.write({step.at, WallTime{}}, step.event, card_of_ten());
    for (const core::Action& action : step.actions)
      journal.write({step.at, WallTime{}}, action, card_of_ten());
  }
  void advance(core::Rehearsal& rehearsal, Journal& journal, Instant until) {
    while (rehearsal.next_at() && *rehearsal.next_at() <= until)
      write(journal, rehearsal.step());
  }

  std::string folder_;
};

TEST_F(Past, TellsWhatWasAskedForAndHowLongItTook) {
  live(/*with_jobs=*/true);
  const Result<PastRun> run = read();
  ASSERT_TRUE(run.has_value()) << run.error().message;
  EXPECT_EQ(run->config, card_of_ten());
  ASSERT_THAT(run->jobs, SizeIs(2));
  EXPECT_EQ(run->jobs[0].arrived, Duration{60s});
  EXPECT_EQ(run->jobs[0].server, ServerId{0});
  EXPECT_EQ(run->jobs[0].service, Duration{3s});
  EXPECT_EQ(run->jobs[1].job_class, core::ServerClass::image);
  EXPECT_EQ(run->jobs[1].service, Duration{12s}) << "without its wait";
  EXPECT_EQ(run->left_out, 1U) << "it had not ended";
}

TEST_F(Past, TellsHowLongEachServerMoved) {
  live(/*with_jobs=*/true);
  const Result<PastRun> run = read();
  ASSERT_TRUE(run.has_value()) << run.error().message;
  EXPECT_EQ(run->moves[0].up, Duration{8s});
  EXPECT_EQ(run->moves[0].down, Duration{1s});
  EXPECT_EQ(run->moves[1].up, Duration{4s});
  EXPECT_EQ(run->moves[1].down, Duration{2s});
}

TEST_F(Past, TakesTheNewestRunThatAnsweredSomebody) {
  live(/*with_jobs=*/true);
  live(/*with_jobs=*/false);
  ASSERT_TRUE(read().has_value());
  EXPECT_THAT(read()->jobs, SizeIs(2)) << "the second run was asked for nothing";
}

TEST_F(Past, PassesOverATornLine) {
  live(/*with_jobs=*/true);
  std::ofstream(path(), std::ios::app) << "{\"n\":99,\"kind\":\"ev";
  EXPECT_THAT(read()->jobs, SizeIs(2));
}

TEST_F(Past, ARunWithoutWorkIsNoWorkload) {
  live(/*with_jobs=*/false);
  const Result<PastRun> run = read();
  ASSERT_FALSE(run.has_value());
  EXPECT_EQ(run.error().code, ErrorCode::not_found);
  EXPECT_THAT(run.error().message, HasSubstr("cat journal.jsonl.1 journal.jsonl"));
}

}  // namespace
}  // namespace berth::host
