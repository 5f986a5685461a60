// SPDX-License-Identifier: Apache-2.0
// Footprints that were measured, and the second rule by which they are planned (ADR 0009).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/core/scheduler_driver.h"

namespace berth::core {
namespace {

using enum ServerClass;

/// The LLM leaves for a picture, and is told to have held this much.
Driver put_out(Bytes held) {
  Driver d = settled();
  d.ask(kSd, image);
  d.pass(500ms);
  d.apply(EffectEnded{*d.server(kLlm).move, {.measured = bytes(held)}});
  d.behaviour(kLlm).resident.reset();
  return d;
}

TEST(Learned, WhatAServerWasSeenToTakeIsPlannedWithFromItsNextStartOn) {
  Driver d = put_out(2_GiB);
  EXPECT_TRUE(d.announced(Reason::learned));
  EXPECT_EQ(d.server(kLlm).config.source, FootprintSource::learned);
  const JobId talk = d.ask(kLlm, chat);
  d.pass(30s);
  EXPECT_TRUE(d.running(talk)) << "2 GiB fit beside the 8 of the picture server";
  EXPECT_EQ(d.state(kSd), ServerState::ready);
}

TEST(Learned, APoolThatItWasNotKnownToUseIsOneFromThenOn) {
  Config config = card_of_ten(Wanted::on);
  config.pools.push_back({.name = "ram", .capacity = 64_GiB});
  Driver d(std::move(config));
  d.pass(1h);
  d.ask(kSd, image);
  d.pass(500ms);
  EffectResult result;
  result.measured = Footprint{{{PoolId{0}, 6_GiB}, {PoolId{1}, 3_GiB}}};
  d.apply(EffectEnded{*d.server(kLlm).move, result});
  EXPECT_EQ(d.server(kLlm).config.footprint.in(PoolId{1}), 3_GiB);
  EXPECT_EQ(d.server(kLlm).config.footprint.in(PoolId{0}), 6_GiB);
}

Event forget(ServerId server, Bytes footprint) {
  return UserAsked{UserAsked::What::forget, server, bytes(footprint), FootprintSource::formula};
}

TEST(Learned, WhatWasLearnedCanBeForgotten) {
  Driver d = put_out(2_GiB);
  d.apply(forget(kLlm, 6_GiB));
  EXPECT_EQ(d.server(kLlm).config.footprint, bytes(6_GiB));
  EXPECT_EQ(d.server(kLlm).config.source, FootprintSource::formula);
}

TEST(Learned, WhatIsInMemoryKeepsItsPlaceUntilItLeaves) {
  Driver d = settled();
  d.apply(forget(kLlm, 9_GiB));
  EXPECT_EQ(d.server(kLlm).config.footprint, bytes(6_GiB));
  EXPECT_EQ(d.scheduler().state().ledger.promised(PoolId{0}), 6_GiB);
  d.user(UserAsked::What::stop, kLlm);
  d.pass(1min);
  EXPECT_EQ(d.server(kLlm).config.footprint, bytes(9_GiB));
}

TEST(Learned, WhatTheRunThatIsForgottenTookIsLearnedAtItsEnd) {
  Driver d = settled();
  d.apply(forget(kLlm, 9_GiB));
  d.ask(kSd, image);
  d.pass(500ms);
  d.apply(EffectEnded{*d.server(kLlm).move, {.measured = bytes(5_GiB)}});
  EXPECT_EQ(d.server(kLlm).config.footprint, bytes(5_GiB));
}

TEST(Learned, WhatIsKnownAlreadyIsNotToldAgain) {
  const Driver d = put_out(6_GiB);
  EXPECT_FALSE(d.announced(Reason::learned));
}

/// By the policy 3 + 3 of 10, limit 7.5; but the LLM was seen to take `known`, and all 10 may be
/// used of what is known.
Config with_second_pool(Bytes known) {
  Config config = card_of_ten(Wanted::on);
  config.policy.limit_numerator = 3;
  config.policy.limit_denominator = 4;
  config.pools.push_back(
      {.name = "gpu0 (measured)", .capacity = 10_GiB, .again = PoolId{0}, .limit = Limit{1, 1}});
  config.servers[kLlm.value].footprint = {{{PoolId{0}, 3_GiB}, {PoolId{1}, known}}};
  config.servers[kSd.value].footprint = {{{PoolId{0}, 3_GiB}, {PoolId{1}, 3_GiB}}};
  return config;
}

TEST(SecondPool, WhatIsKnownNotToFitIsPutOutAlthoughTheFormulaLetsItStay) {
  Driver d(with_second_pool(7_GiB + Bytes{1}));
  d.pass(1h);
  d.ask(kSd, image);
  const auto offload = std::find_if(d.log().begin(), d.log().end(), [](const Action& action) {
    const auto* announce = std::get_if<Announce>(&action);
    return announce != nullptr && announce->reason == Reason::offload;
  });
  ASSERT_NE(offload, d.log().end());
  EXPECT_EQ(std::get<Announce>(*offload).numbers->pool, PoolId{1}) << "the rule that decided";
}

TEST(SecondPool, WhatFitsByBothRulesStays) {
  Driver d(with_second_pool(7_GiB));
  d.pass(1h);
  const JobId picture = d.ask(kSd, image);
  d.pass(10s);
  EXPECT_TRUE(d.running(picture));
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

}  // namespace
}  // namespace berth::core
