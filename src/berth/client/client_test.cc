// SPDX-License-Identifier: Apache-2.0
#include "berth/client/client.h"

#include <filesystem>

#include <gmock/gmock.h>
#include <stdlib.h>

#include "berth/http/server.h"

namespace berth::client {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(SseReader, EventsAreTheSameHoweverTheBytesAreCut) {
  const std::string text =
      ": comment\n\nid: 7\nevent: step\ndata: {\"a\":1}\n\ndata: two\r\ndata:lines\r\n\r\n";
  const SseEvent first{.id = "7", .type = "step", .data = R"({"a":1})"};
  const SseEvent second{.id = "7", .type = "message", .data = "two\nlines"};
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    SseReader reader;
    std::vector<SseEvent> events = reader.feed(text.substr(0, cut));
    for (SseEvent& event : reader.feed(text.substr(cut)))
      events.push_back(std::move(event));
    EXPECT_THAT(events, ElementsAre(first, second)) << cut;
  }
}

TEST(Replies, AnErrorIsReadFromItsEnvelope) {
  const Error error =
      read_error(404, R"({"error":{"code":"not_found","message":"no server","type":"x"}})");
  EXPECT_EQ(error, (Error{ErrorCode::not_found, "no server"}));
  EXPECT_EQ(read_error(502, "<html>").code, ErrorCode::upstream);
}

TEST(Replies, AStatusIsReadAndWhatIsUnknownOrMissingDoesNoHarm) {
  const auto status = read_status(
      R"({"pid":7,"new":{},"servers":[{"name":"chat","displaced":true,"displaced_for_ms":12000,
          "used_bytes":null,"footprint_bytes":5}],"pools":[{"name":"ram","limit_bytes":6}]})");
  ASSERT_TRUE(status);
  EXPECT_EQ(status->pid, 7);
  const ServerInfo& chat = status->servers.at(0);
  EXPECT_EQ(chat.displaced_for, Duration(12s));
  EXPECT_FALSE(chat.used);
  EXPECT_EQ(chat.footprint, Bytes{5});
  EXPECT_EQ(status->pools.at(0).limit, Bytes{6});
  EXPECT_FALSE(read_status("[]"));
}

TEST(Replies, AServersConfigurationIsReadWithWhatItDoesNotSay) {
  const auto status = read_status(
      R"({"servers":[{"name":"chat","comes_back":false,"config":{"model":"/m.gguf","port":8080,
          "threads":null,"gpu_layers":-1,"context_size":4096,"flash_attention":"on"}},{}]})");
  ASSERT_TRUE(status);
  const ServerInfo& chat = status->servers.at(0);
  EXPECT_FALSE(chat.comes_back);
  EXPECT_EQ(chat.config.model, "/m.gguf");
  EXPECT_EQ(chat.config.port, 8080);
  EXPECT_EQ(chat.config.threads, std::nullopt);
  EXPECT_EQ(chat.config.gpu_layers, -1);
  EXPECT_EQ(chat.config.context_size, 4096);
  EXPECT_EQ(chat.config.flash_attention, "on");
  EXPECT_TRUE(status->servers.at(1).comes_back);
}

TEST(Replies, ASavedStateIsReadWithItsTime) {
  const auto saved = read_saved_state(
      R"({"saved_state":{"config":{"model":"/m.gguf","port":8080,"argv":["llama-server","-m"],
          "threads":2},"was_running":true,"saved_at":"2026-11-28T11:17:30.123Z",
          "displaced_by":"image","after":"on_request"}})");
  ASSERT_TRUE(saved);
  ASSERT_TRUE(*saved);
  EXPECT_EQ((*saved)->saved_at.unix_ms, 1'795'864'650'123);
  EXPECT_EQ((*saved)->config.threads, 2);
  EXPECT_EQ((*saved)->argv.size(), 2U);
  EXPECT_EQ((*saved)->displaced_by, "image");
  EXPECT_FALSE((*saved)->comes_back);
  EXPECT_FALSE(read_saved_state(R"({"saved_state":null})").value());
  EXPECT_THAT(read_offload_victims(R"({"would_need_offload":true,"victims":["chat"]})").value(),
              testing::ElementsAre("chat"));
}

TEST(Replies, LeasesAreReadWithTheirHolders) {
  const auto leases = read_leases(
      R"({"leases":[{"job":7,"kind":"lease","state":"releasing","holder":"train.py",
          "bytes":{"ram":5},"since_ms":3000,"limit_ms":null,"seen_bytes":4,
          "processes":[{"pid":4711,"program":"python3","bytes":4}]},
         {"job":8,"kind":"hold","servers":["chat"],"exclusive":true,"limit_ms":1000}]})");
  ASSERT_TRUE(leases);
  const LeaseInfo& lease = leases->at(0);
  EXPECT_EQ(lease.job, 7);
  EXPECT_THAT(lease.bytes, ElementsAre(testing::Pair("ram", Bytes{5})));
  EXPECT_THAT(lease.processes, ElementsAre("python3 (pid 4711)"));
  EXPECT_EQ(lease.seen, Bytes{4});
  EXPECT_FALSE(lease.limit);
  EXPECT_THAT(leases->at(1).servers, ElementsAre("chat"));
  EXPECT_TRUE(leases->at(1).exclusive);
  EXPECT_EQ(leases->at(1).limit, Duration{1s});
}

TEST(Replies, ARecordIsReadAsItStandsInTheJournal) {
  const auto record = read_record(R"({"n":9,"wall_ms":2,"kind":"progress","name":"diffusion",)"
                                  R"("server":"image","step":3,"steps":8})");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->number, 9u);
  EXPECT_EQ(record->server, "image");
  EXPECT_EQ(record->steps, 8);
}

/// A daemon's control socket with scripted answers.
class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "berth-client-XXXXXX").string();
    folder_ = ::mkdtemp(pattern.data());
  }
  ~ClientTest() override {
    if (server_) {
      server_->close_all();
      loop_.run_until_done(server_->all_closed());
    }
    std::filesystem::remove_all(folder_);
  }
  ClientTest(const ClientTest&) = delete;
  ClientTest& operator=(const ClientTest&) = delete;

  void serve() {
    auto listening = http::Server::listen(
        loop_.executor(), http::Endpoint::unix_socket(folder_ + "/control.sock"),
        [this](http::Exchange& exchange) { return answer(this, &exchange); });
    server_ = std::move(*listening);
  }
  static Task<void> answer(ClientTest* test, http::Exchange* exchange) {
    test->asked_ = exchange->request().method + " " + exchange->request().target;
    if (test->behave_ != nullptr) {
      co_await test->behave_(exchange);
      co_return;
    }
    const Status sent = co_await exchange->respond(test->reply_);
    static_cast<void>(sent);
  }

  IoLoop loop_;
  std::string folder_;
  std::unique_ptr<http::Server> server_;
  http::Response reply_{.status = 200, .headers = {}, .body = R"({"address":"http://a:1"})"};
  std::string asked_;
  Task<void> (*behave_)(http::Exchange*) = nullptr;  ///< null: `reply_` is the answer
};

TEST_F(ClientTest, WithoutABerthTheNextStepIsSaid) {
  Client client(loop_.executor(), folder_);
  const auto status = run_on(loop_, client.status());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::not_running);
  EXPECT_THAT(status.error().message, AllOf(HasSubstr(folder_), HasSubstr("berth up")));
}

TEST_F(ClientTest, TheAddressIsThatOfTheStatus) {
  serve();
  Client client(loop_.executor(), folder_);
  EXPECT_EQ(run_on(loop_, client.main_address()), "http://a:1");
  EXPECT_EQ(asked_, "GET /api/v1/status");
}

TEST_F(ClientTest, ANameCannotLeaveItsPlaceInTheTarget) {
  serve();
  Client client(loop_.executor(), folder_);
  ASSERT_TRUE(run_on(loop_, client.stop("../a b")));
  EXPECT_EQ(asked_, "POST /api/v1/servers/..%2Fa%20b/stop");
}

TEST_F(ClientTest, WhatBerthRefusesIsAnErrorWithItsWords) {
  serve();
  reply_ = http::error_response({ErrorCode::not_found, "there is no server \"x\""});
  Client client(loop_.executor(), folder_);
  const auto started = run_on(loop_, client.start("x"));
  ASSERT_FALSE(started);
  EXPECT_EQ(started.error(), (Error{ErrorCode::not_found, "there is no server \"x\""}));
}

Task<void> wait_until_the_client_leaves(http::Exchange* exchange) {
  co_await exchange->client_gone().wait();
}

TEST_F(ClientTest, ABerthThatDoesNotAnswerIsNotWaitedForForEver) {
  behave_ = wait_until_the_client_leaves;
  serve();
  Client client(loop_.executor(), folder_, /*answer_limit=*/50ms);
  const auto status = run_on(loop_, client.status());
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::deadline);
  EXPECT_THAT(status.error().message, AllOf(HasSubstr(folder_), HasSubstr("alive.lock")));
}

TEST_F(ClientTest, ANameCannotLeaveItsPlaceInAQuestion) {
  serve();
  Client client(loop_.executor(), folder_);
  ASSERT_TRUE(run_on(loop_, client.forget_footprints("a b&c")));
  EXPECT_EQ(asked_, "POST /api/v1/footprints/forget?server=a%20b%26c");
}

Task<std::string> read_all_records(Client* client) {
  auto stream = co_await client->events(3);
  std::string text;
  while (true) {
    const auto record = co_await (*stream)->next();
    if (!record) co_return text + std::string(name(record.error().code));
    if (!*record) co_return text + "closed";
    text += std::to_string((*record)->number) + " ";
    if ((*record)->number == 5) (*stream)->close();
  }
}

TEST_F(ClientTest, EventsComeOneByOneUntilTheStreamIsClosed) {
  serve();
  reply_.body = "id: 4\ndata: {\"n\":4}\n\nid: 5\ndata: {\"n\":5}\n\n";
  Client client(loop_.executor(), folder_);
  EXPECT_EQ(run_on(loop_, read_all_records(&client)), "4 5 closed");
  EXPECT_EQ(asked_, "GET /api/v1/events?after=3");
}

/// Tells the lines of a lease's stream, one chunk each.
Task<void> grant_and_revoke(http::Exchange* exchange) {
  http::ResponseHead head;
  Status sent = co_await exchange->begin(std::move(head));
  sent = co_await exchange->write("{\"state\":\"waiting\",\"job\":7}\n");
  sent = co_await exchange->write(
      "{\"state\":\"granted\",\"job\":7,\"environment\":{\"BERTH_LEASE\":\"x\"}}\n");
  sent = co_await exchange->write(
      "{\"state\":\"revoked\",\"job\":7,\"error\":{\"code\":\"deadline\",\"message\":\"late\"}}\n");
  sent = co_await exchange->finish();
}

Task<std::string> read_lease(Client* client) {
  http::Request request;
  request.body = R"({"ram":1})";
  auto stream = co_await client->lease(std::move(request));
  if (!stream) co_return std::string(name(stream.error().code));
  std::string text;
  while (true) {
    const auto news = co_await (*stream)->next();
    if (!news) co_return text + std::string(name(news.error().code));
    text += news->state + " ";
    for (const auto& [variable, value] : news->environment)
      text += variable + "=" + value + " ";
    if (news->state == "revoked") text += news->error.message + " ";
  }
}

TEST_F(ClientTest, ALeaseIsToldFromItsGrantToItsEnd) {
  behave_ = grant_and_revoke;
  serve();
  Client client(loop_.executor(), folder_);
  EXPECT_EQ(run_on(loop_, read_lease(&client)),
            "waiting granted BERTH_LEASE=x revoked late server_gone");
  EXPECT_EQ(asked_, "POST /api/v1/leases");
}

TEST_F(ClientTest, ALeaseThatIsRefusedAtOnceIsAnError) {
  serve();
  reply_ = http::error_response({ErrorCode::does_not_fit, "never"});
  Client client(loop_.executor(), folder_);
  EXPECT_EQ(run_on(loop_, read_lease(&client)), "does_not_fit");
}

TEST_F(ClientTest, TheEndOfBerthIsTheEndOfItsEvents) {
  serve();
  reply_.body = "data: {\"n\":4}\n\n";
  Client client(loop_.executor(), folder_);
  EXPECT_EQ(run_on(loop_, read_all_records(&client)), "4 server_gone");
}

}  // namespace
}  // namespace berth::client
