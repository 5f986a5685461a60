// SPDX-License-Identifier: Apache-2.0
#include "berth/sim/policies.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace berth::sim {
namespace {

using core::ServerClass;

constexpr ServerId kLlm{0};
constexpr ServerId kSd{1};

/// LLM 6 (wanted on) and SD 8 on a card of 10; a load takes 8 s and 4 s, a stop 1 s.
Workload card_of_ten() {
  Workload workload;
  workload.config.pools.push_back({.name = "card", .capacity = 10_GiB});
  workload.config.policy.limit_numerator = 1;
  workload.config.policy.limit_denominator = 1;
  workload.config.servers = {
      {.name = "llm",
       .job_class = ServerClass::chat,
       .wanted = core::Wanted::on,
       .footprint = {{{PoolId{0}, 6_GiB}}},
       .slots = 2},
      {.name = "sd", .job_class = ServerClass::image, .footprint = {{{PoolId{0}, 8_GiB}}}}};
  workload.moves = {{.up = 8s, .down = 1s}, {.up = 4s, .down = 1s}};
  return workload;
}

void chat(Workload& workload, Duration at, Duration service = 3s) {
  workload.open.push_back({at, {kLlm, ServerClass::chat, service}});
}
void picture(Workload& workload, Duration at, Duration service = 12s) {
  workload.open.push_back({at, {kSd, ServerClass::image, service}});
}
Loop loop_of(ServerId server, ServerClass job_class, Duration service, Duration think,
             Duration until) {
  return {.from = 20s, .until = until, .turns = {{{server, job_class, service}, think}}};
}

/// An agent's loop against a picture loop.
Workload agent() {
  Workload workload = card_of_ten();
  workload.loops = {loop_of(kLlm, ServerClass::chat, 3s, 200ms, 30min),
                    loop_of(kSd, ServerClass::image, 12s, 200ms, 30min)};
  return workload;
}

const Waits& chats(const Summary& summary) {
  return summary.waits.at(ServerClass::chat);
}
const Waits& pictures(const Summary& summary) {
  return summary.waits.at(ServerClass::image);
}

// ---- Clients ------------------------------------------------------------------------------------

TEST(Clients, ALoopAsksAgainWhenItWasAnsweredAndHasThought) {
  Workload workload = card_of_ten();
  workload.loops = {loop_of(kLlm, ServerClass::chat, 3s, 5s, 60s)};
  Clients clients(workload);
  EXPECT_EQ(clients.next_at(), Duration{20s});
  const Clients::Request first = clients.take();
  EXPECT_EQ(clients.next_at(), std::nullopt) << "it waits for its answer";
  clients.over(first.job, 30s);
  EXPECT_EQ(clients.next_at(), Duration{35s});
  clients.over(clients.take().job, 57s);
  EXPECT_EQ(clients.next_at(), std::nullopt) << "it would ask after its end";
}

// ---- The models of others -----------------------------------------------------------------------

TEST(Fifo, ServesInOrderOfArrivalWhateverThatCosts) {
  Workload workload = card_of_ten();
  for (int i = 0; i < 3; ++i) {
    chat(workload, 60s);
    picture(workload, 60s);
  }
  const Summary summary = run_peer(workload, Peer::fifo);
  EXPECT_EQ(summary.swaps, 1 + 5) << "the first load and one for each job but the first";
  EXPECT_EQ(summary.served, 6);
}

TEST(Affinity, ServesTheResidentFirstAndSwapsOnce) {
  Workload workload = card_of_ten();
  for (int i = 0; i < 3; ++i) {
    picture(workload, 60s);
    chat(workload, 60s);
  }
  const Summary summary = run_peer(workload, Peer::affinity);
  EXPECT_EQ(summary.swaps, 1 + 1);
  EXPECT_EQ(chats(summary).max, Duration{3s}) << "two slots";
  EXPECT_EQ(pictures(summary).max, Duration{6s + 1s + 4s + 24s});
}

TEST(Affinity, LetsAPictureWaitAsLongAsChatsOverlap) {
  Workload workload = card_of_ten();
  for (int i = 0; i < 100; ++i)
    chat(workload, 60s + i * Duration{2s});
  workload.open.insert(workload.open.begin() + 1, {61s, {kSd, ServerClass::image, 12s}});
  EXPECT_EQ(pictures(run_peer(workload, Peer::affinity)).max, Duration{258s + 3s - 61s + 5s});
  EXPECT_LT(pictures(run_berth(workload)).max, Duration{30s}) << "Berth does not";
}

TEST(Affinity, PutsOutWhoeverIsIdleFirst) {
  Workload workload = card_of_ten();
  workload.config.servers.clear();
  workload.moves.clear();
  for (const char* server : {"a", "b", "c"}) {
    workload.config.servers.push_back({.name = server, .footprint = {{{PoolId{0}, 4_GiB}}}});
    workload.moves.push_back({.up = 4s, .down = 1s});
  }
  workload.open = {{10s, {ServerId{0}, ServerClass::chat, 100s}},
                   {20s, {ServerId{1}, ServerClass::chat, 10s}},
                   {25s, {ServerId{2}, ServerClass::image, 1s}}};
  EXPECT_EQ(pictures(run_peer(workload, Peer::affinity)).max, Duration{34s - 25s + 1s + 4s});
}

TEST(Broker, ClosesTheGateAsSoonAsNothingIsQueued) {
  Workload workload = card_of_ten();
  chat(workload, 60s, 10s);
  picture(workload, 61s);
  chat(workload, 62s);
  const Summary summary = run_peer(workload, Peer::broker);
  EXPECT_EQ(pictures(summary).max, Duration{9s + 5s}) << "the running chat ends first";
  EXPECT_EQ(chats(summary).max, Duration{13s + 12s + 9s}) << "the second chat is held";
}

TEST(Broker, TakesChatsFirst) {
  Workload workload = card_of_ten();
  workload.config.servers.push_back(
      {.name = "batch", .job_class = ServerClass::batch, .footprint = {{{PoolId{0}, 8_GiB}}}});
  workload.moves.push_back({.up = 4s, .down = 1s});
  picture(workload, 60s);
  workload.open.push_back({61s, {ServerId{2}, ServerClass::batch, 5s}});
  chat(workload, 62s);
  const Summary summary = run_peer(workload, Peer::broker);
  EXPECT_EQ(chats(summary).max, Duration{3s + 12s + 9s});
  EXPECT_GT(summary.waits.at(ServerClass::batch).max, chats(summary).max);
}

TEST(Broker, BringsTheLlmBackAfterTwoMinutes) {
  Workload workload = card_of_ten();
  picture(workload, 60s);
  chat(workload, 10min);
  EXPECT_EQ(run_peer(workload, Peer::broker).swaps, 3);
  EXPECT_EQ(chats(run_peer(workload, Peer::broker)).max, Duration{0});
  EXPECT_EQ(chats(run_peer(workload, Peer::affinity)).max, Duration{9s}) << "it never does";
}

TEST(Peers, ServersThatFitTogetherAreNotSwapped) {
  Workload workload = agent();
  workload.config.pools[0].capacity = 14_GiB;
  for (const Peer peer : {Peer::fifo, Peer::affinity, Peer::broker})
    EXPECT_EQ(run_peer(workload, peer).swaps, 2) << name(peer);
  EXPECT_EQ(run_berth(workload).swaps, 2);
}

// ---- Berth --------------------------------------------------------------------------------------

TEST(Berth, GivesAnAgentATurnWhereOthersSwapForEachCall) {
  const Summary berth = run_berth(agent());
  for (const Peer peer : {Peer::fifo, Peer::affinity, Peer::broker}) {
    const Summary other = run_peer(agent(), peer);
    EXPECT_LE(berth.swaps * 10, other.swaps * 6) << name(peer);
    EXPECT_GE(berth.served * 10, other.served * 17) << name(peer);
  }
}

TEST(Berth, BringsTheLlmBackBeforeSomebodyAsks) {
  Workload workload = card_of_ten();
  picture(workload, 60s);
  chat(workload, 10min);
  const Summary summary = run_berth(workload);
  EXPECT_EQ(summary.swaps, 3);
  EXPECT_EQ(chats(summary).max, Duration{0});
}

TEST(Berth, TheSameWorkloadGivesTheSameNumbers) {
  const Summary one = run_berth(agent());
  const Summary other = run_berth(agent());
  EXPECT_EQ(one.swaps, other.swaps);
  EXPECT_EQ(one.served, other.served);
  EXPECT_EQ(one.span, other.span);
  EXPECT_EQ(chats(one).mean, chats(other).mean);
}

TEST(Berth, AJobThatCannotBeHelpedIsRefused) {
  Workload workload = card_of_ten();
  workload.config.policy.oversize = core::Oversize::refuse;
  workload.config.servers[1].footprint = {{{PoolId{0}, 20_GiB}}};
  picture(workload, 60s);
  EXPECT_EQ(run_berth(workload).refused, 1);
}

// ---- Sums ---------------------------------------------------------------------------------------

TEST(Record, SumsWaitsSharesAndLoads) {
  const Workload workload = card_of_ten();
  Record record(workload);
  record.loading(kLlm, 0s);
  record.ready(kLlm, 10s);
  for (std::uint64_t i = 1; i <= 100; ++i) {
    record.arrived(JobId{i}, 10s, ServerClass::chat);
    record.started(JobId{i}, kLlm, 10s + i * Duration{1s});
    record.ended(JobId{i}, 11s + i * Duration{1s});
  }
  record.stopping(kLlm, 111s);
  record.gone(kLlm, 112s);
  record.loading(kSd, 112s);
  record.ready(kSd, 116s);
  record.stopping(kSd, 120s);
  record.gone(kSd, 121s);
  record.arrived(JobId{101}, 121s, ServerClass::image);
  record.loading(kSd, 121s);
  record.ready(kSd, 125s);
  record.started(JobId{101}, kSd, 125s);
  record.ended(JobId{101}, 222s);
  record.arrived(JobId{102}, 222s, ServerClass::image);
  const Summary summary = record.sum("any");
  EXPECT_EQ(chats(summary).served, 100);
  EXPECT_EQ(chats(summary).mean, Duration{50'500ms});
  EXPECT_EQ(chats(summary).p50, Duration{50s});
  EXPECT_EQ(chats(summary).p99, Duration{99s});
  EXPECT_EQ(chats(summary).max, Duration{100s});
  EXPECT_EQ(summary.swaps, 3);
  EXPECT_EQ(summary.unused, 1) << "the picture server's first load";
  EXPECT_EQ(summary.unserved, 1);
  EXPECT_DOUBLE_EQ(summary.busy_share, 197.0 / (197 + 10 + 1 + 4 + 1 + 4));
  EXPECT_DOUBLE_EQ(summary.llm_absent, 1 - 101.0 / 222);
}

}  // namespace
}  // namespace berth::sim
