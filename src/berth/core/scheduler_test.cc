// SPDX-License-Identifier: Apache-2.0
#include "berth/core/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/core/scheduler_driver.h"

namespace berth::core {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using enum ServerClass;
using What = UserAsked::What;

/// S is 4 s for either server, and 1 s more for the other's stop: R is at most 10 s.
constexpr Duration kLonger = 1h;

// ---- The first walk of design section 13 --------------------------------------------------------

TEST(Walk, SeedCycleWithTwoChats) {
  Driver d = settled();
  const JobId chat_a = d.ask(kLlm, chat);
  const JobId picture = d.ask(kSd, image);
  EXPECT_FALSE(d.server(kLlm).gate_open) << "a turn of an hour is over";
  EXPECT_EQ(d.row(kLlm).displaced->by, kSd) << "the row is written while the reply still runs";

  const JobId chat_b = d.ask(kLlm, chat);
  d.pass(2s);
  EXPECT_THAT(d.story(), ElementsAre("run 1")) << "nothing is stopped while chat A streams";

  d.end(chat_a);
  EXPECT_EQ(d.state(kLlm), ServerState::stopping);
  d.pass(5s);
  EXPECT_TRUE(d.running(picture));
  EXPECT_FALSE(d.running(chat_b)) << "held";
  d.end(picture);
  d.pass(1min);

  EXPECT_TRUE(d.running(chat_b)) << "answered without a retry";
  EXPECT_THAT(d.story(),
              ElementsAre("run 1", "down llm", "up sd", "run 2", "down sd", "up llm", "run 3"));
  EXPECT_EQ(d.row(kLlm).displaced, std::nullopt) << "the debt is paid";
}

// ---- Admission ----------------------------------------------------------------------------------

TEST(Scheduler, RunsBothWhereBothFitAndMovesNobody) {
  Config config = card_of_ten();
  config.pools[0].capacity = 14_GiB;  // 6 + 8: equal is direct
  Driver d = settled(config);
  d.ask(kSd, image);
  d.pass(5s);
  EXPECT_THAT(d.story(), ElementsAre("up sd", "run 1"));
  EXPECT_TRUE(d.announced(Reason::fits));
}

TEST(Scheduler, OffloadsWhereOneByteIsMissing) {
  Config config = card_of_ten();
  config.pools[0].capacity = 14_GiB - Bytes{1};
  Driver d = settled(config);
  d.ask(kSd, image);
  d.pass(10s);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd", "run 1"));
  EXPECT_TRUE(d.announced(Reason::offload));
}

TEST(Scheduler, TriesAnOversizeNewcomerWithEverythingElseOut) {
  Config config = card_of_ten();
  config.servers[1].footprint = bytes(11_GiB);
  Driver d = settled(config);
  const JobId picture = d.ask(kSd, image);
  d.pass(10s);
  EXPECT_TRUE(d.running(picture));
  EXPECT_TRUE(d.announced(Reason::oversize));
}

TEST(Scheduler, RefusesAnOversizeNewcomerAndMovesNobodyWhereThePolicySaysSo) {
  Config config = card_of_ten();
  config.servers[1].footprint = bytes(11_GiB);
  config.policy.oversize = Oversize::refuse;
  Driver d = settled(config);
  const JobId picture = d.ask(kSd, image);
  d.pass(10s);
  EXPECT_EQ(d.rejected(picture)->code, ErrorCode::does_not_fit);
  EXPECT_THAT(d.story(), IsEmpty()) << "an impossible request evicts nobody";
}

TEST(Scheduler, APinnedServerIsNeverAVictim) {
  Driver d = settled();
  d.user(What::pin, kLlm);
  d.ask(kSd, image);
  d.pass(1min);
  EXPECT_THAT(d.story(), IsEmpty());
  d.user(What::unpin, kLlm);
  d.pass(1min);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd", "run 1"));
}

// ---- Turns (reference/turns.md section 6, by number) --------------------------------------------

TEST(Turns, T1_ADisplacedServerReturnsOnceAndThenNothingMovesForADay) {
  Driver d = settled(card_of_ten(Wanted::on, Wanted::on));
  const JobId picture = d.ask(kSd, image);
  d.pass(10s);
  d.end(picture);
  d.pass(24h);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd", "run 1", "down sd", "up llm"));
}

TEST(Turns, T2_APictureDisplacesAnLlmThatWasIdleForAnHourInTheSameStep) {
  Driver d = settled();
  d.ask(kSd, image);
  EXPECT_FALSE(d.server(kLlm).gate_open);
}

TEST(Turns, T3_TheGateOfAYoungTurnStaysOpenUntilExactlyReadyPlusR) {
  Driver d(card_of_ten());
  d.pass(4s);  // ready now
  d.ask(kLlm, chat);
  d.ask(kSd, image);
  const Instant ready = d.server(kLlm).ready_at;
  const Duration r = 4s + 2s;  // S of the LLM as measured, and the guess for SD
  d.pass(ready + r - d.now() - Duration{1});
  EXPECT_TRUE(d.server(kLlm).gate_open);
  d.pass(Duration{1});
  EXPECT_FALSE(d.server(kLlm).gate_open);
}

TEST(Turns, T4_APictureWithinTheLingerRunsFirstAndOneTickLaterTheSwapHasBegun) {
  for (const bool in_time : {true, false}) {
    Driver d = settled();
    d.end(d.ask(kSd, image));  // still queued: an end that is not there changes nothing
    d.pass(6s);
    ASSERT_EQ(d.state(kSd), ServerState::ready);
    d.end(JobId{1});
    d.ask(kLlm, chat);
    d.pass(2s - Duration{in_time ? 1 : 0});  // min(2 s, R / 4)
    d.ask(kSd, image);
    EXPECT_EQ(d.running(JobId{3}), in_time);
    EXPECT_EQ(d.server(kSd).gate_open, in_time);
  }
}

TEST(Turns, T5_TheLlmIsNotLoadedBeforeTheLastQueuedPictureIsDoneAndLingerIsOver) {
  Driver d = settled();
  for (int i = 0; i < 20; ++i)
    d.ask(kSd, image);
  for (std::uint64_t i = 1; i <= 20; ++i) {
    d.pass(12s);
    ASSERT_TRUE(d.running(JobId{i}));
    d.end(JobId{i});
  }
  EXPECT_EQ(d.state(kSd), ServerState::ready);
  d.pass(8s);
  EXPECT_EQ(d.state(kSd), ServerState::ready) << "linger is R = 4 + 5 s";
  d.pass(10s);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(Turns, T7_OverlappingChatsThatNeverLeaveTheLlmIdleDelayAPictureByTheLongestChatOnly) {
  Driver d = settled();
  const JobId first = d.ask(kLlm, chat);
  const JobId second = d.ask(kLlm, chat);
  const JobId picture = d.ask(kSd, image);
  d.end(first);
  d.ask(kLlm, chat);  // held: the gate is closed
  d.pass(9s);
  d.end(second);
  d.pass(5s);
  EXPECT_TRUE(d.running(picture));
}

TEST(Turns, ChatsKeepTheirGateWhileARenderRunsOnAnotherVictim) {
  Config config = card_of_ten();
  config.pools[0].capacity = 14_GiB;
  config.servers.push_back({.name = "video", .job_class = video, .footprint = bytes(14_GiB)});
  Driver d = settled(config);
  const JobId render = d.ask(kSd, image);
  d.pass(kLonger);
  d.ask(ServerId{2}, video);
  d.pass(0s);
  EXPECT_FALSE(d.server(kSd).gate_open);
  EXPECT_TRUE(d.server(kLlm).gate_open);
  d.end(render);
  EXPECT_EQ(d.state(kLlm), ServerState::stopping);
}

TEST(Turns, ChatsAreCutAtTheDrainLimitAndOthersNever) {
  Config config = card_of_ten();
  config.servers[0].drain_limit = 5s;
  Driver d = settled(config);
  const JobId endless = d.ask(kLlm, chat);
  d.ask(kSd, image);
  d.pass(6s);
  EXPECT_THAT(d.story(), ElementsAre("run 1", "cancel 1"));
  d.end(endless, JobEnd::cut);
  d.pass(10s);
  EXPECT_TRUE(d.running(JobId{2}));
}

// ---- Each named state ---------------------------------------------------------------------------

TEST(Scheduler, NothingMovesForAServerThatIsOff) {
  Driver d = settled();
  d.user(What::stop, kLlm);
  d.pass(2s);
  d.forget_story();
  d.end(d.ask(kSd, image));
  d.pass(10s);
  d.end(JobId{1});
  d.pass(24h);
  EXPECT_THAT(d.story(), ElementsAre("up sd", "run 1"));
  const JobId chat_job = d.ask(kLlm, chat);
  EXPECT_EQ(d.rejected(chat_job)->code, ErrorCode::stopped_by_user);
  EXPECT_THAT(d.rejected(chat_job)->message, HasSubstr("berth start llm"));
}

TEST(Scheduler, AnAbsentLlmIsNotBroughtBackByAPicture) {
  Driver d(card_of_ten(Wanted::on_demand));
  d.ask(kSd, image);
  d.pass(10s);
  d.end(JobId{1});
  d.pass(24h);
  EXPECT_THAT(d.story(), ElementsAre("up sd", "run 1"));
}

TEST(Scheduler, ASecondPictureWhileTheFirstIsDrawnCostsNoSecondOffload) {
  Driver d = settled();
  d.ask(kSd, image);
  d.pass(10s);
  d.ask(kSd, image);
  d.end(JobId{1});
  d.end(JobId{2});
  d.pass(1min);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd", "run 1", "run 2", "down sd", "up llm"));
}

TEST(Scheduler, AClientThatLeavesBeforeTheFirstSignalLeavesEverythingAsItWas) {
  Driver d = settled();
  d.ask(kLlm, chat);
  const JobId picture = d.ask(kSd, image);
  d.pass(1s);
  EXPECT_TRUE(d.row(kLlm).displaced);
  d.withdraw(picture);
  EXPECT_TRUE(d.server(kLlm).gate_open);
  EXPECT_EQ(d.row(kLlm).displaced, std::nullopt);
  d.pass(24h);
  EXPECT_THAT(d.story(), ElementsAre("run 1"));
}

TEST(Scheduler, AClientThatLeavesARunningJobCancelsItAndThePlaceIsFreeWhenItHasEnded) {
  Driver d = settled();
  d.ask(kLlm, chat);
  d.ask(kLlm, chat);
  const JobId third = d.ask(kLlm, chat);
  d.withdraw(JobId{1});
  EXPECT_FALSE(d.running(third)) << "the work may still run";
  d.end(JobId{1}, JobEnd::cancelled);
  EXPECT_TRUE(d.running(third));
}

TEST(Scheduler, AFailedStartIsAnAnswerAndTheLlmComesBack) {
  Driver d = settled();
  d.behaviour(kSd).start_error = Error{ErrorCode::start_failed, "exit code 1: no such model"};
  const JobId picture = d.ask(kSd, image);
  d.pass(1min);
  EXPECT_THAT(d.rejected(picture)->message, HasSubstr("no such model"));
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd", "up llm"));
  EXPECT_EQ(d.row(kLlm).displaced, std::nullopt);
}

TEST(Scheduler, ADisplacedLlmThatCannotStartIsTriedAgainWithLongerPauses) {
  Driver d = settled();
  d.ask(kSd, image);
  d.pass(10s);
  d.end(JobId{1});
  d.behaviour(kLlm).start_error = Error{ErrorCode::start_failed, "exit code 1"};
  d.pass(1min);
  EXPECT_TRUE(d.row(kLlm).displaced) << "the debt stays";
  const JobId chat_job = d.ask(kLlm, chat);
  EXPECT_TRUE(d.rejected(chat_job));
  d.behaviour(kLlm).start_error.reset();
  d.pass(2min);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(Scheduler, ARowThatCannotBeWrittenStopsTheHandOverBeforeTheFirstSignal) {
  Driver d = settled();
  d.commits_fail = true;
  const JobId picture = d.ask(kSd, image);
  d.pass(500ms);
  EXPECT_EQ(d.rejected(picture)->code, ErrorCode::disk_full);
  EXPECT_THAT(d.story(), IsEmpty());
  EXPECT_TRUE(d.server(kLlm).gate_open);
}

TEST(Scheduler, NoServerIsToldToStopBeforeItsRowIsWritten) {
  Driver d = settled();
  d.commits_wait = true;
  d.ask(kSd, image);
  d.pass(1min);
  EXPECT_THAT(d.story(), IsEmpty());
}

// ---- The release barrier ------------------------------------------------------------------------

TEST(Barrier, WaitsUntilTheVictimsMemoryIsSeenFree) {
  Driver d = settled();
  d.behaviour(kLlm).keeps_memory = true;
  d.ask(kSd, image);
  d.pass(2s);
  EXPECT_THAT(d.story(), ElementsAre("down llm")) << "its process is gone, its memory is not";
  d.behaviour(kLlm).keeps_memory = false;
  d.pass(20ms);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd"));
}

TEST(Barrier, FailsAtTheDeadlineWithTheHoldersNameAndTheLlmComesBack) {
  Driver d = settled();
  d.behaviour(kLlm).keeps_memory = true;
  const JobId picture = d.ask(kSd, image);
  d.pass(5s);
  EXPECT_EQ(d.rejected(picture)->code, ErrorCode::memory_not_released);
  EXPECT_THAT(d.rejected(picture)->message, HasSubstr("llm-helper (pid 100"));
  d.behaviour(kLlm).keeps_memory = false;
  d.pass(1min);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(Barrier, HoldsOnTheWayBackTooAndSweepsWhatStays) {
  Driver d = settled();
  d.ask(kSd, image);
  d.pass(10s);
  d.end(JobId{1});
  d.behaviour(kSd).keeps_memory = true;
  d.forget_story();
  d.pass(12s);
  ASSERT_THAT(d.story(), ElementsAre("down sd"));
  d.pass(3s);
  EXPECT_TRUE(d.announced(Reason::room_not_seen));
  EXPECT_THAT(d.story(), ElementsAre("down sd", "down sd")) << "what is left of it is swept";
  d.behaviour(kSd).keeps_memory = false;
  d.pass(10s);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

// ---- Exits --------------------------------------------------------------------------------------

TEST(Scheduler, AServerThatDiesIsStartedAgainAtOnceAndItsMemoryIsSeenFreeFirst) {
  Driver d = settled();
  d.ask(kLlm, chat);
  d.behaviour(kLlm).resident.reset();
  d.apply(ServerChanged{kLlm, d.server(kLlm).generation, ServerChanged::Fact::exited, "signal 9"});
  EXPECT_TRUE(d.scheduler().state().jobs.empty()) << "its work has ended with it";
  d.pass(5s);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

/// Its LLM serves one request at a time.
Driver single() {
  Config config = card_of_ten();
  config.servers[kLlm.value].slots = 1;
  return settled(config);
}

void crash_and_return(Driver& d) {
  d.behaviour(kLlm).resident.reset();
  d.apply(ServerChanged{kLlm, d.server(kLlm).generation, ServerChanged::Fact::exited, "signal 9"});
  d.pass(10s);
}

TEST(Scheduler, WhoWaitsBehindARequestThatCrashesItsServerTwiceIsServedByTheThirdProcess) {
  Driver d = single();
  d.ask(kLlm, chat);
  const JobId waiting = d.ask(kLlm, chat);
  crash_and_return(d);
  EXPECT_TRUE(d.running(waiting)) << "the first one comes again, as a new job, behind it";
  d.ask(kLlm, chat);
  const JobId behind = d.ask(kLlm, chat);
  crash_and_return(d);
  EXPECT_EQ(d.rejected(behind), std::nullopt);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(Scheduler, AServerThatCrashesAThirdTimeBeforeItHasServedAnybodyIsPutOff) {
  Driver d = single();
  for (int i = 0; i < 2; ++i)
    crash_and_return(d);
  d.ask(kLlm, chat);
  const JobId waiting = d.ask(kLlm, chat);
  d.behaviour(kLlm).resident.reset();
  d.apply(ServerChanged{kLlm, d.server(kLlm).generation, ServerChanged::Fact::exited, "signal 9"});
  EXPECT_EQ(d.state(kLlm), ServerState::failed);
  EXPECT_EQ(d.rejected(waiting)->code, ErrorCode::server_gone);
}

TEST(Scheduler, AServerThatHasServedSomebodyBetweenItsCrashesIsNotPutOff) {
  Driver d = single();
  for (int i = 0; i < 4; ++i) {
    d.end(d.ask(kLlm, chat));
    crash_and_return(d);
  }
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(Scheduler, AStartTakesAClearBack) {
  Driver d = settled();
  d.user(What::clear_saved_state, kLlm);
  d.user(What::start, kLlm);
  const JobId picture = d.ask(kSd, image);
  d.pass(10s);
  d.end(picture);
  d.pass(1min);
  EXPECT_EQ(d.state(kLlm), ServerState::ready) << "it has come back";
}

TEST(Scheduler, AnExitOfAPastGenerationChangesNothing) {
  Driver d = settled();
  d.apply(ServerChanged{kLlm, Generation{0}, ServerChanged::Fact::exited, "signal 9"});
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(Scheduler, TheQueueIsBounded) {
  Config config = card_of_ten();
  config.policy.queue_max = 3;
  Driver d = settled(config);
  d.user(What::pin, kLlm);
  for (int i = 0; i < 3; ++i)
    d.ask(kSd, image);
  EXPECT_EQ(d.rejected(d.ask(kSd, image))->code, ErrorCode::queue_full);
}

// ---- Recovery: row x what is found --------------------------------------------------------------

Row displaced_row() {
  return {.server = kLlm,
          .wanted = Wanted::on_demand,
          .generation = Generation{4},
          .displaced = Displacement{{}, kSd, After::restore}};
}

TEST(Recovery, DisplacedAndAliveMeansTheStopNeverHappened) {
  Driver d(card_of_ten(), {displaced_row()}, {{kLlm, Generation{4}, true}});
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
  EXPECT_TRUE(d.server(kLlm).gate_open);
  EXPECT_EQ(d.row(kLlm).displaced, std::nullopt);
  EXPECT_THAT(d.story(), IsEmpty());
}

TEST(Recovery, DisplacedAndNotThereIsRestoredNow) {
  Driver d(card_of_ten(), {displaced_row()}, {});
  d.pass(5s);
  EXPECT_THAT(d.story(), ElementsAre("up llm"));
  EXPECT_EQ(d.server(kLlm).generation, Generation{5});
  EXPECT_EQ(d.row(kLlm).displaced, std::nullopt);
}

TEST(Recovery, DisplacedBehindAnIdleDisplacerIsRestoredNow) {
  const Row sd{.server = kSd, .generation = Generation{7}};
  Driver d(card_of_ten(), {displaced_row(), sd}, {{kSd, Generation{7}, true}});
  d.pass(10s);
  EXPECT_THAT(d.story(), ElementsAre("down sd", "up llm"));
}

TEST(Recovery, DisplacedOnRequestStaysAbsent) {
  Row row = displaced_row();
  row.displaced->after = After::on_request;
  Driver d(card_of_ten(Wanted::on_demand), {row}, {});
  d.pass(24h);
  EXPECT_THAT(d.story(), IsEmpty());
}

TEST(Recovery, OffOrWithoutARowAndAliveIsStopped) {
  const Row off{.server = kLlm, .wanted = Wanted::off, .generation = Generation{1}};
  Driver d(card_of_ten(), {off}, {{kLlm, Generation{1}, true}, {kSd, Generation{1}, true}});
  EXPECT_THAT(d.story(), ElementsAre("down llm", "down sd"));
}

TEST(Recovery, OnAndAliveIsAdoptedOnAndDeafIsStoppedAndStarted) {
  const Row on{.server = kLlm, .wanted = Wanted::on, .generation = Generation{1}};
  Driver adopted(card_of_ten(), {on}, {{kLlm, Generation{1}, true}});
  adopted.pass(1min);
  EXPECT_THAT(adopted.story(), IsEmpty());
  Driver deaf(card_of_ten(), {on}, {{kLlm, Generation{1}, false}});
  deaf.pass(1min);
  EXPECT_THAT(deaf.story(), ElementsAre("down llm", "up llm"));
}

}  // namespace
}  // namespace berth::core
