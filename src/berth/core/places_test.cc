// SPDX-License-Identifier: Apache-2.0
// Leases and holds (rule 7).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/core/planner.h"
#include "berth/core/scheduler_driver.h"

namespace berth::core {
namespace {

using enum ServerClass;
using testing::ElementsAre;
using testing::HasSubstr;
using What = UserAsked::What;

constexpr ServerId kVideo{2};

/// LLM 6, image server 8 and video server 3 on a card of 10.
Config three_servers() {
  Config config = card_of_ten();
  config.servers.push_back({.name = "video", .job_class = video, .footprint = bytes(3_GiB)});
  return config;
}

TEST(Leases, ALeasePutsTheLlmOutAndItComesBackOnceTheMemoryIsSeenFree) {
  Driver d = settled();
  d.leases_keep_memory = true;
  const JobId lease = d.lease(8_GiB);
  d.pass(10s);
  EXPECT_TRUE(d.running(lease));
  EXPECT_THAT(d.story(), ElementsAre("down llm", "grant 1"));
  d.end(lease);
  d.pass(1min);
  EXPECT_EQ(d.state(kLlm), ServerState::absent) << "a child of the holder still has the memory";
  d.leases_keep_memory = false;
  d.end(lease);
  d.pass(1min);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(Leases, WhatFitsBesideIsGrantedAtOnce) {
  Driver d = settled();
  const JobId lease = d.lease(4_GiB);
  EXPECT_TRUE(d.running(lease));
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(Leases, AChatIsServedBetweenTwoLeasesOfAScriptThatAsksForEver) {
  Driver d = settled();
  JobId lease = d.lease(8_GiB);
  d.pass(10s);
  const JobId chat = d.ask(kLlm, ServerClass::chat);
  for (int i = 0; i < 6 && !d.running(chat); ++i) {
    d.pass(20s);
    const JobId next = d.lease(8_GiB);
    d.end(lease);
    lease = next;
    d.pass(10s);
  }
  EXPECT_TRUE(d.running(chat)) << "all leases are one server: it was served last";
}

TEST(Leases, AtItsLimitALeaseIsRevoked) {
  Driver d = settled();
  const JobId lease = d.lease(4_GiB, 10s);
  d.pass(9s);
  EXPECT_THAT(d.story(), ElementsAre("grant 1"));
  d.pass(2s);
  EXPECT_THAT(d.story(), ElementsAre("grant 1", "cancel 1"));
  d.end(lease, JobEnd::cut);
  EXPECT_EQ(d.scheduler().state().jobs.size(), 0U);
}

TEST(Leases, AHolderThatLeavesTheQueuePutsNobodyOut) {
  Driver d = settled();
  d.ask(kLlm, ServerClass::chat);
  const JobId lease = d.lease(8_GiB);
  d.withdraw(lease);
  d.end(JobId{1});
  d.pass(1min);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
  EXPECT_THAT(d.story(), ElementsAre("run 1"));
}

TEST(Leases, MoreThanThePoolIsRefusedAtOnce) {
  Driver d = settled();
  const JobId lease = d.lease(11_GiB);
  EXPECT_THAT(d.rejected(lease)->message, HasSubstr("pool \"gpu0\" of 10.0 GiB"));
  EXPECT_EQ(d.rejected(lease)->code, ErrorCode::does_not_fit);
}

TEST(Leases, ThePlaceOfOneThatIsOverIsUsedAgain) {
  Driver d = settled();
  for (int i = 0; i < 50; ++i) {
    d.end(d.lease(1_GiB));
    d.pass(1s);
  }
  EXPECT_EQ(d.scheduler().state().servers.size(), 3U);
}

TEST(Holds, AHeldServerStaysAndItsRivalWaitsUntilTheEnd) {
  Driver d = settled(three_servers());
  const JobId hold = d.hold({kLlm});
  EXPECT_TRUE(d.running(hold));
  const JobId picture = d.ask(kSd, image);
  d.pass(20min);
  EXPECT_FALSE(d.running(picture));
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
  d.end(hold);
  d.pass(1min);
  EXPECT_TRUE(d.running(picture));
}

TEST(Holds, ItIsGrantedWhenAllItsServersAreThere) {
  Driver d = settled(three_servers());
  const JobId hold = d.hold({kVideo, kLlm});
  EXPECT_FALSE(d.running(hold));
  d.pass(10s);
  EXPECT_TRUE(d.running(hold));
  EXPECT_THAT(d.story(), ElementsAre("up video", "grant 1"));
}

TEST(Holds, WhatDoesNotFitTogetherIsRefusedAtOnce) {
  Driver d = settled(three_servers());
  const JobId hold = d.hold({kSd, kLlm});
  EXPECT_EQ(d.rejected(hold)->code, ErrorCode::does_not_fit);
  EXPECT_THAT(d.story(), ElementsAre());
}

TEST(Holds, AnExclusiveHoldPutsOutWhoeverMayLeaveAndKeepsThemOut) {
  Driver d = settled(three_servers());
  const JobId hold = d.hold({kVideo}, /*exclusive=*/true);
  d.pass(20s);
  EXPECT_TRUE(d.running(hold));
  EXPECT_EQ(d.state(kLlm), ServerState::absent) << "both would fit";
  const JobId chat = d.ask(kLlm, ServerClass::chat);
  d.pass(5min);
  EXPECT_FALSE(d.running(chat));
  d.end(hold);
  d.pass(20s);
  EXPECT_TRUE(d.running(chat));
}

// seeds/resource-management-guide.md: an LLM on the CPU slows a video on the GPU.
TEST(Holds, AnLlmInTheRamLeavesForAnExclusiveHoldOfTheVideoOnTheGpu) {
  constexpr JobId kHold{1};
  constexpr ServerId kWan{1};
  constexpr ServerId kPlace{2};
  State state;
  state.config.pools = {{.name = "gpu0.vram", .capacity = 40_GB},
                        {.name = "ram", .capacity = 32_GB}};
  state.sample = {{PoolId{0}, 40_GB}, {PoolId{1}, 32_GB}};
  state.servers.resize(3);
  state.server(kLlm).config.footprint = {{{PoolId{1}, 4_GB}}};
  state.server(kWan).config.footprint = {{{PoolId{0}, 21_GB}}};
  state.server(kLlm).state = state.server(kWan).state = ServerState::ready;
  state.server(kWan).held_by = kHold;
  state.server(kPlace).kind = JobKind::hold;
  state.server(kPlace).queue = {{.id = kHold, .job_class = video}};
  state.jobs[kHold] = {.id = kHold, .kind = JobKind::hold, .holds = {kWan}, .exclusive = true};
  EXPECT_THAT(plan_hold(state, kPlace, Instant{}).claim.victims, ElementsAre(kLlm));
  state.jobs[kHold].exclusive = false;
  EXPECT_THAT(plan_hold(state, kPlace, Instant{}).claim.victims, ElementsAre());
}

TEST(Holds, TwoHoldsThatCrossAreGrantedOneAfterTheOther) {
  Driver d = settled(three_servers());
  const JobId picture = d.ask(kSd, image);  // nobody's servers are there
  d.pass(20s);
  const JobId first = d.hold({kLlm, kVideo});
  const JobId second = d.hold({kVideo, kLlm});
  d.end(picture);
  d.pass(1min);
  EXPECT_TRUE(d.running(first));
  EXPECT_FALSE(d.running(second));
  d.end(first);
  d.pass(1s);
  EXPECT_TRUE(d.running(second));
}

TEST(Holds, AJobOfAHoldThatWouldWaitForItIsAnsweredAtOnce) {
  Driver d = settled(three_servers());
  const JobId hold = d.hold({kLlm});
  const JobId picture = d.ask_inside(hold, kSd, image);
  EXPECT_EQ(d.rejected(picture)->code, ErrorCode::conflict);
  EXPECT_THAT(d.rejected(picture)->message, HasSubstr("would wait for \"llm\""));
  const JobId video_job = d.ask_inside(hold, kVideo, video);
  d.pass(10s);
  EXPECT_TRUE(d.running(video_job)) << "it fits beside";
}

TEST(Holds, AHoldInsideAHoldThatWouldWaitForItIsAnsweredAtOnce) {
  Driver d = settled(three_servers());
  const JobId outer = d.hold({kLlm});
  const JobId inner = d.hold({kSd}, false, outer);
  EXPECT_EQ(d.rejected(inner)->code, ErrorCode::conflict);
}

TEST(Holds, AJobOfAnExclusiveHoldForAnotherServerIsAnsweredAtOnce) {
  Driver d = settled(three_servers());
  const JobId hold = d.hold({kVideo}, /*exclusive=*/true);
  d.pass(20s);
  const JobId chat = d.ask_inside(hold, kLlm, ServerClass::chat);
  EXPECT_EQ(d.rejected(chat)->code, ErrorCode::conflict);
}

TEST(Holds, APinInTheWayKeepsAHoldWaitingAndItsServersFree) {
  Driver d = settled(three_servers());
  d.user(What::pin, kLlm);
  const JobId hold = d.hold({kSd, kVideo});
  EXPECT_EQ(d.rejected(hold)->code, ErrorCode::does_not_fit);
  const JobId other = d.hold({kSd});
  d.pass(1min);
  EXPECT_FALSE(d.running(other));
  EXPECT_FALSE(d.server(kSd).held_by.has_value());
  d.user(What::unpin, kLlm);
  d.pass(20s);
  EXPECT_TRUE(d.running(other));
}

TEST(Holds, AServerThatEndsByItselfBeforeTheGrantComesAgain) {
  Driver d = settled(three_servers());
  const JobId hold = d.hold({kLlm, kVideo});
  d.behaviour(kLlm).resident.reset();
  d.apply(ServerChanged{kLlm, d.server(kLlm).generation, ServerChanged::Fact::exited, "exit 1"});
  d.pass(1min);
  EXPECT_TRUE(d.running(hold));
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(Holds, ForeignUseInTheWayIsLookedAtAgainUntilItLeaves) {
  Config config = three_servers();
  config.pools[0].kind = PoolKind::device;
  Driver d(config);
  d.pass(1h);
  d.user(What::stop, kLlm);
  d.foreign = 9_GiB;
  const JobId picture = d.ask(kSd, image);  // takes a sample
  d.pass(10s);
  d.withdraw(picture);
  const JobId hold = d.hold({kVideo});
  d.pass(10s);
  EXPECT_FALSE(d.running(hold));
  d.foreign = Bytes{0};
  d.pass(20s);
  EXPECT_TRUE(d.running(hold));
}

TEST(Holds, AfterTheBackOffOfItsServerAHoldIsGathered) {
  Config config = three_servers();
  config.policy.retry_first = 5s;
  Driver d = settled(config);
  d.behaviour(kVideo).start_error = Error{ErrorCode::start_failed, "exit code 1"};
  d.hold({kVideo});
  d.pass(6s);
  d.behaviour(kVideo).start_error.reset();
  const JobId second = d.hold({kVideo});
  EXPECT_FALSE(d.rejected(second));
  d.pass(30s);
  EXPECT_TRUE(d.running(second));
}

TEST(Holds, AUserStopOfAHeldServerIsHonoured) {
  Driver d = settled(three_servers());
  d.hold({kLlm});
  d.user(What::stop, kLlm);
  d.pass(5s);
  EXPECT_EQ(d.state(kLlm), ServerState::absent);
}

TEST(Holds, AfterARestartAHoldIsKeptUntilItsOwnerHasComeBackOrNot) {
  const Row llm{.server = kLlm,
                .wanted = Wanted::on,
                .generation = Generation{1},
                .displaced = Displacement{Instant{30min}, kSd, After::restore}};
  const Row sd{.server = kSd, .generation = Generation{1}};
  const JobArrived kept{.job = JobId{100},
                        .kind = JobKind::hold,
                        .server = kSd,
                        .job_class = video,
                        .client = "night run",
                        .servers = {kSd},
                        .limit = 30min};
  Driver d(card_of_ten(), {llm, sd}, {{kSd, Generation{1}, true, false}}, {kept});
  EXPECT_TRUE(d.running(JobId{100})) << "what it holds was found alive";
  d.pass(50s);
  EXPECT_EQ(d.state(kLlm), ServerState::absent) << "its displacer still has work";
  d.end(JobId{100}, JobEnd::cancelled);
  d.pass(1min);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

}  // namespace
}  // namespace berth::core
