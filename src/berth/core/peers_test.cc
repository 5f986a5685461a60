// SPDX-License-Identifier: Apache-2.0
// What the nearest peers get wrong, by the names of the issue that lists it. The rest of that list
// needs real processes: tests/e2e/test_peers.py.
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

TEST(Peers, APinBeforeTheFirstSignalKeepsTheServer) {
  Driver d = settled();
  const JobId chat = d.ask(kLlm, ServerClass::chat);
  const JobId picture = d.ask(kSd, image);
  d.user(UserAsked::What::pin, kLlm);
  d.end(chat);
  d.pass(1min);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
  EXPECT_FALSE(d.running(picture));
  EXPECT_TRUE(d.server(kLlm).gate_open);
  EXPECT_FALSE(d.server(kLlm).displaced.has_value());
}

TEST(Peers, StartingLlmIsSeenByTheDecision) {
  Driver d(card_of_ten());
  d.pass(1s);
  ASSERT_EQ(d.state(kLlm), ServerState::starting);
  d.ask(kSd, image);
  d.pass(20s);
  EXPECT_THAT(d.story(), ElementsAre("up llm", "down llm", "up sd", "run 1"));
}

TEST(Peers, StartDuringTeardownWaits) {
  Driver d = settled();
  d.behaviour(kLlm).stop = 5s;
  d.ask(kSd, image);
  d.pass(4s);
  ASSERT_EQ(d.state(kLlm), ServerState::stopping);
  d.user(What::start, kLlm);
  d.ask(kLlm, chat);
  d.pass(900ms);
  EXPECT_THAT(d.story(), ElementsAre("down llm")) << "its own teardown is awaited";
  d.pass(1min);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd", "run 1"));
}

TEST(Peers, UserStartWhileDisplacedEndsTheDisplacement) {
  Driver d = drawing(card_of_ten(Wanted::on));
  ASSERT_TRUE(d.server(kLlm).displaced);
  d.user(What::start, kLlm);
  d.pass(1s);
  EXPECT_FALSE(d.server(kLlm).displaced);
  EXPECT_EQ(d.row(kLlm).displaced, std::nullopt);
  EXPECT_EQ(d.row(kLlm).wanted, Wanted::on);
  d.end(JobId{1});
  d.pass(1min);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

TEST(Peers, UserStopWhileDisplacedIsHonoured) {
  Driver d = settled();
  d.ask(kSd, image);
  d.pass(10s);
  d.user(What::stop, kLlm);
  d.end(JobId{1});
  d.pass(24h);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd", "run 1"));
  EXPECT_EQ(d.row(kLlm).displaced, std::nullopt);
  EXPECT_EQ(d.row(kLlm).wanted, Wanted::off);
}

TEST(Peers, ClearSavedStateWhileDisplacedMeansNoRestore) {
  Driver d = settled(card_of_ten(Wanted::on_demand));
  d.ask(kLlm, chat);
  d.pass(1h);
  d.end(JobId{1});
  d.pass(1h);
  d.forget_story();
  d.ask(kSd, image);
  d.pass(10s);
  d.user(What::clear_saved_state, kLlm);
  d.end(JobId{2});
  d.pass(24h);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd", "run 2"));
}

TEST(Peers, ClearSavedStateWhenNothingIsDisplacedSkipsTheNextRestore) {
  Driver d = settled(card_of_ten(Wanted::on_demand));
  d.ask(kLlm, chat);
  d.pass(1h);
  d.end(JobId{1});
  d.user(What::clear_saved_state, kLlm);
  d.pass(1h);
  d.ask(kSd, image);
  d.pass(10s);
  d.end(JobId{2});
  d.pass(24h);
  EXPECT_EQ(d.state(kLlm), ServerState::absent);
  EXPECT_FALSE(d.row(kLlm).skip_next_restore);
}

TEST(Peers, NoResurrectionAfterStop) {
  // The peer's order: offload, the user starts and then stops the LLM, another picture ends.
  Driver d = drawing();
  d.user(What::start, kLlm);
  d.pass(1s);
  d.user(What::stop, kLlm);
  const JobId second = d.ask(kSd, image);
  d.end(JobId{1});
  d.pass(1s);
  d.end(second);
  d.pass(24h);
  EXPECT_THAT(d.story(), testing::Not(testing::Contains("up llm")));
}

TEST(Peers, CancelBeforeTheStopLoadsNothing) {
  Driver d = settled();
  d.ask(kLlm, chat);
  const JobId picture = d.ask(kSd, image);
  d.withdraw(picture);
  d.pass(24h);
  EXPECT_THAT(d.story(), ElementsAre("run 1"));
}

TEST(Peers, ExitIsConfirmedBeforeMemoryIsReused) {
  Driver d = settled();
  d.behaviour(kLlm).stop = 9s;
  d.ask(kSd, image);
  d.pass(8900ms);
  EXPECT_THAT(d.story(), ElementsAre("down llm"));
  d.pass(200ms);
  EXPECT_THAT(d.story(), ElementsAre("down llm", "up sd"));
}

TEST(Peers, StableIsNotReleased) {
  // Free memory stands still, and is not enough: the peer takes that for released.
  Driver d = settled();
  d.behaviour(kLlm).keeps_memory = true;
  d.ask(kSd, image);
  d.pass(3900ms);
  EXPECT_THAT(d.story(), ElementsAre("down llm"));
}

TEST(Peers, OwnMemoryIsNotForeign) {
  // Samples that show the picture server's own memory never make it not fit beside itself.
  Driver d = drawing();
  for (int i = 0; i < 5; ++i) {
    const JobId next = d.ask(kSd, image);
    d.end(JobId{next.value - 1});
    d.pass(100ms);
    EXPECT_TRUE(d.running(next));
  }
  EXPECT_THAT(d.story(), testing::Not(testing::Contains("down sd")));
}

TEST(Peers, FinishedPictureIsNotDelayedByTeardown) {
  Driver d = drawing();
  d.behaviour(kSd).stop = 1h;
  d.end(JobId{1});
  EXPECT_FALSE(d.scheduler().state().jobs.contains(JobId{1})) << "answered before anything moves";
  EXPECT_THAT(d.story(), IsEmpty());
}

TEST(Peers, StatusNeverNamesADeadServer) {
  // B cannot start after A was stopped: A is absent at once, and then back.
  Driver d = settled();
  d.behaviour(kSd).start_error = Error{ErrorCode::start_failed, "exit code 1"};
  const JobId picture = d.ask(kSd, image);
  d.pass(1500ms);
  EXPECT_EQ(d.state(kLlm), ServerState::absent);
  d.pass(10s);
  EXPECT_THAT(d.rejected(picture)->message, HasSubstr("exit code 1"));
  EXPECT_NE(d.state(kSd), ServerState::ready);
  d.pass(1min);
  EXPECT_EQ(d.state(kLlm), ServerState::ready);
}

}  // namespace
}  // namespace berth::core
