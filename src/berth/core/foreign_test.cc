// SPDX-License-Identifier: Apache-2.0
// Pools that others use too: what they hold is looked at before a place is promised.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/core/foreign.h"
#include "berth/core/predict.h"
#include "berth/core/scheduler_driver.h"
#include "berth/core/turns.h"

namespace berth::core {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;
using enum ServerClass;

/// The LLM and the picture server on a real card, both on demand.
Config real_card() {
  Config config = card_of_ten(Wanted::on_demand);
  config.pools[0].kind = PoolKind::device;
  config.servers[1].max_hold = 20s;
  return config;
}

TEST(Foreign, NobodyIsPutOutForAPlaceThatOthersHold) {
  Driver d(real_card());
  d.ask(kLlm, chat);
  d.pass(10s);
  d.end(JobId{1});
  d.forget_story();
  d.foreign = 3_GiB;  // since the LLM came, and nobody has looked
  d.ask(kSd, image);
  d.pass(10s);
  EXPECT_THAT(d.story(), IsEmpty()) << "8 GiB do not fit beside 3 of others, with or without it";
}

TEST(Foreign, TheFirstJobOfAllIsNotStartedIntoMemoryThatOthersHold) {
  Driver d(real_card());
  d.foreign = 3_GiB;
  const JobId picture = d.ask(kSd, image);
  d.pass(5s);
  EXPECT_THAT(d.story(), IsEmpty());
  d.foreign = 1_GiB;
  d.pass(10s);
  EXPECT_TRUE(d.running(picture));
}

TEST(Foreign, APlanMadeBeforeOthersCameIsCalledOffBeforeItsFirstSignal) {
  Driver d(real_card());
  d.ask(kLlm, chat);
  d.pass(10s);
  d.forget_story();
  d.ask(kSd, image);  // fits once the LLM has left; its chat still runs
  d.pass(5s);
  d.foreign = 3_GiB;
  d.end(JobId{1});
  d.pass(10s);
  EXPECT_TRUE(d.announced(Reason::claim_fell));
  EXPECT_THAT(d.story(), IsEmpty());
}

TEST(Foreign, WhileTheProbeSaysNothingNoPlaceIsPromised) {
  Driver d(real_card());
  d.samples_fail = true;
  const JobId picture = d.ask(kSd, image);
  d.pass(10s);
  EXPECT_THAT(d.story(), IsEmpty());
  d.samples_fail = false;
  d.pass(10s);
  EXPECT_TRUE(d.running(picture));
}

TEST(Foreign, WhileSomebodyWhoWaitsIsLookedForNobodyReturnsBeforeIt) {
  Config config = real_card();
  config.pools.push_back({.name = "ram", .capacity = 10_GiB});
  config.servers[0].footprint = {{{PoolId{1}, 6_GiB}}};
  config.servers[1].footprint = {{{PoolId{0}, 8_GiB}, {PoolId{1}, 6_GiB}}};
  Driver d(config);
  d.samples_fail = true;
  d.ask(kSd, image);
  d.user(UserAsked::What::start, kLlm);
  d.pass(5s);
  EXPECT_THAT(d.story(), IsEmpty()) << "it would have to be put out again";
  d.samples_fail = false;
  d.pass(10s);
  EXPECT_EQ(d.story().front(), "up sd");
}

TEST(Foreign, InACappedPoolNobodyHasToLook) {
  Config config = real_card();
  config.pools[0].kind = PoolKind::capped;
  Driver d(config);
  d.samples_fail = true;
  const JobId picture = d.ask(kSd, image);
  d.pass(10s);
  EXPECT_TRUE(d.running(picture));
}

TEST(Foreign, WhoHoldsTheMemoryIsNamedWhileAJobWaitsAndWhenItIsRefused) {
  Driver d(real_card());
  d.foreign = 3_GiB;
  d.foreign_holders = {{.pid = 11, .program = "game", .bytes = bytes(1_GiB)},
                       {.pid = 12, .program = "python3", .bytes = bytes(2_GiB)}};
  const JobId picture = d.ask(kSd, image);
  d.pass(5s);
  const auto forecasts = predict(d.scheduler(), d.now());
  ASSERT_THAT(forecasts, SizeIs(1));
  EXPECT_EQ(to_text(forecasts[0].blocker, d.scheduler().state(), d.now()),
            "3.0 GiB of pool \"gpu0\" are used by others (python3, pid 12, 2.0 GiB; game, pid 11, "
            "1.0 GiB)");
  d.pass(20s);
  const auto error = d.rejected(picture);
  ASSERT_TRUE(error);
  EXPECT_EQ(error->code, ErrorCode::memory_not_released);
  EXPECT_THAT(error->message, AllOf(HasSubstr("python3, pid 12"), HasSubstr("max_hold")));
}

TEST(Foreign, WhoWaitsForAPlaceThatHasToBeLookedAtIsToldWhenItComes) {
  Driver d(real_card());
  d.ask(kLlm, chat);
  d.pass(10s);
  d.ask(kSd, image);
  d.pass(2s);
  const auto forecasts = predict(d.scheduler(), d.now());
  ASSERT_THAT(forecasts, SizeIs(1));
  EXPECT_TRUE(forecasts[0].eta);
}

TEST(Foreign, TakesTheBoundAwayOnlyWhereAServerDoesNotFitBesideItEvenAlone) {
  Config config = real_card();
  config.servers[1].job_limit = 1min;
  Driver d(config);
  d.foreign = 1_GiB;
  d.ask(kSd, image);
  d.pass(10s);
  EXPECT_TRUE(bound_of(d.scheduler().state(), kSd, image, 0).within);
  d.end(JobId{1});
  d.foreign = 3_GiB;
  d.ask(kLlm, chat);
  d.pass(60s);
  EXPECT_THAT(bound_of(d.scheduler().state(), kSd, image, 0).why_not, HasSubstr("used by others"));
}

}  // namespace
}  // namespace berth::core
