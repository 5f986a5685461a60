// SPDX-License-Identifier: Apache-2.0
// Orders of events that the simulator found, one test each, by the behaviour they broke.
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

/// Adds a server and returns its id.
ServerId add(Config& config, std::string name, ServerClass job_class, Footprint footprint,
             Wanted wanted = Wanted::on_demand) {
  config.servers.push_back({.name = std::move(name),
                            .job_class = job_class,
                            .wanted = wanted,
                            .footprint = std::move(footprint)});
  return ServerId{static_cast<std::uint32_t>(config.servers.size() - 1)};
}

TEST(Barrier, ASampleThatFailedOpensNothing) {
  Driver d = settled();
  d.samples_fail = true;
  d.behaviour(kLlm).keeps_memory = true;
  d.ask(kSd, image);
  d.pass(2500ms);
  EXPECT_THAT(d.story(), ElementsAre("down llm"));
  d.samples_fail = false;
  d.behaviour(kLlm).keeps_memory = false;
  d.pass(1s);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd"));
}

TEST(Barrier, OneSampleIsNotRoomForTwo) {
  Config config = card_of_ten();
  config.policy.limit_numerator = 3;
  config.policy.limit_denominator = 4;
  config.pools[0].capacity = 20_GiB;
  config.servers[0].footprint = bytes(9_GiB);
  const ServerId other = add(config, "other", image, bytes(4_GiB));
  Driver d = settled(config);
  d.behaviour(kLlm).keeps_memory = true;
  d.behaviour(other).start = 30s;
  d.ask(kSd, image);
  d.pass(500ms);
  d.ask(other, image);
  d.pass(2s);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up other")) << "11 seen free, 4 of them promised";
  d.behaviour(kLlm).keeps_memory = false;
  d.pass(1s);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up other", "up sd"));
}

TEST(Foreign, AJobThatForeignUseBlocksRunsWhenThatUseHasGone) {
  Config config = card_of_ten(Wanted::on_demand);
  config.pools[0].kind = PoolKind::device;
  Driver d(config);
  d.ask(kLlm, chat);
  d.pass(10s);
  d.end(JobId{1});
  d.foreign = 7_GiB;
  const JobId picture = d.ask(kSd, image);
  d.pass(30s);
  EXPECT_NE(d.state(kSd), ServerState::ready);
  d.foreign = Bytes{0};
  d.pass(30s);
  EXPECT_TRUE(d.running(picture));
}

TEST(Claims, AVictimIsNotStartedAgainBeforeItsClaimIsCarriedOut) {
  // The picture server spans two cards. On the second `small` leaves for it; then `third` leaves
  // too, and `small` would fit there again while the first card still waits for the LLM.
  Config config = card_of_ten(Wanted::on_demand);
  config.pools.push_back({.name = "gpu1", .capacity = 10_GiB});
  config.servers[1].footprint = {{{PoolId{0}, 8_GiB}, {PoolId{1}, 5_GiB}}};
  const ServerId small = add(config, "small", chat, {{{PoolId{1}, 4_GiB}}});
  const ServerId third = add(config, "third", chat, {{{PoolId{1}, 3_GiB}}}, Wanted::on);
  Driver d(config);
  d.ask(kLlm, chat);
  d.ask(small, chat);
  d.pass(10s);
  d.end(JobId{1});
  d.end(JobId{2});
  d.pass(1h);
  d.forget_story();
  d.behaviour(kLlm).stop = 5s;
  d.ask(kSd, image);
  d.pass(1200ms);
  ASSERT_EQ(d.state(small), ServerState::absent);
  d.user(What::stop, third);
  d.pass(1500ms);
  d.ask(small, chat);
  d.pass(2s);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "down small", "down third"));
  d.pass(20s);
  EXPECT_THAT(d.story(), testing::Contains("up small"));
}

TEST(Claims, TwoThatFitAtOnceFitTogether) {
  Config config = card_of_ten();
  config.pools[0].capacity = 16_GiB;
  config.servers[0].footprint = bytes(12_GiB);
  const ServerId two = add(config, "two", image, bytes(2_GiB));
  const ServerId three = add(config, "three", image, bytes(3_GiB));
  Driver d = settled(config);
  d.commits_wait = true;  // neither is on the books yet
  d.ask(kSd, image);
  d.ask(two, image);
  d.ask(three, image);
  const std::vector<Claim>& claims = d.scheduler().state().claims;
  EXPECT_EQ(1, std::count_if(claims.begin(), claims.end(),
                             [](const Claim& claim) { return claim.victims.empty(); }))
      << "12 + 2 + 3 are more than 16";
}

TEST(Claims, AUserStopOfTheNewcomerGoesBeforeThePlan) {
  Driver d = settled();
  d.ask(kSd, image);
  d.pass(500ms);
  ASSERT_EQ(d.state(kLlm), ServerState::stopping);
  d.user(What::stop, kSd);
  d.pass(1min);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up llm"));
}

TEST(Claims, AReturnThatTheUserWaivesInItsBarrierDoesNotHappen) {
  Driver d = drawing();
  d.end(JobId{1});
  d.behaviour(kSd).keeps_memory = true;
  d.pass(11500ms);
  ASSERT_EQ(d.state(kSd), ServerState::absent) << "the return waits at its barrier";
  ASSERT_EQ(d.scheduler().state().claims.size(), 1U);
  d.user(What::clear_saved_state, kLlm);
  d.behaviour(kSd).keeps_memory = false;
  d.pass(1h);
  EXPECT_EQ(d.state(kLlm), ServerState::absent);
}

TEST(Claims, AWaiverOutlivesAClaimThatFell) {
  Driver d = settled();
  d.user(What::clear_saved_state, kLlm);
  d.ask(kLlm, chat);
  const JobId picture = d.ask(kSd, image);
  ASSERT_EQ(d.server(kLlm).displaced->after, After::on_request);
  d.withdraw(picture);
  EXPECT_FALSE(d.server(kLlm).displaced.has_value());
  EXPECT_TRUE(d.server(kLlm).skip_next_restore);
}

TEST(Oversize, InOnePoolLeavesTheOtherPoolsAlone) {
  Config config = card_of_ten();
  config.pools.push_back({.name = "ram", .capacity = 10_GiB});
  config.servers[1].footprint = {{{PoolId{0}, 12_GiB}, {PoolId{1}, 2_GiB}}};
  const ServerId beside = add(config, "beside", chat, {{{PoolId{1}, 3_GiB}}}, Wanted::on);
  Driver d = settled(config);
  d.ask(kSd, image);
  d.pass(20s);
  EXPECT_EQ(d.state(beside), ServerState::ready);
  EXPECT_EQ(d.state(kLlm), ServerState::absent);
}

TEST(Failures, ABackOffOutlivesTheSweepOfWhatTheStartLeft) {
  Config config = card_of_ten();
  config.policy.retry_first = 60s;
  Driver d = settled(config);
  d.behaviour(kSd).start_error = Error{ErrorCode::start_failed, "exit code 1"};
  d.behaviour(kSd).keeps_memory = true;
  d.ask(kSd, image);
  d.pass(2s);
  d.behaviour(kSd).leftover = Generation{1};
  d.pass(20s);
  ASSERT_THAT(d.story(), testing::Contains("down sd")) << "it was swept";
  const JobId early = d.ask(kSd, image);
  EXPECT_EQ(d.rejected(early)->code, ErrorCode::start_failed);
}

TEST(Failures, AServerThatRanOutOfMemoryIsPromisedMoreBeforeItIsTriedAgain) {
  Config config = card_of_ten();
  config.policy.retry_first = 1s;
  Driver d = settled(config);
  d.behaviour(kSd).start_error = Error{ErrorCode::out_of_memory, "exit code 1"};
  d.ask(kSd, image);
  d.pass(10s);
  EXPECT_TRUE(d.announced(Reason::needs_more));
  EXPECT_EQ(d.server(kSd).config.footprint, bytes(9_GiB)) << "an eighth more";
  EXPECT_EQ(d.server(kSd).config.source, FootprintSource::learned);
  d.behaviour(kSd).start_error.reset();
  d.ask(kSd, image);
  d.pass(10s);
  EXPECT_EQ(d.scheduler().state().ledger.staying(kPool), 9_GiB);
  d.apply(ServerChanged{kSd, d.server(kSd).generation, ServerChanged::Fact::out_of_memory, "9"});
  EXPECT_EQ(d.server(kSd).config.footprint, bytes(10_GiB)) << "never beyond the pool";
}

TEST(Failures, AnUnkillableServerThatDoesNotAnswerIsNotGone) {
  Driver d = settled();
  d.behaviour(kLlm).stop = 1h;  // the host gives the deadline's error below
  d.user(What::stop, kLlm);
  d.pass(1ms);
  const EffectId stop = *d.server(kLlm).move;
  d.apply(EffectEnded{stop, {Error{ErrorCode::unkillable, "it does not die"}, {}}});
  const Generation generation = d.server(kLlm).generation;
  d.apply(ServerChanged{kLlm, generation, ServerChanged::Fact::unresponsive, "deaf"});
  EXPECT_EQ(d.state(kLlm), ServerState::unkillable);
  EXPECT_FALSE(d.scheduler().state().ledger.entries().empty()) << "its memory stays on the books";
  d.apply(ServerChanged{kLlm, generation, ServerChanged::Fact::exited, "signal 9"});
  EXPECT_EQ(d.state(kLlm), ServerState::absent);
}

TEST(Rows, AnErrorOfLongAgoDoesNotFailALaterClaim) {
  Driver d = settled();
  d.commits_fail = true;
  d.user(What::start, kLlm);
  d.pass(1s);
  d.commits_fail = false;
  const JobId picture = d.ask(kSd, image);
  d.pass(20s);
  EXPECT_TRUE(d.running(picture));
  EXPECT_EQ(d.rejected(picture), std::nullopt);
}

TEST(Turns, BatchWorkOnAnLlmDoesNotKeepItsGateOpen) {
  Driver d = settled();
  const JobId first = d.ask(kLlm, batch);
  d.ask(kSd, image);
  EXPECT_FALSE(d.server(kLlm).gate_open);
  d.ask(kLlm, batch);
  d.end(first);
  d.pass(20s);
  EXPECT_EQ(d.state(kSd), ServerState::ready);
}

TEST(FoundBySimulator, APlanOverAVictimThatNothingCanKillFalls) {
  Driver d = settled();
  d.ask(kLlm, ServerClass::chat);
  const JobId picture = d.ask(kSd, ServerClass::image);
  ASSERT_FALSE(d.scheduler().state().claims.empty());
  d.apply(ServerChanged{kLlm, d.server(kLlm).generation, ServerChanged::Fact::unresponsive, ""});
  const EffectId stop = *d.server(kLlm).move;
  d.apply(EffectEnded{stop, {.error = Error{ErrorCode::unkillable, "it does not die"}}});
  EXPECT_EQ(d.state(kLlm), ServerState::unkillable);
  EXPECT_TRUE(d.announced(Reason::claim_fell));
  d.pass(1min);
  EXPECT_THAT(d.story(), testing::Not(testing::Contains("up sd")));
  EXPECT_FALSE(d.running(picture));
}

TEST(FoundBySimulator, MemoryThatIsStillBeingGivenBackLetsNobodyOfAWorseRankPass) {
  Config config = card_of_ten(Wanted::on_demand);
  config.policy.limit_numerator = 3;
  config.policy.limit_denominator = 4;
  config.servers[kLlm.value].footprint = bytes(7_GiB);
  Driver d(config);
  const JobId first = d.lease(3_GiB, 30min, ServerClass::chat);
  const JobId second = d.lease(3_GiB, 30min, ServerClass::chat);
  const JobId third = d.lease(3_GiB, 30min, ServerClass::chat);
  const JobId fourth = d.lease(3_GiB, 30min, ServerClass::chat);
  const JobId talk = d.ask(kLlm, ServerClass::chat);
  d.leases_keep_memory = true;
  d.end(first);
  d.pass(1s);
  ASSERT_TRUE(d.running(third)) << "there is room for it before the first has given all back";
  d.leases_keep_memory = false;
  d.end(first);
  d.end(second);
  d.end(third);
  d.pass(10s);
  EXPECT_TRUE(d.running(talk)) << "it has never been served, and leases count as one server";
  EXPECT_FALSE(d.running(fourth));
}

}  // namespace
}  // namespace berth::core
