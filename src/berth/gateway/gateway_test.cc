// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/gateway.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <boost/json.hpp>

#include "berth/gateway/test_world.h"
#include "berth/gateway/token.h"

namespace berth::gateway {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using What = core::UserAsked::What;

class GatewayTest : public testing::Test {
 protected:
  World world_;
};

boost::json::value parsed(const http::Response& reply) {
  return boost::json::parse(reply.body);
}

TEST_F(GatewayTest, ReadsAreAnsweredWithoutAJob) {
  for (const char* target : {"/v1/models", "/health", "/api/v1/status", "/api/v1/explain"}) {
    EXPECT_EQ(world_.get(world_.main(), target).status, 200) << target;
  }
  for (const char* target : {"/v1/models", "/health", "/props", "/slots"}) {
    world_.get(world_.front(kChat), target);
  }
  EXPECT_THAT(world_.host.jobs, IsEmpty());
  EXPECT_THAT(world_.seen, IsEmpty());
}

TEST_F(GatewayTest, TheModelsAreTheServers) {
  const auto models = parsed(world_.get(world_.main(), "/v1/models"));
  ASSERT_EQ(models.at("data").as_array().size(), 2u);
  EXPECT_EQ(models.at("data").at(1).at("id"), "image");
  EXPECT_EQ(models.at("data").at(1).at("object"), "model");
  EXPECT_EQ(models.at("data").at(1).at("owned_by"), "berth");
}

TEST_F(GatewayTest, AFrontPortShowsWhatItsServerSaidLast) {
  world_.host.fake_adapter(kChat).known["/props"] = R"({"total_slots":1})";
  EXPECT_EQ(world_.get(world_.front(kChat), "/props").body, R"({"total_slots":1})");
  const http::Response slots = world_.get(world_.front(kChat), "/slots");
  EXPECT_EQ(slots.status, 503);
  EXPECT_THAT(slots.body, HasSubstr("has not answered /slots yet"));
}

TEST_F(GatewayTest, HealthSaysOkWhileAServerIsAwayAndNotWhenTheUserStoppedIt) {
  EXPECT_EQ(world_.get(world_.front(kChat), "/health").status, 200);
  world_.host.server(kChat).wanted = core::Wanted::off;
  EXPECT_EQ(world_.get(world_.front(kChat), "/health").status, 503);
  EXPECT_EQ(world_.get(world_.main(), "/health").status, 200);
}

TEST_F(GatewayTest, AForeignNameForThisMachineGetsNothing) {
  http::Request request{.method = "GET", .target = "/v1/models", .headers = {}, .body = ""};
  request.headers.set("Host", "evil.example");
  EXPECT_EQ(world_.ask(world_.main(), request).status, 403);
  EXPECT_EQ(world_.ask(world_.front(kChat), request).status, 403);
  EXPECT_EQ(world_.ask(world_.control(), request).status, 200);
}

TEST_F(GatewayTest, AWrongMethodIsAnsweredWithTheAllowedOnes) {
  const http::Response reply = world_.get(world_.main(), "/v1/chat/completions");
  EXPECT_EQ(reply.status, 405);
  EXPECT_EQ(reply.headers.get("Allow"), "POST");
}

TEST_F(GatewayTest, StatusTellsEverythingOfTheHost) {
  host::ServerStatus chat;
  chat.name = "chat";
  chat.state = "absent";
  chat.displaced = true;
  chat.displaced_by = "image";
  chat.displaced_for = 12s;
  chat.footprint = 2_GiB;
  chat.waiting = 1;
  chat.bound = 26s;
  world_.host.shown.servers = {chat};
  world_.host.shown.pools = {{.name = "ram", .kind = "capped", .capacity = 8_GiB, .limit = 6_GiB}};
  const auto status = parsed(world_.get(world_.control(), "/api/v1/status"));
  EXPECT_EQ(world_.host.refreshed, 1);
  EXPECT_EQ(status.at("state_dir"), boost::json::value(world_.folder));
  EXPECT_EQ(status.at("address"), boost::json::value(world_.gateway->address()));
  const auto& server = status.at("servers").at(0);
  EXPECT_EQ(server.at("displaced_by"), "image");
  EXPECT_EQ(server.at("displaced_for_ms"), 12'000);
  EXPECT_EQ(server.at("footprint_bytes"), (2_GiB).count);
  EXPECT_TRUE(server.at("used_bytes").is_null());
  EXPECT_EQ(server.at("waiting"), 1);
  EXPECT_EQ(server.at("bound_ms"), 26'000);
  EXPECT_EQ(status.at("pools").at(0).at("limit_bytes"), (6_GiB).count);
}

TEST_F(GatewayTest, AWishIsAnsweredWhenItIsFulfilled) {
  world_.host.shown.servers.resize(2);
  world_.host.is_settled.set();
  EXPECT_EQ(world_.post(world_.control(), "/api/v1/servers/chat/start", "").status, 200);
  EXPECT_THAT(world_.host.asked, ElementsAre(Pair(What::start, kChat)));
}

TEST_F(GatewayTest, AStartThatAStopUndoesIsNotSaidToBeFulfilled) {
  world_.host.shown.servers.resize(2);
  world_.host.is_settled.set();
  world_.host.state().server(kChat).wanted = core::Wanted::off;
  EXPECT_EQ(world_.post(world_.control(), "/api/v1/servers/chat/stop", "").status, 200);
  const auto start = world_.post(world_.control(), "/api/v1/servers/chat/start", "");
  EXPECT_EQ(start.status, 503);
  EXPECT_THAT(start.body, HasSubstr("was stopped by somebody else meanwhile"));
}

TEST_F(GatewayTest, ATypingErrorForgetsNothing) {
  const auto reply = world_.post(world_.control(), "/api/v1/footprints/forget?srv=chat", "");
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("write ?server=NAME"));
}

TEST_F(GatewayTest, AWishNeedNotBeWaitedFor) {
  world_.host.shown.servers.resize(2);
  EXPECT_EQ(world_.post(world_.control(), "/api/v1/servers/image/stop?wait=0", "").status, 202);
  EXPECT_THAT(world_.host.asked, ElementsAre(Pair(What::stop, kImage)));
}

Task<void> await_head(http::Call* call, Event* answered) {
  const Result<http::ResponseHead> head = co_await call->head();
  EXPECT_TRUE(head && head->status == 200);
  answered->set();
}

TEST_F(GatewayTest, AWishIsAnsweredWhenNoCrashUndoesIt) {
  world_.host.shown.servers.resize(2);
  world_.host.is_slow_to_store = true;
  http::Request request{.method = "POST", .target = "/api/v1/servers/chat/clear-saved-state"};
  auto call = run_on(world_.loop, http::Call::open(world_.loop.executor(), world_.control(),
                                                   std::move(request), 5s));
  world_.wait(world_.host.asked_something);
  Event answered;
  spawn(world_.loop.executor(), await_head(call->get(), &answered));
  EXPECT_EQ(world_.post(world_.control(), "/api/v1/servers/chat/pin", "").status, 200)
      << "a pin is not stored";
  EXPECT_FALSE(answered.is_set());
  world_.host.is_stored.set();
  world_.wait(answered);
}

TEST_F(GatewayTest, AWishThatCannotBeStoredIsAnError) {
  world_.host.shown.servers.resize(2);
  world_.host.not_stored = Error{ErrorCode::disk_full, "the disk is full"};
  const auto reply = world_.post(world_.control(), "/api/v1/servers/chat/clear-saved-state", "");
  EXPECT_EQ(reply.status, http_status(ErrorCode::disk_full));
  EXPECT_THAT(reply.body, HasSubstr("the disk is full"));
}

http::Request wish(std::string authorization) {
  http::Request made{.method = "POST", .target = "/api/v1/servers/chat/stop?wait=0"};
  if (!authorization.empty()) made.headers.set("Authorization", std::move(authorization));
  return made;
}

TEST_F(GatewayTest, AWishOnANetworkAddressIsRefusedWithoutTheToken) {
  for (const char* authorization : {"", "Bearer", "Bearer ", "Bearer wrong", "Basic dXNlcg=="}) {
    const http::Response reply = world_.ask(world_.main(), wish(authorization));
    EXPECT_EQ(reply.status, 401) << authorization;
    EXPECT_EQ(reply.headers.get("WWW-Authenticate"), "Bearer realm=\"berth\"");
    EXPECT_THAT(reply.body, AllOf(HasSubstr("Authorization: Bearer"), HasSubstr("control.sock")));
  }
  EXPECT_THAT(world_.host.asked, IsEmpty());
}

TEST_F(GatewayTest, AWishOnANetworkAddressIsTakenWithTheToken) {
  world_.host.shown.servers.resize(2);
  const std::string token = *load_token(world_.folder);
  EXPECT_EQ(world_.ask(world_.main(), wish("Bearer " + token)).status, 202);
  EXPECT_THAT(world_.host.asked, ElementsAre(Pair(What::stop, kChat)));
}

TEST_F(GatewayTest, ATokenThatOthersCouldReadKeepsTheDoorsShut) {
  const std::string folder = world_.folder + "/other";
  fs::create_directory(folder);
  ASSERT_TRUE(load_token(folder));
  fs::permissions(token_file(folder), fs::perms(0644));
  FakeHost second(test_config(folder));
  const auto gateway =
      run_on(world_.loop, Gateway::start(world_.loop.executor(), second, GatewayOptions{}));
  ASSERT_FALSE(gateway);
  EXPECT_EQ(gateway.error().code, ErrorCode::bad_config);
}

TEST_F(GatewayTest, AnUnknownServerIsAnsweredWithTheKnownOnes) {
  const http::Response reply = world_.post(world_.control(), "/api/v1/servers/vid/start", "");
  EXPECT_EQ(reply.status, 404);
  EXPECT_THAT(reply.body, AllOf(HasSubstr("vid"), HasSubstr("chat")));
}

TEST_F(GatewayTest, ExplainGivesTheNewestDecisionsNewestLast) {
  world_.host.add_record("decision", "first");
  world_.host.add_record("step", "not asked for");
  world_.host.add_record("decision", "second");
  EXPECT_EQ(world_.get(world_.main(), "/api/v1/explain?limit=1").body,
            R"({"records":[{"number":3,"text":"second"}],"waiting":[]})");
  EXPECT_EQ(
      world_.get(world_.main(), "/api/v1/explain").body,
      R"({"records":[{"number":1,"text":"first"},{"number":3,"text":"second"}],"waiting":[]})");
  EXPECT_EQ(world_.get(world_.main(), "/api/v1/explain?limit=x").status, 400);
}

TEST_F(GatewayTest, ExplainTellsWhoWaitsAndForHowLong) {
  world_.host.shown.waiting = {{.job = JobId{7},
                                .server = "chat",
                                .waited = 2s,
                                .eta = 12s,
                                .waits_for = "the turn of server \"image\""}};
  EXPECT_THAT(world_.get(world_.main(), "/api/v1/explain").body,
              HasSubstr(R"("waiting":[{"job":7,"server":"chat","place":1,"waited_ms":2000,)"
                        R"("eta_ms":12000,"guess":false,)"));
}

TEST_F(GatewayTest, WaitsTellWhatWasForetoldAndWhatHappened) {
  world_.host.past = {{JobId{3}, "chat", {10s, false}, 12s, "ran"},
                      {JobId{4}, "chat", {5s, true}, 4s, "left"},
                      {JobId{5}, "image", {20s, false}, 21s, "ran"},
                      {JobId{6}, "image", {20s, false}, 26s, "ran"}};
  EXPECT_EQ(world_.get(world_.main(), "/api/v1/waits?limit=2").body,
            R"({"waits":[{"job":5,"server":"image","eta_ms":20000,"guess":false,)"
            R"("waited_ms":21000,"how":"ran"},{"job":6,"server":"image","eta_ms":20000,)"
            R"("guess":false,"waited_ms":26000,"how":"ran"}],"median_error_ms":6000})");
  EXPECT_THAT(world_.get(world_.main(), "/api/v1/waits").body,
              HasSubstr(R"("median_error_ms":2000)"));
}

TEST_F(GatewayTest, ModelsAreListedAndShownById) {
  EXPECT_EQ(world_.get(world_.main(), "/api/v1/models").body, R"({"models":[],"problems":[]})");
  EXPECT_EQ(world_.get(world_.main(), "/api/v1/models/show?id=a%2Fb").body, R"({"id":"a/b"})");
  EXPECT_EQ(world_.get(world_.main(), "/api/v1/models/show?id=none").status, 404);
}

TEST_F(GatewayTest, LogsAreTheLastLines) {
  EXPECT_EQ(world_.get(world_.main(), "/api/v1/servers/chat/logs?lines=5").body,
            R"({"server":"chat","lines":["last 5"]})");
}

Task<void> read_events(World* world, std::string target, std::vector<std::string>* pieces) {
  http::Request request{.method = "GET", .target = std::move(target), .headers = {}, .body = ""};
  auto call =
      co_await http::Call::open(world->loop.executor(), world->control(), std::move(request), 5s);
  auto head = co_await (*call)->head();
  EXPECT_EQ(head->headers.get("Content-Type"), "text/event-stream");
  auto piece = co_await (*call)->read();
  pieces->push_back(**piece);
  world->host.add_record("progress", "third");
  piece = co_await (*call)->read();
  pieces->push_back(**piece);
}

TEST_F(GatewayTest, EventsGoOnAfterWhatTheClientHasSeen) {
  world_.host.add_record("decision", "first");
  world_.host.add_record("step", "second");
  std::vector<std::string> pieces;
  world_.loop.run_until_done(read_events(&world_, "/api/v1/events?after=1", &pieces));
  EXPECT_THAT(pieces,
              ElementsAre("id: 2\nevent: step\ndata: {\"number\":2,\"text\":\"second\"}\n\n",
                          "id: 3\nevent: progress\ndata: {\"number\":3,\"text\":\"third\"}\n\n"));
}

TEST_F(GatewayTest, EventsOfAnEarlierRunAreFollowedByAllOfThisOne) {
  world_.host.add_record("decision", "first");
  std::vector<std::string> pieces;
  world_.loop.run_until_done(read_events(&world_, "/api/v1/events?after=99", &pieces));
  EXPECT_THAT(pieces.at(0), HasSubstr("id: 1\n"));
}

TEST_F(GatewayTest, TheWishToShutDownIsAnsweredFirst) {
  EXPECT_EQ(world_.post(world_.main(), "/api/v1/shutdown", "").status, 401);
  EXPECT_FALSE(world_.asked_to_shut_down.is_set());
  EXPECT_EQ(world_.post(world_.control(), "/api/v1/shutdown", "").status, 202);
  world_.wait(world_.asked_to_shut_down);
}

/// Some turns of the loop later.
Task<void> settle_soon(World* world) {
  for (int turn = 0; turn < 50; ++turn)
    co_await delay(Duration{0});
  world->host.is_settled.set();
}

Task<void> end_gateway(World* world, Event* ended) {
  co_await world->gateway->stop();
  ended->set();
}

TEST_F(GatewayTest, WhatWasAskedBeforeTheDoorsCloseIsAnswered) {
  world_.host.shown.servers.resize(2);
  http::Request request{
      .method = "POST", .target = "/api/v1/servers/chat/start", .headers = {}, .body = ""};
  auto call = run_on(world_.loop, http::Call::open(world_.loop.executor(), world_.control(),
                                                   std::move(request), 5s));
  world_.wait(world_.host.asked_something);
  Event ended;
  spawn(world_.loop.executor(), end_gateway(&world_, &ended));
  spawn(world_.loop.executor(), settle_soon(&world_));
  const auto head = run_on(world_.loop, (*call)->head());
  world_.wait(ended);
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->status, 200);
}

Task<void> park(World* world, ParkedDoors* parked, Event* done) {
  *parked = co_await world->gateway->park();
  done->set();
}

TEST_F(GatewayTest, WhoHasAskedIsAnsweredBeforeItsDoorsAreParked) {
  world_.host.grants_at_once = false;
  const auto chat = world_.open_chat();
  const auto events =
      run_on(world_.loop,
             http::Call::open(
                 world_.loop.executor(), world_.main(),
                 {.method = "GET", .target = "/api/v1/events", .headers = {}, .body = ""}, 5s));
  ASSERT_TRUE(run_on(world_.loop, (*events)->head()));
  ParkedDoors parked;
  Event done;
  spawn(world_.loop.executor(), park(&world_, &parked, &done));
  post(world_.loop.executor(), [this] { world_.host.jobs.at(0)->decided.set(); });

  const auto head = run_on(world_.loop, chat->head());
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->status, 200);
  while (run_on(world_.loop, chat->read()).value_or(std::nullopt)) {
  }
  chat->close();
  world_.wait(done);
  EXPECT_EQ(parked.size(), 3u) << "the main address and two front ports";
}

TEST_F(GatewayTest, TheControlSocketIsForItsOwnerOnly) {
  EXPECT_EQ(fs::status(world_.folder).permissions(), fs::perms::owner_all);
  EXPECT_EQ(fs::status(world_.folder + "/control.sock").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(GatewayTest, ATakenPortIsNamedWithItsKey) {
  config::Config config = test_config(world_.folder + "/other");
  config.servers[0].front_port = world_.gateway->port();
  FakeHost second(config);
  const auto gateway =
      run_on(world_.loop, Gateway::start(world_.loop.executor(), second, GatewayOptions{}));
  ASSERT_FALSE(gateway);
  EXPECT_EQ(gateway.error().code, ErrorCode::port_taken);
  EXPECT_THAT(gateway.error().message, AllOf(HasSubstr(std::to_string(world_.gateway->port())),
                                             HasSubstr("server.chat.port")));
}

}  // namespace
}  // namespace berth::gateway
