// SPDX-License-Identifier: Apache-2.0
#include "berth/http/client.h"

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "berth/http/server.h"
#include "berth/http/stream.h"
#include "berth/http/test_support.h"

namespace berth::http {
namespace {

using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

/// What the stand-in for a server saw and sends.
struct Script {
  std::vector<std::string> parts;
  std::string request;
  /// Closes after the parts; else it waits for the client to close.
  bool closes = true;
  Event ended;
};

Task<void> play(Listener* listener, Script* script) {
  const auto peer = co_await Peer::accept(listener);
  script->request = co_await peer->read_until("\r\n\r\n");
  for (const std::string& part : script->parts) {
    co_await peer->send(part);
    co_await delay(0ms);
  }
  if (!script->closes) co_await peer->read_rest();
  script->ended.set();
}

/// Reads the whole reply: the pieces, then "." or the name of the error.
Task<std::vector<std::string>> read_pieces(Executor executor, Endpoint endpoint) {
  std::vector<std::string> pieces;
  Request request;
  auto call = co_await Call::open(executor, endpoint, std::move(request), 2s);
  if (!call) co_return pieces;
  const Result<ResponseHead> head = co_await (*call)->head();
  if (!head) {
    pieces.emplace_back(name(head.error().code));
    co_return pieces;
  }
  while (true) {
    const auto piece = co_await (*call)->read();
    if (!piece) pieces.emplace_back(name(piece.error().code));
    if (piece && !*piece) pieces.emplace_back(".");
    if (!piece || !*piece) co_return pieces;
    pieces.push_back(**piece);
  }
}

class ClientTest : public testing::Test {
 protected:
  ClientTest() {
    auto listening =
        Listener::listen(loop_.executor(), {.endpoint = Endpoint::tcp("127.0.0.1", 0)});
    listener_ = std::make_unique<Listener>(std::move(*listening));
  }
  Endpoint endpoint() const { return Endpoint::tcp("127.0.0.1", listener_->port()); }
  std::vector<std::string> pieces_of(std::vector<std::string> parts, bool closes = true) {
    Script script;
    script.parts = std::move(parts);
    script.closes = closes;
    spawn(loop_.executor(), play(listener_.get(), &script));
    auto pieces = run_on(loop_, read_pieces(loop_.executor(), endpoint()));
    run_on(loop_, script.ended.wait());
    return pieces;
  }

  IoLoop loop_;
  std::unique_ptr<Listener> listener_;
};

const std::string kChunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

TEST_F(ClientTest, GivesOnePieceForEachChunk) {
  EXPECT_THAT(
      pieces_of({kChunked + "1\r\na\r\n1\r\nb\r\n", "4\r\nab", "cd\r", "\n0\r\n\r\n"}, false),
      ElementsAre("a", "b", "abcd", "."));
}

TEST_F(ClientTest, TellsATruncatedReplyFromACleanEnd) {
  EXPECT_THAT(pieces_of({kChunked + "1\r\na\r\n"}), ElementsAre("a", "server_gone"));
  EXPECT_THAT(pieces_of({kChunked + "1\r\na\r\n3\r\nb"}), ElementsAre("a", "server_gone"));
  EXPECT_THAT(pieces_of({kChunked + "1\r\na\r\n0\r\n"}), ElementsAre("a", "server_gone"));
  EXPECT_THAT(pieces_of({"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nab"}),
              ElementsAre("ab", "server_gone"));
  EXPECT_THAT(pieces_of({"HTTP/1.1 200 OK\r\nCont"}), ElementsAre("server_gone"));
}

TEST_F(ClientTest, CallsBrokenFramingAnUpstreamError) {
  EXPECT_THAT(pieces_of({kChunked + "1\r\nab\r\n"}), ElementsAre("upstream"));
  EXPECT_THAT(pieces_of({"SSH-2.0-OpenSSH\r\n\r\n"}), ElementsAre("upstream"));
}

TEST_F(ClientTest, ReadsRepliesThatEndByLengthOrByClosing) {
  EXPECT_THAT(pieces_of({"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab"}, false),
              ElementsAre("ab", "."));
  EXPECT_THAT(pieces_of({"HTTP/1.0 200 OK\r\n\r\nab"}), ElementsAre("ab", "."));
  EXPECT_THAT(pieces_of({"HTTP/1.1 204 No Content\r\n\r\n"}, false), ElementsAre("."));
}

TEST_F(ClientTest, SkipsInterimReplies) {
  EXPECT_THAT(
      pieces_of({"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"}),
      ElementsAre("."));
}

Task<void> open_and_drop(Executor executor, Endpoint endpoint, Request request, Script* script) {
  const auto call = co_await Call::open(executor, endpoint, std::move(request), 2s);
  EXPECT_TRUE(call);
  const auto head = co_await (*call)->head();
  EXPECT_TRUE(head);
  (*call)->close();
  co_await script->ended.wait();
}

TEST_F(ClientTest, SendsItsOwnFramingAndConnectionHeaders) {
  Script script;
  script.parts = {"HTTP/1.1 200 OK\r\n\r\n"};
  Request request{.method = "POST", .target = "/a", .headers = {}, .body = "hi"};
  request.headers.add("Connection", "keep-alive, X-Hop");
  request.headers.add("X-Hop", "1");
  request.headers.add("Expect", "100-continue");
  request.headers.add("Transfer-Encoding", "chunked");
  request.headers.add("X-Kept", "2");
  spawn(loop_.executor(), play(listener_.get(), &script));
  run_on(loop_, open_and_drop(loop_.executor(), endpoint(), request, &script));
  EXPECT_EQ(script.request, "POST /a HTTP/1.1\r\nX-Kept: 2\r\nHost: " + to_text(endpoint()) +
                                "\r\nContent-Length: 2\r\nConnection: close\r\n\r\n");
}

Task<void> close_soon(Call* call) {
  call->close();
  call->close();
  co_return;
}

Task<std::string> close_while_reading(Executor executor, Endpoint endpoint) {
  Request request;
  const auto call = co_await Call::open(executor, endpoint, std::move(request), 2s);
  const auto head = co_await (*call)->head();
  EXPECT_TRUE(head);
  spawn(executor, close_soon(call->get()));
  const auto piece = co_await (*call)->read();
  EXPECT_FALSE(piece);
  co_return std::string(name(piece.error().code));
}

TEST_F(ClientTest, EndsAReadWhenTheCallIsClosed) {
  Script script;
  script.parts = {kChunked};
  script.closes = false;
  spawn(loop_.executor(), play(listener_.get(), &script));
  EXPECT_EQ(run_on(loop_, close_while_reading(loop_.executor(), endpoint())), "cancelled");
  run_on(loop_, script.ended.wait());
}

TEST_F(ClientTest, SaysThatNobodyListens) {
  const Endpoint gone = endpoint();
  listener_->close();
  const auto reply = run_on(loop_, fetch(loop_.executor(), gone, {}, 2s));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::server_gone);
  EXPECT_THAT(reply.error().message, HasSubstr(to_text(gone)));
}

TEST_F(ClientTest, GivesUpAtTheDeadline) {
  const auto reply = run_on(loop_, fetch(loop_.executor(), endpoint(), {}, 5ms));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::deadline);
}

Task<void> answer_length(Exchange& exchange) {
  Response response;
  response.body = std::to_string(exchange.request().body.size());
  const Status sent = co_await exchange.respond(std::move(response));
  EXPECT_TRUE(sent);
}

TEST_F(ClientTest, FetchesOverAUnixSocketWithALargeBody) {
  const TemporaryFolder folder;
  const Endpoint where = Endpoint::unix_socket(folder.file("s"));
  const auto server = Server::listen(loop_.executor(), where, answer_length);
  ASSERT_TRUE(server);
  Request request{
      .method = "POST", .target = "/", .headers = {}, .body = std::string(3'000'000, 'x')};
  const auto reply = run_on(loop_, fetch(loop_.executor(), where, request, 5s));
  ASSERT_TRUE(reply) << reply.error().message;
  EXPECT_EQ(reply->body, "3000000");
}

TEST_F(ClientTest, RefusesAReplyOverTheLimit) {
  Script script;
  script.parts = {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabcd"};
  spawn(loop_.executor(), play(listener_.get(), &script));
  const auto reply = run_on(loop_, fetch(loop_.executor(), endpoint(), {}, 2s, 3));
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, ErrorCode::too_large);
}

Task<void> accept_later(Listener* listener, std::vector<Result<Stream>>* accepted) {
  while (accepted->size() < 20) {
    auto stream = co_await listener->accept();
    accepted->push_back(std::move(stream));
  }
}

Task<void> count_connected(Endpoint endpoint, int* connected, Event* all) {
  const auto stream = co_await Stream::connect(endpoint, 2s);
  EXPECT_TRUE(stream) << stream.error().message;
  if (++*connected == 20) all->set();
}

Task<void> connect_twenty(Executor executor, Endpoint endpoint, Listener* listener) {
  int connected = 0;
  Event all;
  std::vector<Result<Stream>> accepted;
  for (int i = 0; i < 20; ++i)
    spawn(executor, count_connected(endpoint, &connected, &all));
  spawn(executor, accept_later(listener, &accepted));
  co_await all.wait();
  EXPECT_EQ(connected, 20);
}

TEST_F(ClientTest, ConnectsToABusyUnixSocket) {
  const TemporaryFolder folder;
  const Endpoint where = Endpoint::unix_socket(folder.file("s"));
  auto listener = Listener::listen(loop_.executor(), {.endpoint = where});
  ASSERT_TRUE(listener);
  run_on(loop_, connect_twenty(loop_.executor(), where, &*listener));
}

}  // namespace
}  // namespace berth::http
