// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/jobs.h"

#include <gmock/gmock.h>

#include "berth/gateway/test_world.h"

namespace berth::gateway {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

class JobsTest : public testing::Test {
 protected:
  JobScript& job(std::size_t number = 1) { return *world_.host.jobs.at(number - 1); }

  World world_;
};

/// A stream that says "one", and nothing more until it is told to.
Task<void> pausing_stream(World* world, http::Exchange* exchange) {
  http::ResponseHead head;
  head.headers.set("Content-Type", "text/event-stream");
  Status sent = co_await exchange->begin(std::move(head));
  sent = co_await exchange->write("data: one\n\n");
  std::vector<Event*> events{&world->go_on, &exchange->client_gone()};
  const std::optional<std::size_t> which = co_await wait_any(std::move(events));
  if (which == 1) {
    world->upstream_client_gone.set();
    co_return;
  }
  sent = co_await exchange->write("data: two\n\n");
  sent = co_await exchange->finish();
}

Task<void> die(http::Exchange* exchange) {
  exchange->abort();
  co_return;
}

Task<void> succeed(http::Exchange* exchange) {
  http::Response reply;
  const Status sent = co_await exchange->respond(std::move(reply));
  static_cast<void>(sent);
}

/// A stream that says "one" and breaks off.
Task<void> torso(World* world, http::Exchange* exchange) {
  http::ResponseHead head;
  Status sent = co_await exchange->begin(std::move(head));
  sent = co_await exchange->write("data: one\n\n");
  co_await world->go_on.wait();
  exchange->abort();
}

Task<std::string> first_piece(http::Call* call) {
  const auto head = co_await call->head();
  if (!head) co_return head.error().message;
  const auto piece = co_await call->read();
  co_return piece&&* piece ? **piece : "no piece";
}

Task<std::string> rest(http::Call* call) {
  std::string text;
  while (true) {
    const auto piece = co_await call->read();
    if (!piece) co_return text + " (broken)";
    if (!*piece) co_return text;
    text += **piece;
  }
}

TEST_F(JobsTest, AChatIsRelayedWithTheNumberOfItsJob) {
  const http::Response reply = world_.post(world_.main(), "/v1/chat/completions", R"({"a":1})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, R"({"ok":true})");
  EXPECT_EQ(reply.headers.get("X-Berth-Job"), "1");
  EXPECT_FALSE(reply.headers.contains("X-Berth-Waited-Ms"));
  EXPECT_FALSE(reply.headers.contains("Access-Control-Allow-Origin"));
  EXPECT_EQ(world_.seen.at(0).body, R"({"a":1})");
  world_.wait(job().over);
  EXPECT_EQ(job().how, core::JobEnd::done);
  EXPECT_EQ(job().reply_complete, true);
  EXPECT_EQ(job().pieces, R"({"ok":true})");
}

Task<void> redirect(http::Exchange* exchange) {
  http::Response reply{.status = 302, .headers = {}, .body = ""};
  reply.headers.set("Location", "http://169.254.169.254/latest/meta-data/");
  const Status sent = co_await exchange->respond(std::move(reply));
  static_cast<void>(sent);
}

TEST_F(JobsTest, ARedirectOfAServerIsPassedOnAndNotFollowed) {
  world_.behave = redirect;
  const http::Response reply = world_.post(world_.main(), "/v1/chat/completions", "{}");
  EXPECT_EQ(reply.status, 302);
  EXPECT_EQ(reply.headers.get("Location"), "http://169.254.169.254/latest/meta-data/");
  EXPECT_EQ(world_.seen.size(), 1u);
}

TEST_F(JobsTest, WhatAServerMightReadOtherwiseIsNotGivenToIt) {
  for (const http::Endpoint& where : {world_.main(), world_.front(kChat)}) {
    for (const std::string body :
         {R"({"model":"chat","model":"other"})", "[]", "{", R"({"temperature":1e400})"}) {
      const http::Response reply = world_.post(where, "/v1/messages", body);
      EXPECT_EQ(reply.status, 400) << body;
      EXPECT_THAT(reply.body, StartsWith(R"({"type":"error","error":{"code":"bad_request")"));
    }
  }
  EXPECT_THAT(world_.seen, IsEmpty());
  EXPECT_THAT(world_.host.jobs, IsEmpty());
}

TEST_F(JobsTest, APictureThatNobodyDrawsIsRefusedBeforeItIsAJob) {
  const http::Response reply =
      world_.post(world_.main(), "/v1/images/generations", R"({"size":"1000000x1000000"})");
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, HasSubstr("it takes WIDTHxHEIGHT, each from 1 to 4096"));
  EXPECT_THAT(world_.host.jobs, IsEmpty());
}

TEST_F(JobsTest, AReplyThatHadToWaitTellsHowLongAndWhatWasForetold) {
  world_.host.foretold = host::Foretold{2s, false};
  const http::Response reply = world_.post(world_.main(), "/v1/chat/completions", R"({"a":1})");
  EXPECT_EQ(reply.headers.get("X-Berth-Eta-Ms"), "2000");
  EXPECT_EQ(reply.headers.get("X-Berth-Waited-Ms"), "1500");
}

TEST_F(JobsTest, CredentialsAndOriginsStayAwayFromServers) {
  http::Request request{.method = "POST", .target = "/v1/messages", .headers = {}, .body = "{}"};
  for (const char* name : {"Authorization", "Cookie", "Accept-Encoding", "X-Api-Key"}) {
    request.headers.set(name, "secret");
  }
  request.headers.set("Origin", "http://" + to_text(world_.main()));
  request.headers.set("X-Berth-Client", "a test");
  ASSERT_EQ(world_.ask(world_.main(), request).status, 200);
  for (const char* name : {"Authorization", "Cookie", "Accept-Encoding", "X-Api-Key", "Origin"}) {
    EXPECT_FALSE(world_.seen.at(0).headers.contains(name)) << name;
  }
  EXPECT_EQ(job().request.client, "a test");
}

TEST_F(JobsTest, TheNameOfAClientIsTextWhateverItSends) {
  http::Request request{.method = "POST", .target = "/v1/messages", .headers = {}, .body = "{}"};
  std::string name = "a\xff\u009b";
  for (int i = 0; i < 60; ++i)
    name += "\u00e9";
  request.headers.set("X-Berth-Client", name);
  ASSERT_EQ(world_.ask(world_.main(), request).status, 200);
  std::string shown = "a??";
  for (int i = 0; i < 38; ++i)
    shown += "\u00e9";
  EXPECT_EQ(job().request.client, shown) << "79 bytes: the next character has two";
}

TEST_F(JobsTest, AToolCallNamesTheJobThatWaitsForIt) {
  http::Request request{.method = "POST", .target = "/v1/messages", .headers = {}, .body = "{}"};
  request.headers.set("X-Berth-Parent", "41");
  ASSERT_EQ(world_.ask(world_.main(), request).status, 200);
  EXPECT_EQ(job().request.parent, JobId{41});
  EXPECT_FALSE(world_.seen.at(0).headers.contains("X-Berth-Parent"));
}

TEST_F(JobsTest, AParentThatIsNoNumberIsAnErrorThatNamesTheHeader) {
  http::Request request{.method = "POST", .target = "/v1/messages", .headers = {}, .body = "{}"};
  request.headers.set("X-Berth-Parent", "chat-41");
  const http::Response reply = world_.ask(world_.main(), request);
  EXPECT_EQ(reply.status, 400);
  EXPECT_THAT(reply.body, AllOf(HasSubstr("X-Berth-Parent"), HasSubstr("chat-41")));
  EXPECT_THAT(world_.host.jobs, IsEmpty());
}

TEST_F(JobsTest, APictureIsAJobOfTheImageServer) {
  ASSERT_EQ(world_.post(world_.main(), "/v1/images/generations", R"({"prompt":"x"})").status, 200);
  EXPECT_EQ(job().request.server, kImage);
  EXPECT_EQ(job().request.job_class, core::ServerClass::image);
}

TEST_F(JobsTest, AReplyNamesTheServerThatAnswered) {
  world_.host.fallback = kImage;  // any other will do
  world_.host.fake_adapter(kImage).where = world_.upstream_at;
  const http::Response reply = world_.post(world_.main(), "/v1/chat/completions", "{}");
  EXPECT_EQ(job().request.server, kChat);
  EXPECT_EQ(reply.headers.get("X-Berth-Server"), "image");
}

TEST_F(JobsTest, AnUnknownModelIsNoJob) {
  const http::Response reply =
      world_.post(world_.main(), "/v1/chat/completions", R"({"model":"gpt-4"})");
  EXPECT_EQ(reply.status, 404);
  EXPECT_THAT(reply.body, AllOf(HasSubstr("gpt-4"), HasSubstr("chat")));
  EXPECT_THAT(world_.host.jobs, IsEmpty());
}

TEST_F(JobsTest, OnAFrontPortTheModelIsIgnored) {
  const http::Response reply =
      world_.post(world_.front(kChat), "/v1/chat/completions", R"({"model":"gpt-4"})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(job().request.server, kChat);
}

TEST_F(JobsTest, AHeldRequestIsAnsweredAfterItsGrant) {
  world_.host.grants_at_once = false;
  const auto call = world_.open_chat();
  world_.wait(world_.host.submitted);
  EXPECT_THAT(world_.seen, IsEmpty());
  job().decided.set();
  EXPECT_EQ(run_on(world_.loop, first_piece(call.get())), R"({"ok":true})");
}

TEST_F(JobsTest, AClientThatLeavesWhileItIsHeldWithdrawsItsJob) {
  world_.host.grants_at_once = false;
  const auto call = world_.open_chat();
  world_.wait(world_.host.submitted);
  call->close();
  world_.wait(job().over);
  EXPECT_TRUE(job().withdrawn);
  EXPECT_THAT(world_.seen, IsEmpty());
}

TEST_F(JobsTest, ARefusedJobIsAnsweredWithTheTimeForANewTry) {
  world_.host.refusal = Error{ErrorCode::stopped_by_user, "\"chat\" was stopped"};
  world_.host.retry_after = 7;
  const http::Response reply = world_.post(world_.main(), "/v1/messages", "{}");
  EXPECT_EQ(reply.status, 503);
  EXPECT_EQ(reply.headers.get("Retry-After"), "7");
  EXPECT_EQ(reply.headers.get("X-Berth-Job"), "1");
  EXPECT_THAT(reply.body, AllOf(StartsWith(R"({"type":"error",)"), HasSubstr("stopped_by_user")));
}

TEST_F(JobsTest, AClientThatLeavesAReplyEndsItsJobWhenTheServerHasStopped) {
  world_.behave = [this](http::Exchange* exchange) { return pausing_stream(&world_, exchange); };
  const auto call = world_.open_chat();
  EXPECT_EQ(run_on(world_.loop, first_piece(call.get())), "data: one\n\n");
  call->close();
  world_.wait(world_.upstream_client_gone);
  EXPECT_TRUE(job().withdrawn);
  EXPECT_FALSE(job().how);
  job().released.set();
  world_.wait(job().over);
  EXPECT_EQ(job().how, core::JobEnd::cancelled);
  EXPECT_EQ(job().reply_complete, false);
}

TEST_F(JobsTest, AJobEndsBeforeItsClientHasReadTheReply) {
  const auto call = world_.open_chat();
  world_.wait(world_.host.submitted);
  world_.wait(job().over);
  EXPECT_EQ(job().how, core::JobEnd::done);
}

TEST_F(JobsTest, AStreamThatIsCutEndsWithTheErrorEventOfItsProtocol) {
  world_.behave = [this](http::Exchange* exchange) { return pausing_stream(&world_, exchange); };
  const auto call = world_.open_chat();
  EXPECT_EQ(run_on(world_.loop, first_piece(call.get())), "data: one\n\n");
  job().released.set();
  job().why_cut.message = "its own reason, known when it is cut";
  job().cut.set();
  EXPECT_THAT(
      run_on(world_.loop, rest(call.get())),
      AllOf(StartsWith(R"(data: {"error":{)"), HasSubstr("its own reason"), EndsWith("\n\n")));
  world_.wait(job().over);
  EXPECT_EQ(job().how, core::JobEnd::cut);
}

TEST_F(JobsTest, AnAnthropicStreamThatIsCutHasItsOwnErrorEvent) {
  world_.behave = [this](http::Exchange* exchange) { return pausing_stream(&world_, exchange); };
  const auto call = world_.open_chat("/v1/messages");
  run_on(world_.loop, first_piece(call.get()));
  job().released.set();
  job().cut.set();
  EXPECT_THAT(run_on(world_.loop, rest(call.get())),
              StartsWith("event: error\ndata: {\"type\":\"error\",\"error\":{"));
}

TEST_F(JobsTest, AServerThatDiesBeforeItsReplyIsAnsweredFor) {
  world_.behave = [](http::Exchange* exchange) { return die(exchange); };
  const http::Response reply = world_.post(world_.main(), "/v1/chat/completions", "{}");
  EXPECT_EQ(reply.status, 502);
  EXPECT_THAT(reply.body, AllOf(HasSubstr("server_gone"), HasSubstr("berth logs chat")));
  world_.wait(job().over);
  EXPECT_EQ(job().how, core::JobEnd::failed);
}

TEST_F(JobsTest, ARequestWhoseServerDiedIsSentOnceMoreAsANewJob) {
  world_.host.server_dies = true;
  world_.behave = [this](http::Exchange* exchange) {
    return world_.seen.size() == 1 ? die(exchange) : succeed(exchange);
  };
  const http::Response reply = world_.post(world_.main(), "/v1/chat/completions", R"({"a":1})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers.get("X-Berth-Job"), "2");
  ASSERT_EQ(world_.host.jobs.size(), 2u);
  EXPECT_EQ(job(1).how, core::JobEnd::failed);
  EXPECT_TRUE(job(2).earlier_were_over);
  ASSERT_EQ(world_.seen.size(), 2u);
  EXPECT_EQ(world_.seen[1].body, R"({"a":1})");
  EXPECT_EQ(world_.seen[1].target, world_.seen[0].target);
}

TEST_F(JobsTest, ARequestThatKillsItsServerTwiceIsAnsweredFor) {
  world_.host.server_dies = true;
  world_.behave = [](http::Exchange* exchange) { return die(exchange); };
  const http::Response reply = world_.post(world_.main(), "/v1/chat/completions", "{}");
  EXPECT_EQ(reply.status, 502);
  EXPECT_EQ(world_.host.jobs.size(), 2u);
}

TEST_F(JobsTest, AReplyThatHasBegunIsNeverStartedAgain) {
  world_.host.server_dies = true;
  world_.behave = [this](http::Exchange* exchange) { return torso(&world_, exchange); };
  const auto call = world_.open_chat();
  EXPECT_EQ(run_on(world_.loop, first_piece(call.get())), "data: one\n\n");
  world_.go_on.set();
  EXPECT_THAT(run_on(world_.loop, rest(call.get())), EndsWith("(broken)"));
  EXPECT_EQ(world_.host.jobs.size(), 1u);
}

TEST_F(JobsTest, ARequestThatReachedNoServerIsTriedAFewTimesMore) {
  world_.host.server_dies = true;
  world_.host.fake_adapter(kChat).where = http::Endpoint::unix_socket(world_.folder + "/nobody");
  EXPECT_EQ(world_.post(world_.main(), "/v1/chat/completions", "{}").status, 502);
  EXPECT_EQ(world_.host.jobs.size(), 4u);
}

TEST_F(JobsTest, AServerThatNobodyHearsOfIsAnsweredFor) {
  world_.host.fake_adapter(kChat).where = http::Endpoint::unix_socket(world_.folder + "/nobody");
  const http::Response reply = world_.post(world_.main(), "/v1/chat/completions", "{}");
  EXPECT_EQ(reply.status, 502);
  EXPECT_THAT(reply.body, HasSubstr("takes no connection"));
  EXPECT_THAT(reply.body, Not(HasSubstr("/nobody"))) << "where it listens is Berth's matter";
  EXPECT_EQ(job().how, core::JobEnd::failed);
}

}  // namespace
}  // namespace berth::gateway
