// SPDX-License-Identifier: Apache-2.0
// What requests get while their server is displaced, and for how long they wait.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/core/holding.h"
#include "berth/core/scheduler_driver.h"

namespace berth::core {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using enum ServerClass;

constexpr ServerId kSmall{2};
constexpr ServerId kSmaller{3};

Config refusing() {
  Config config = card_of_ten();
  config.servers[0].while_displaced = WhileDisplaced::refuse;
  return config;
}

/// Beside the picture server there is room for a small LLM that stands in for the large one.
Config with_a_small_one() {
  Config config = card_of_ten();
  config.servers[0].while_displaced = WhileDisplaced::fallback;
  config.servers[0].fallback = kSmall;
  config.servers.push_back({.name = "small", .job_class = chat, .footprint = bytes(1_GiB)});
  return config;
}

Config held_for(ServerId server, std::optional<Duration> max_hold) {
  Config config = card_of_ten();
  config.servers[server.value].max_hold = max_hold;
  return config;
}

std::optional<Duration> retry_after(const Driver& d, JobId job) {
  for (const Action& action : d.log()) {
    const auto* reject = std::get_if<Reject>(&action);
    if (reject != nullptr && reject->job == job) return reject->retry_after;
  }
  return std::nullopt;
}

JobId ask_kept_alive(Driver& d, ServerId server) {
  const JobId job{900};
  d.apply(JobArrived{.job = job, .server = server, .job_class = image, .kept_alive = true});
  return job;
}

// ---- refuse -------------------------------------------------------------------------------------

TEST(WhileDisplacedRefuse, AnswersAtOnceWhileTheRivalWorks) {
  Driver d = drawing(refusing());
  const JobId job = d.ask(kLlm, chat);
  ASSERT_TRUE(d.rejected(job));
  EXPECT_EQ(d.rejected(job)->code, ErrorCode::displaced);
  EXPECT_THAT(d.rejected(job)->message, AllOf(HasSubstr("\"llm\""), HasSubstr("\"sd\"")));
  EXPECT_TRUE(d.announced(Reason::refused_displaced));
  EXPECT_THAT(d.server(kLlm).queue, IsEmpty());
  EXPECT_THAT(d.scheduler().state().claims, IsEmpty()) << "it claims nothing";
}

TEST(WhileDisplacedRefuse, SaysWhenToTryAgain) {
  Driver d = settled(refusing());
  d.ask(kSd, image);
  d.pass(6s);  // 1 s to stop, 4 s to start, then 1 s of its turn
  const JobId job = d.ask(kLlm, chat);
  // S of the LLM is 4 s from its first start, R is 9 s, of which 8 s are left.
  EXPECT_EQ(retry_after(d, job), 8s + 4s);
}

TEST(WhileDisplacedRefuse, LeavesTheReturnToBerth) {
  Driver d = drawing(refusing());
  d.ask(kLlm, chat);
  d.end(JobId{1});
  d.pass(1min);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(WhileDisplacedRefuse, AnswersAlsoWhileTheServerIsLeaving) {
  Driver d = settled(refusing());
  d.ask(kLlm, chat);
  d.ask(kSd, image);
  ASSERT_FALSE(d.server(kLlm).gate_open);
  EXPECT_EQ(d.rejected(d.ask(kLlm, chat))->code, ErrorCode::displaced);
  d.end(JobId{1});
  d.pass(0s);
  ASSERT_EQ(d.state(kLlm), ServerState::stopping);
  EXPECT_EQ(d.rejected(d.ask(kLlm, chat))->code, ErrorCode::displaced);
}

TEST(WhileDisplacedRefuse, IsOverWhenTheRivalsTurnIs) {
  Driver d = drawing(refusing());
  d.end(JobId{1});
  EXPECT_TRUE(d.rejected(d.ask(kLlm, chat))) << "the next picture may come within its turn";
  d.pass(3s);
  ASSERT_EQ(d.state(kSd), ServerState::ready) << "its linger is not over";
  const JobId job = d.ask(kLlm, chat);
  EXPECT_FALSE(d.rejected(job));
  d.pass(5s);
  EXPECT_TRUE(d.running(job));
}

TEST(WhileDisplacedRefuse, IsOverWhenTheServerIsOnItsWayBack) {
  Driver d = drawing(refusing());
  d.end(JobId{1});
  d.pass(3s);
  d.ask(kLlm, chat);
  d.pass(0s);
  ASSERT_EQ(d.state(kSd), ServerState::stopping);
  d.ask(kSd, image);
  EXPECT_FALSE(d.rejected(d.ask(kLlm, chat))) << "its swap has begun, whoever waits";
  d.pass(2s);
  ASSERT_EQ(d.state(kLlm), ServerState::starting);
  EXPECT_FALSE(d.rejected(d.ask(kLlm, chat)));
}

TEST(WhileDisplacedRefuse, DoesNotConcernAServerThatIsJustAbsent) {
  Config config = card_of_ten();
  config.servers[1].while_displaced = WhileDisplaced::refuse;
  Driver d = settled(config);
  d.ask(kLlm, chat);
  const JobId picture = d.ask(kSd, image);
  EXPECT_FALSE(d.rejected(picture)) << "the LLM works, but put nobody out";
  d.end(JobId{1});
  d.pass(10s);
  EXPECT_TRUE(d.running(picture));
}

TEST(WhileDisplacedRefuse, DoesNotConcernThoseWhoWaitAlready) {
  Driver d = settled(refusing());
  d.ask(kLlm, chat);
  d.ask(kLlm, chat);
  const JobId waiting = d.ask(kLlm, chat);
  d.ask(kSd, image);
  d.end(JobId{1});
  d.end(JobId{2});
  d.pass(10s);
  EXPECT_FALSE(d.rejected(waiting));
}

TEST(WhileDisplacedRefuse, DoesNotConcernTheJobsOfAHold) {
  Driver d = drawing(refusing());
  const JobId job{900};
  d.apply(JobArrived{.job = job, .server = kLlm, .job_class = chat, .hold = JobId{800}});
  EXPECT_FALSE(d.rejected(job));
}

// ---- fallback -----------------------------------------------------------------------------------

TEST(WhileDisplacedFallback, AnotherServerTakesTheJob) {
  Driver d = drawing(with_a_small_one());
  const JobId job = d.ask(kLlm, chat);
  EXPECT_THAT(d.server(kLlm).queue, IsEmpty());
  d.pass(5s);
  EXPECT_TRUE(d.running(job));
  EXPECT_THAT(d.server(kSmall).running, ElementsAre(job));
  EXPECT_THAT(d.story(), ElementsAre("up small", "run 2"));
  EXPECT_EQ(d.scheduler().state().jobs.at(job).asked, kLlm);
  EXPECT_TRUE(d.announced(Reason::uses_fallback));
}

TEST(WhileDisplacedFallback, IsNotUsedWhileTheServerServes) {
  Driver d = settled(with_a_small_one());
  d.ask(kLlm, chat);
  EXPECT_EQ(d.server(kLlm).running.size(), 1u);
  EXPECT_FALSE(d.announced(Reason::uses_fallback));
}

TEST(WhileDisplacedFallback, PutsNobodyOut) {
  Config config = with_a_small_one();
  config.servers[2].footprint = bytes(3_GiB);  // not beside the picture server
  Driver d = drawing(config);
  const JobId job = d.ask(kLlm, chat);
  EXPECT_EQ(d.scheduler().state().jobs.at(job).server, kLlm) << "it waits for its own server";
  d.end(JobId{1});
  d.pass(10s);
  EXPECT_THAT(d.server(kLlm).running, ElementsAre(job));
}

TEST(WhileDisplacedFallback, ThatTheUserStoppedIsNotUsed) {
  Driver d = drawing(with_a_small_one());
  d.user(UserAsked::What::stop, kSmall);
  const JobId job = d.ask(kLlm, chat);
  EXPECT_FALSE(d.rejected(job));
  EXPECT_THAT(d.server(kLlm).queue, Not(IsEmpty()));
}

TEST(WhileDisplacedFallback, ThatHasAFullQueueIsNotUsed) {
  Config config = with_a_small_one();
  config.policy.queue_max = 1;
  Driver d = drawing(config);
  d.ask(kSmall, chat);  // waits for the load
  d.pass(1s);
  ASSERT_EQ(d.state(kSmall), ServerState::starting);
  const JobId job = d.ask(kLlm, chat);
  EXPECT_FALSE(d.rejected(job));
  EXPECT_THAT(d.server(kLlm).queue, Not(IsEmpty()));
}

TEST(WhileDisplacedFallback, IsFollowedToTheFirstThatCanServe) {
  Config config = with_a_small_one();
  config.servers[2].fallback = kSmaller;
  config.servers.push_back({.name = "smaller", .job_class = chat, .footprint = bytes(1_GiB)});
  Driver d = drawing(config);
  d.user(UserAsked::What::stop, kSmall);
  const JobId job = d.ask(kLlm, chat);
  EXPECT_EQ(d.scheduler().state().jobs.at(job).server, kSmaller);
}

TEST(WhileDisplacedFallback, IsNoWayRoundForAToolCallToItsCallersLastSlot) {
  Driver d = drawing(with_a_small_one());
  const JobId caller = d.ask(kSmall, chat);
  d.pass(5s);
  ASSERT_TRUE(d.running(caller));
  const JobId call = d.ask(kLlm, chat, caller);
  EXPECT_FALSE(d.rejected(call));
  EXPECT_EQ(d.scheduler().state().jobs.at(call).server, kLlm);
  const JobId other = d.ask(kLlm, chat);
  EXPECT_EQ(d.scheduler().state().jobs.at(other).server, kSmall) << "nobody waits for this one";
}

TEST(WhileDisplacedFallback, GivesItsJobsTheTimeOfTheServerThatWasAskedFor) {
  Config config = with_a_small_one();
  config.servers[0].max_hold = 30s;
  config.servers[2].max_hold = 1h;
  Driver d = drawing(config);
  d.ask(kSmall, chat);
  const JobId job = d.ask(kLlm, chat);
  d.pass(29s);
  EXPECT_FALSE(d.rejected(job));
  d.pass(2s);
  EXPECT_EQ(d.rejected(job)->code, ErrorCode::held_too_long);
}

// ---- max_hold -----------------------------------------------------------------------------------

TEST(MaxHold, IsTheLongestThatARequestWaits) {
  Driver d = settled(held_for(kSd, 20s));
  d.ask(kLlm, chat);
  const JobId picture = d.ask(kSd, image);
  d.pass(19s);
  EXPECT_FALSE(d.rejected(picture));
  d.pass(1s);
  ASSERT_TRUE(d.rejected(picture));
  EXPECT_EQ(d.rejected(picture)->code, ErrorCode::held_too_long);
  EXPECT_THAT(d.rejected(picture)->message, AllOf(HasSubstr("\"sd\""), HasSubstr("20.0 s")));
}

TEST(MaxHold, LeavesNoWorkBehind) {
  Driver d = settled(held_for(kSd, 20s));
  d.ask(kLlm, chat);
  d.ask(kSd, image);
  ASSERT_FALSE(d.server(kLlm).gate_open);
  d.pass(20s);
  EXPECT_TRUE(d.announced(Reason::claim_fell));
  EXPECT_TRUE(d.server(kLlm).gate_open);
  EXPECT_FALSE(d.server(kLlm).displaced);
  EXPECT_THAT(d.server(kSd).queue, IsEmpty());
  EXPECT_THAT(d.scheduler().state().claims, IsEmpty());
  d.pass(1h);
  EXPECT_THAT(d.story(), ElementsAre("run 1")) << "nobody moved";
}

TEST(MaxHold, KeepsTheClaimForOthersWhoStillWait) {
  Driver d = settled(held_for(kSd, 20s));
  d.ask(kLlm, chat);
  const JobId first = d.ask(kSd, image);
  d.pass(10s);
  const JobId second = d.ask(kSd, image);
  d.pass(10s);
  EXPECT_TRUE(d.rejected(first));
  d.end(JobId{1});
  d.pass(8s);
  EXPECT_TRUE(d.running(second));
}

TEST(MaxHold, DoesNotEndALoadThatHasBegun) {
  Driver d = settled(held_for(kSd, 3s));
  const JobId picture = d.ask(kSd, image);
  d.pass(3s);
  ASSERT_EQ(d.state(kSd), ServerState::starting);
  EXPECT_FALSE(d.rejected(picture));
  d.pass(2s);
  EXPECT_TRUE(d.running(picture));
}

TEST(MaxHold, EndsTheWaitOfThoseWhomTheLoadCannotServe) {
  Driver d = settled(held_for(kSd, 3s));
  const JobId first = d.ask(kSd, image);
  const JobId second = d.ask(kSd, image);
  d.pass(5s);
  EXPECT_TRUE(d.running(first));
  EXPECT_EQ(d.rejected(second)->code, ErrorCode::held_too_long);
}

TEST(MaxHold, AfterTheFirstSignalTheSwapIsCarriedOut) {
  Driver d = settled(held_for(kSd, 3s));
  d.behaviour(kLlm).stop = 5s;
  const JobId picture = d.ask(kSd, image);
  d.pass(3s);
  EXPECT_TRUE(d.rejected(picture)) << "the LLM is leaving, no load has begun";
  d.pass(1min);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd", "down sd", "up llm"));
}

TEST(MaxHold, CountsWhileAJobWaitsForASlotToo) {
  Driver d = drawing(held_for(kSd, 20s));
  const JobId second = d.ask(kSd, image);
  d.pass(20s);
  EXPECT_EQ(d.rejected(second)->code, ErrorCode::held_too_long);
  EXPECT_TRUE(d.running(JobId{1}));
}

TEST(MaxHold, IsTenMinutesForAStreamThatIsKeptAlive) {
  Driver d = settled(held_for(kSd, 20s));
  d.ask(kLlm, chat);
  const JobId picture = ask_kept_alive(d, kSd);
  d.pass(10min - 1s);
  EXPECT_FALSE(d.rejected(picture));
  d.pass(1s);
  EXPECT_TRUE(d.rejected(picture));
}

TEST(MaxHold, NoneIsForEver) {
  Config config = held_for(kSd, std::nullopt);
  config.servers[0].drain_limit.reset();
  Driver d = settled(config);
  d.ask(kLlm, chat);
  const JobId picture = d.ask(kSd, image);
  d.pass(24h);
  EXPECT_FALSE(d.rejected(picture));
}

}  // namespace
}  // namespace berth::core
