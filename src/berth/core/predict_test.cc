// SPDX-License-Identifier: Apache-2.0
#include "berth/core/predict.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "berth/core/rehearsal.h"
#include "berth/core/scheduler_driver.h"

namespace berth::core {
namespace {

using testing::IsEmpty;
using enum ServerClass;
using What = UserAsked::What;

Forecast forecast_of(const Driver& d, JobId job) {
  for (const Forecast& each : predict(d.scheduler(), d.now())) {
    if (each.job == job) return each;
  }
  ADD_FAILURE() << "job " << job.value << " has no forecast";
  return {};
}

std::string text_of(const Driver& d, const Forecast& forecast) {
  return to_text(forecast.blocker, d.scheduler().state(), d.now());
}

// ---- ETA ----------------------------------------------------------------------------------------

TEST(Predict, APictureBehindAStreamingChatComesWhenTheChatHasEndedAndTheSwapIsDone) {
  Driver d = experienced();
  d.ask(kLlm, chat);
  d.pass(3s);
  const JobId picture = d.ask(kSd, image);
  const Forecast forecast = forecast_of(d, picture);
  EXPECT_EQ(forecast.eta, Duration{7s + 5s}) << "the rest of the chat, then stop and start";
  EXPECT_FALSE(forecast.is_guess);
  EXPECT_EQ(forecast.blocker.reason, WaitReason::drain);
  EXPECT_EQ(text_of(d, forecast), "the running work of server \"llm\", 10 min more at most");
}

TEST(Predict, WhatIsPredictedHappensIfNothingElseDoes) {
  Driver d = experienced();
  const JobId running = d.ask(kLlm, chat);
  d.pass(3s);
  const JobId picture = d.ask(kSd, image);
  const JobId held = d.ask(kLlm, chat);
  const Duration picture_eta = *forecast_of(d, picture).eta;
  const Duration held_eta = *forecast_of(d, held).eta;
  d.pass(7s);
  d.end(running);
  d.pass(picture_eta - 7s - 1ms);
  EXPECT_FALSE(d.running(picture));
  d.pass(1ms);
  EXPECT_TRUE(d.running(picture));
  d.pass(12s);
  d.end(picture);
  d.pass(held_eta - picture_eta - 12s - 1ms);
  EXPECT_FALSE(d.running(held));
  d.pass(1ms);
  EXPECT_TRUE(d.running(held));
}

TEST(Predict, TheSecondPictureComesOneServiceTimeAfterTheFirst) {
  Driver d = experienced();
  const JobId first = d.ask(kSd, image);
  const JobId second = d.ask(kSd, image);
  EXPECT_EQ(*forecast_of(d, second).eta - *forecast_of(d, first).eta, Duration{12s});
}

TEST(Predict, AChatThatIsOverdueIsExpectedToTakeAQuarterMore) {
  Driver d = experienced();
  d.ask(kLlm, chat);
  d.pass(30s);
  EXPECT_EQ(forecast_of(d, d.ask(kSd, image)).eta, Duration{2500ms + 5s});
}

TEST(Predict, ASwapThatIsUnderWayTakesTheRestOfItsTime) {
  Driver d = experienced();
  const JobId picture = d.ask(kSd, image);
  d.pass(500ms);
  EXPECT_EQ(forecast_of(d, picture).eta, Duration{4500ms}) << "the victim still stops";
  d.pass(2s);
  EXPECT_EQ(forecast_of(d, picture).eta, Duration{2500ms}) << "it starts";
  EXPECT_EQ(forecast_of(d, picture).blocker.reason, WaitReason::moving);
}

TEST(Predict, WithoutLearnedTimesItSaysThatItGuesses) {
  Driver d = settled();
  d.ask(kLlm, chat);
  const Forecast forecast = forecast_of(d, d.ask(kSd, image));
  EXPECT_TRUE(forecast.eta.has_value());
  EXPECT_TRUE(forecast.is_guess);
}

TEST(Predict, AServerThatHasAnsweredNobodyYetIsAGuessEvenIfItIsThere) {
  Config config = card_of_ten();
  config.pools[0].capacity = 14_GiB;  // both fit
  Driver d = settled(config);
  d.ask(kSd, image);
  d.pass(5s);
  const JobId next = d.ask(kSd, image);
  EXPECT_TRUE(forecast_of(d, next).is_guess);
}

TEST(Predict, AServerThatNeverCameWhileBerthLookedOnIsAGuess) {
  Driver d(card_of_ten(Wanted::on_demand), {Row{.server = kSd, .generation = Generation{1}}},
           {{kSd, Generation{1}, true}});
  d.end(d.ask(kSd, image));
  const JobId chat_job = d.ask(kLlm, chat);
  d.pass(10s);
  d.end(chat_job);
  d.pass(1s);
  EXPECT_TRUE(forecast_of(d, d.ask(kSd, image)).is_guess);
  EXPECT_FALSE(d.server(kSd).swap.has_value());
}

TEST(Predict, AServerThatLingersIsExpectedToGoWhenThatIsOver) {
  Driver d = experienced();
  const JobId picture = d.ask(kSd, image);
  d.pass(6s);
  const JobId chat_job = d.ask(kLlm, chat);
  d.end(picture);
  EXPECT_EQ(forecast_of(d, chat_job).eta, Duration{2s + 5s});
}

TEST(Predict, TheLearnedServiceTimeFollowsTheNewestRequests) {
  Driver d = experienced();
  const JobId chat_job = d.ask(kLlm, chat);
  d.pass(30s);
  d.end(chat_job);
  EXPECT_EQ(d.server(kLlm).service, Duration{15s}) << "10 s and a quarter of the 20 s more";
  const JobId failed = d.ask(kLlm, chat);
  d.pass(10min);
  d.end(failed, JobEnd::failed);
  EXPECT_EQ(d.server(kLlm).service, Duration{15s}) << "what failed says nothing";
}

// ---- Places and blockers ------------------------------------------------------------------------

TEST(Predict, NamesThePlaceInTheQueueAndTheTurnOfWhoIsThere) {
  Driver d = experienced();
  const JobId picture = d.ask(kSd, image);
  d.pass(5s);
  const JobId next = d.ask(kSd, image);
  const JobId third = d.ask(kSd, image);
  const JobId chat_job = d.ask(kLlm, chat);
  ASSERT_TRUE(d.running(picture));
  EXPECT_EQ(forecast_of(d, next).place_in_queue, 1);
  EXPECT_EQ(forecast_of(d, third).place_in_queue, 2);
  EXPECT_EQ(text_of(d, forecast_of(d, third)), "server \"sd\" works for others");
  const Forecast held = forecast_of(d, chat_job);
  EXPECT_EQ(held.place_in_queue, 1);
  EXPECT_EQ(held.place_of_server, 2) << "pictures go before chats";
  EXPECT_TRUE(held.eta.has_value());
}

TEST(Predict, ATurnIsNamedWithItsEnd) {
  Driver d = experienced();
  const JobId picture = d.ask(kSd, image);
  d.pass(5s);
  const JobId chat_job = d.ask(kLlm, chat);
  d.end(picture);
  d.pass(8s);
  ASSERT_TRUE(d.running(chat_job)) << "the LLM is back for a second";
  const Forecast next = forecast_of(d, d.ask(kSd, image));
  EXPECT_EQ(next.blocker.reason, WaitReason::turn);
  EXPECT_EQ(next.blocker.until, d.server(kLlm).ready_at + 10s) << "R";
  EXPECT_EQ(text_of(d, next), "the turn of server \"llm\", 9.0 s more at most");
  EXPECT_EQ(next.eta, Duration{9s + 5s}) << "the chat ends with the turn";
}

TEST(Predict, APinnedVictimGivesNoEtaAndIsNamed) {
  Driver d = experienced();
  d.user(What::pin, kLlm);
  const Forecast forecast = forecast_of(d, d.ask(kSd, image));
  EXPECT_EQ(forecast.eta, std::nullopt);
  EXPECT_EQ(text_of(d, forecast), "server \"llm\" is pinned");
}

TEST(Predict, ALeaseIsExpectedToLastToItsLimit) {
  Driver d = experienced();
  const JobId lease = d.lease(8_GiB, 30min);
  d.pass(1min);
  ASSERT_TRUE(d.running(lease));
  const Forecast forecast = forecast_of(d, d.ask(kLlm, chat));
  EXPECT_EQ(forecast.eta, Duration{29min + 1s + 5s}) << "granted a second late, for the stop";
  EXPECT_EQ(text_of(d, forecast), "the running work of lease 3");
}

TEST(Predict, BehindALeaseWithoutALimitThereIsNoEta) {
  Driver d = experienced();
  d.lease(8_GiB, std::nullopt);
  d.pass(1min);
  EXPECT_EQ(forecast_of(d, d.ask(kLlm, chat)).eta, std::nullopt);
}

TEST(Predict, AHoldIsExpectedWhenItsServersAreThere) {
  Driver d = experienced();
  const JobId hold = d.hold({kSd});
  const Forecast forecast = forecast_of(d, hold);
  EXPECT_EQ(forecast.eta, Duration{5s});
  d.pass(2s);
  EXPECT_EQ(text_of(d, forecast_of(d, hold)), "server \"sd\" comes");
  d.pass(10s);
  const Forecast chat_behind = forecast_of(d, d.ask(kLlm, chat));
  EXPECT_EQ(text_of(d, chat_behind), "server \"sd\" is held");
}

TEST(Predict, ForeignUseGivesNoEtaAndIsNamed) {
  Driver d = experienced();
  const JobId picture = d.ask(kSd, image);
  d.foreign = 5_GiB;
  d.pass(20s);
  d.end(picture);
  d.pass(1min);
  d.user(What::stop, kLlm);
  d.pass(1min);
  const Forecast forecast = forecast_of(d, d.ask(kSd, image));
  EXPECT_EQ(forecast.eta, std::nullopt);
  EXPECT_EQ(text_of(d, forecast), "5.0 GiB of pool \"gpu0\" are used by others");
}

// ---- The copy -----------------------------------------------------------------------------------

TEST(Predict, DoesNotChangeTheScheduler) {
  Driver asked = experienced();
  Driver other = experienced();
  for (Driver* d : {&asked, &other}) {
    const JobId running = d->ask(kLlm, chat);
    d->ask(kSd, image);
    d->ask(kLlm, chat);
    for (int i = 0; i < 20; ++i) {
      d->pass(1s);
      if (i == 5) d->end(running);
      if (d == &asked) predict(d->scheduler(), d->now());
    }
  }
  EXPECT_EQ(asked.story(), other.story());
  EXPECT_EQ(asked.log().size(), other.log().size());
}

TEST(Predict, NobodyWaitsNothingIsPredicted) {
  Driver d = experienced();
  d.ask(kLlm, chat);
  EXPECT_THAT(predict(d.scheduler(), d.now()), IsEmpty());
}

// ---- Rehearsal ----------------------------------------------------------------------------------

TEST(Rehearsal, AJobThatWaitsForItsToolCallEndsAfterIt) {
  Config config = card_of_ten();
  config.pools[0].capacity = 14_GiB;  // both fit
  Driver d = experienced(config);
  const JobId parent = d.ask(kLlm, chat);
  const JobId child = d.ask(kSd, image, parent);
  Rehearsal rehearsal(d.scheduler(), d.now());
  Instant child_ended;
  while (rehearsal.next_at() && rehearsal.state().jobs.contains(parent)) {
    const bool had_child = rehearsal.state().jobs.contains(child);
    const RehearsalStep step = rehearsal.step();
    if (had_child && !rehearsal.state().jobs.contains(child)) child_ended = step.at;
  }
  EXPECT_FALSE(rehearsal.state().jobs.contains(parent));
  EXPECT_EQ(child_ended, rehearsal.now()) << "the picture takes longer than the chat usually";
  EXPECT_EQ(rehearsal.now() - d.now(), d.server(kSd).service);
}

TEST(Rehearsal, KnownTimesGoBeforeLearnedOnes) {
  Driver d = experienced();
  const JobId quick{900};
  const JobId slow{901};
  Rehearsal rehearsal(d.scheduler(), d.now(), {.services = {{quick, 1s}, {slow, 50s}}});
  rehearsal.feed(d.now(), JobArrived{.job = slow, .server = kLlm, .job_class = chat});
  rehearsal.feed(d.now(), JobArrived{.job = quick, .server = kLlm, .job_class = chat});
  EXPECT_EQ(rehearsal.next_at(), d.now() + 1s);
  rehearsal.step();
  EXPECT_EQ(rehearsal.next_at(), d.now() + 50s);
}

TEST(Rehearsal, AServerIsGoneAfterTheTimeThatItsLastStopTook) {
  Driver d = experienced();
  d.ask(kSd, image);
  Rehearsal rehearsal(d.scheduler(), d.now());
  while (rehearsal.next_at() && rehearsal.state().server(kLlm).state != ServerState::absent)
    rehearsal.step();
  EXPECT_EQ(rehearsal.now() - d.now(), Duration{1s});
}

TEST(Rehearsal, EndsAtItsBound) {
  Driver d = experienced();
  for (int i = 0; i < 10; ++i)
    d.ask(kSd, image);
  Rehearsal rehearsal(d.scheduler(), d.now(), {}, /*steps_max=*/3);
  while (rehearsal.next_at())
    rehearsal.step();
  EXPECT_EQ(rehearsal.steps(), 3);
  EXPECT_EQ(rehearsal.next_at(), std::nullopt);
}

TEST(Rehearsal, TheLlmComesBackWhenTheLastPictureIsDone) {
  Driver d = experienced();
  d.ask(kSd, image);
  Rehearsal rehearsal(d.scheduler(), d.now());
  while (rehearsal.next_at())
    rehearsal.step();
  EXPECT_EQ(rehearsal.state().server(kLlm).state, ServerState::ready);
  EXPECT_EQ(rehearsal.state().server(kSd).state, ServerState::absent);
  EXPECT_EQ(d.server(kSd).queue.size(), 1U) << "the original waits for its own events";
}

}  // namespace
}  // namespace berth::core
