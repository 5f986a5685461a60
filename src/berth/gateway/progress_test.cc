// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/progress.h"

#include <gmock/gmock.h>

#include "berth/gateway/errors.h"
#include "berth/gateway/test_world.h"

namespace berth::gateway {
namespace {

using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

Task<std::string> all_of(http::Call* call) {
  std::string text;
  while (true) {
    const auto piece = co_await call->read();
    if (!piece) co_return text + " (broken)";
    if (!*piece) co_return text;
    text += **piece;
  }
}

Task<void> one_event(http::Exchange* exchange) {
  http::ResponseHead head;
  head.headers.set("Content-Type", "text/event-stream");
  Status sent = co_await exchange->begin(std::move(head));
  sent = co_await exchange->write("data: one\n\n");
  sent = co_await exchange->finish();
}

/// Says nothing until the test lets it.
Task<void> one_late_event(World* world, http::Exchange* exchange) {
  co_await world->go_on.wait();
  co_await one_event(exchange);
}

/// Half of an event, and the rest when the test lets it.
Task<void> torn_event(World* world, http::Exchange* exchange) {
  http::ResponseHead head;
  head.headers.set("Content-Type", "text/event-stream");
  Status sent = co_await exchange->begin(std::move(head));
  sent = co_await exchange->write("data: o");
  co_await world->go_on.wait();
  sent = co_await exchange->write("ne\n\n");
  sent = co_await exchange->finish();
}

Task<void> read_all(http::Call* call, std::string* text, Event* ended) {
  *text = co_await all_of(call);
  ended->set();
}

Task<void> die(http::Exchange* exchange) {
  exchange->abort();
  co_return;
}

Task<void> refuse(http::Exchange* exchange) {
  http::Response reply{400, {}, "{\"error\":\n{\"message\":\"too long\"}}"};
  const Status sent = co_await exchange->respond(std::move(reply));
  static_cast<void>(sent);
}

class ProgressTest : public testing::Test {
 protected:
  ProgressTest() { world_.host.grants_at_once = false; }

  JobScript& job() { return *world_.host.jobs.at(0); }

  std::unique_ptr<http::Call> ask(std::string body, std::string target = "/v1/chat/completions",
                                  std::string every = "1") {
    http::Request request{
        .method = "POST", .target = std::move(target), .headers = {}, .body = std::move(body)};
    request.headers.set("X-Berth-Progress", std::move(every));
    auto call = run_on(world_.loop, http::Call::open(world_.loop.executor(), world_.main(),
                                                     std::move(request), 5s));
    return std::move(*call);
  }

  /// A stream that is held and whose client has its first comment.
  std::unique_ptr<http::Call> shown(std::string target = "/v1/chat/completions") {
    auto call = ask(R"({"stream":true})", std::move(target));
    auto head = run_on(world_.loop, call->head());
    EXPECT_EQ(head->status, 200);
    EXPECT_EQ(head->headers.get("Content-Type"), "text/event-stream");
    EXPECT_EQ(head->headers.get("X-Berth-Job"), "1");
    auto piece = run_on(world_.loop, call->read());
    EXPECT_EQ(**piece, ": waiting for \"chat\"\n\n");
    return call;
  }

  World world_;
};

TEST_F(ProgressTest, AHeldStreamShowsItsClientThatItWaits) {
  world_.behave = [](http::Exchange* exchange) { return one_event(exchange); };
  const auto call = shown();
  EXPECT_TRUE(job().request.kept_alive);
  job().decided.set();
  EXPECT_EQ(run_on(world_.loop, all_of(call.get())), "data: one\n\n");
  EXPECT_FALSE(world_.seen.at(0).headers.contains("X-Berth-Progress"));
}

TEST_F(ProgressTest, GoesOnUntilTheFirstByteOfTheReply) {
  world_.behave = [this](http::Exchange* exchange) { return one_late_event(&world_, exchange); };
  const auto call = shown();
  job().decided.set();
  const auto piece = run_on(world_.loop, call->read());
  EXPECT_EQ(**piece, ": at work: \"chat\"\n\n");
  world_.go_on.set();
  EXPECT_THAT(run_on(world_.loop, all_of(call.get())), EndsWith("data: one\n\n"));
}

TEST_F(ProgressTest, NeverComesBetweenThePiecesOfAReply) {
  world_.behave = [this](http::Exchange* exchange) { return torn_event(&world_, exchange); };
  const auto call = shown();
  job().decided.set();
  std::string text;
  Event ended;
  spawn(world_.loop.executor(), read_all(call.get(), &text, &ended));
  EXPECT_FALSE(run_on(world_.loop, ended.wait_for(1500ms))) << "a sign would be due after 1 s";
  world_.go_on.set();
  world_.wait(ended);
  EXPECT_EQ(text, "data: one\n\n");
}

TEST_F(ProgressTest, ARefusalComesAsTheErrorEventOfTheProtocol) {
  world_.host.refusal = Error{ErrorCode::held_too_long, "it waited for max_hold"};
  const auto call = shown("/v1/messages");
  job().decided.set();
  EXPECT_THAT(run_on(world_.loop, all_of(call.get())),
              AllOf(StartsWith("event: error\ndata: {\"type\":\"error\""),
                    HasSubstr("held_too_long"), EndsWith("\n\n")));
}

TEST_F(ProgressTest, ARefusalWithinTheFirstIntervalKeepsItsStatus) {
  world_.host.refusal = Error{ErrorCode::displaced, "it gave its place away"};
  world_.host.grants_at_once = true;
  const auto call = ask(R"({"stream":true})");
  EXPECT_EQ(run_on(world_.loop, call->head())->status, 503);
}

TEST_F(ProgressTest, AServerThatDiesBeforeItsReplyEndsTheStreamWithAnError) {
  world_.behave = [](http::Exchange* exchange) { return die(exchange); };
  const auto call = shown();
  job().decided.set();
  EXPECT_THAT(run_on(world_.loop, all_of(call.get())),
              AllOf(StartsWith("data: {\"error\":"), HasSubstr("server_gone")));
}

TEST_F(ProgressTest, AnErrorOfTheServerIsTheLastEventOfTheStream) {
  world_.behave = [](http::Exchange* exchange) { return refuse(exchange); };
  const auto call = shown();
  job().decided.set();
  EXPECT_EQ(run_on(world_.loop, all_of(call.get())),
            "data: {\"error\":{\"message\":\"too long\"}}\n\n");
}

TEST_F(ProgressTest, AClientThatLeavesMeanwhileWithdrawsItsJob) {
  const auto call = shown();
  call->close();
  world_.wait(job().over);
  EXPECT_TRUE(job().withdrawn);
}

TEST_F(ProgressTest, AClientThatLeavesIsSeenBeforeTheNextSign) {
  const auto call = ask(R"({"stream":true})", "/v1/chat/completions", "60");
  world_.wait(world_.host.submitted);
  call->close();
  EXPECT_TRUE(run_on(world_.loop, job().over.wait_for(20s)));
  EXPECT_TRUE(job().withdrawn);
}

TEST_F(ProgressTest, IsNotForRequestsThatDoNotStream) {
  const auto call = ask("{}");
  world_.wait(world_.host.submitted);
  EXPECT_FALSE(job().request.kept_alive);
  job().decided.set();
  EXPECT_EQ(run_on(world_.loop, call->head())->status, 200);
}

TEST_F(ProgressTest, OfAnythingButSecondsIsAnErrorThatNamesTheHeader) {
  for (const char* wrong : {"0", "61", "soon", "1s", "-1", ""}) {
    http::Request request{.method = "POST",
                          .target = "/v1/chat/completions",
                          .headers = {},
                          .body = R"({"stream":true})"};
    request.headers.set("X-Berth-Progress", wrong);
    const http::Response reply = world_.ask(world_.main(), request);
    EXPECT_EQ(reply.status, 400) << wrong;
    EXPECT_THAT(reply.body, HasSubstr("X-Berth-Progress"));
  }
  EXPECT_THAT(world_.host.jobs, IsEmpty());
}

TEST(LateErrorEvent, QuotesABodyThatIsNoJson) {
  EXPECT_THAT(late_error_event(ErrorForm::openai, "<h1>Oops</h1>"),
              AllOf(StartsWith("data: {\"error\":"), HasSubstr("<h1>Oops</h1>")));
}

TEST_F(ProgressTest, EachSignOfLifeTellsForHowLongAndForWhat) {
  world_.host.foretold = host::Foretold{12s, false};
  world_.host.shown.waiting = {{.job = JobId{1},
                                .server = "chat",
                                .eta = 9s,
                                .is_guess = true,
                                .waits_for = "the turn of server \"image\""}};
  auto call = ask(R"({"stream":true})");
  const auto head = run_on(world_.loop, call->head());
  EXPECT_EQ(head->headers.get("X-Berth-Eta-Ms"), "12000");
  EXPECT_FALSE(head->headers.contains("X-Berth-Waited-Ms")) << "it waits on";
  const auto piece = run_on(world_.loop, call->read());
  EXPECT_EQ(**piece,
            ": waiting for \"chat\", about 9.0 s more (a guess): the turn of server \"image\"\n\n");
  world_.host.shown.waiting.clear();
  job().refusal = Error{ErrorCode::shutting_down, "end"};
  job().decided.set();
  run_on(world_.loop, all_of(call.get()));
}

}  // namespace
}  // namespace berth::gateway
