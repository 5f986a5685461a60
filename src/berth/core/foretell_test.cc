// SPDX-License-Identifier: Apache-2.0
#include "berth/core/foretell.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/core/scheduler_driver.h"

namespace berth::core {
namespace {

using testing::IsEmpty;
using enum ServerClass;

/// What the request was told when it arrived.
std::optional<Announce> told(const Driver& d, JobId job) {
  for (const Action& action : d.log()) {
    const auto* announce = std::get_if<Announce>(&action);
    if (announce != nullptr && announce->job == job && announce->eta) return *announce;
  }
  return std::nullopt;
}

std::optional<Duration> retry_after(const Driver& d, JobId job) {
  for (const Action& action : d.log()) {
    const auto* reject = std::get_if<Reject>(&action);
    if (reject != nullptr && reject->job == job) return reject->retry_after;
  }
  return std::nullopt;
}

Config picture_waits_at_most(Duration max_hold) {
  Config config = card_of_ten();
  config.servers[kSd.value].max_hold = max_hold;
  return config;
}

/// A chat that takes 10 s has run for 3 s: a picture runs in 7 s + 1 s stop + 4 s start.
Driver chatting(Config config = card_of_ten()) {
  Driver d = experienced(std::move(config));
  d.ask(kLlm, chat);
  d.pass(3s);
  d.forget_story();
  return d;
}

TEST(Foretell, ARequestThatHasToWaitIsToldWhenItRuns) {
  Driver d = chatting();
  const JobId picture = d.ask(kSd, image);
  const auto announce = told(d, picture);
  ASSERT_TRUE(announce.has_value());
  EXPECT_EQ(announce->reason, Reason::foretold);
  EXPECT_EQ(announce->eta, Duration{12s});
  EXPECT_FALSE(announce->is_guess);
}

TEST(Foretell, ARequestThatRunsAtOnceIsToldNothing) {
  Driver d = experienced();
  const JobId talk = d.ask(kLlm, chat);
  EXPECT_TRUE(d.running(talk));
  EXPECT_FALSE(told(d, talk));
}

TEST(Foretell, WhoWouldWaitForLongerThanMaxHoldIsRefusedAtOnceAndNothingMoves) {
  Driver d = chatting(picture_waits_at_most(7s));
  const JobId picture = d.ask(kSd, image);
  ASSERT_TRUE(d.rejected(picture));
  EXPECT_EQ(d.rejected(picture)->code, ErrorCode::not_in_time);
  EXPECT_EQ(retry_after(d, picture), Duration{12s});
  d.pass(5min);
  EXPECT_THAT(d.story(), IsEmpty());
}

TEST(Foretell, ALoadThatHasBegunWhenMaxHoldIsOverIsInTime) {
  Driver d = experienced(picture_waits_at_most(9s));
  const JobId talk = d.ask(kLlm, chat);
  d.pass(3s);
  const JobId picture = d.ask(kSd, image);
  EXPECT_FALSE(d.rejected(picture));
  d.pass(7s);
  d.end(talk);
  d.pass(6s);
  EXPECT_TRUE(d.running(picture)) << "its server was loading when its 9 s were over";
}

TEST(Foretell, AGuessRefusesNobody) {
  Driver d = settled(picture_waits_at_most(1s));  // nothing was learned yet
  d.ask(kLlm, chat);
  const JobId picture = d.ask(kSd, image);
  EXPECT_FALSE(d.rejected(picture));
  EXPECT_TRUE(told(d, picture)->is_guess);
}

TEST(Foretell, ARefusedRequestIsToldWhenItsServerIsBack) {
  Config config = card_of_ten();
  config.servers[kLlm.value].while_displaced = WhileDisplaced::refuse;
  Driver d = experienced(config);
  d.ask(kSd, image);
  d.pass(7s);  // stop and start took 5 s; the picture takes 12 s, 10 s more
  const JobId talk = d.ask(kLlm, chat);
  ASSERT_TRUE(d.rejected(talk));
  EXPECT_EQ(d.rejected(talk)->code, ErrorCode::displaced);
  EXPECT_EQ(retry_after(d, talk), Duration{10s + 5s});
}

TEST(Foretell, BehindMoreJobsThanACopyCanPlayNothingIsForetold) {
  Config config = card_of_ten();
  config.policy.foretell_steps = 7;
  Driver d = chatting(config);
  d.ask(kSd, image);
  d.ask(kSd, image);
  EXPECT_FALSE(told(d, d.ask(kSd, image)));
}

}  // namespace
}  // namespace berth::core
