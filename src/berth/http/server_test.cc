// SPDX-License-Identifier: Apache-2.0
#include "berth/http/server.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>

#include <gmock/gmock.h>

#include "berth/http/stream.h"
#include "berth/http/test_support.h"

namespace berth::http {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

Task<void> answer_target_and_body(Exchange& exchange) {
  Response response;
  response.headers.set("X-Target", exchange.request().target);
  response.body = exchange.request().method + ":" + exchange.request().body;
  const Status sent = co_await exchange.respond(std::move(response));
  EXPECT_TRUE(sent);
}

Task<void> stream_two_chunks(Exchange& exchange) {
  ResponseHead head;
  head.headers.set("Content-Type", "text/event-stream");
  Status sent = co_await exchange.begin(std::move(head));
  EXPECT_TRUE(exchange.began());
  sent = co_await exchange.write("one");
  sent = co_await exchange.write("");
  sent = co_await exchange.write("three");
  sent = co_await exchange.finish();
  EXPECT_TRUE(sent);
}

class ServerTest : public testing::Test {
 protected:
  void serve(Handler handler, ServerOptions options = {}) {
    auto listening = Server::listen(loop_.executor(), Endpoint::tcp("127.0.0.1", 0),
                                    std::move(handler), std::move(options));
    ASSERT_TRUE(listening) << listening.error().message;
    server_ = std::move(*listening);
  }
  Endpoint endpoint() const { return Endpoint::tcp("127.0.0.1", server_->port()); }
  std::string reply_to(std::string bytes) {
    return run_on(loop_, send_and_read_all(endpoint(), std::move(bytes)));
  }

  IoLoop loop_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, AnswersWithContentLength) {
  serve(answer_target_and_body);
  const std::string reply =
      reply_to("POST /a?b HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi");
  EXPECT_EQ(reply,
            "HTTP/1.1 200 OK\r\nX-Target: /a?b\r\nConnection: close\r\nContent-Length: 7\r\n\r\n"
            "POST:hi");
}

TEST_F(ServerTest, ReadsAChunkedBody) {
  serve(answer_target_and_body);
  const std::string reply = reply_to(
      "PUT / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nab\r\n1\r\nc\r\n0\r\n\r\n");
  EXPECT_THAT(reply, EndsWith("\r\n\r\nPUT:abc"));
}

TEST_F(ServerTest, StreamsExactlyTheChunksThatWereWritten) {
  serve(stream_two_chunks);
  const std::string reply = reply_to("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  EXPECT_THAT(reply, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(reply, EndsWith("\r\n\r\n3\r\none\r\n5\r\nthree\r\n0\r\n\r\n"));
}

TEST_F(ServerTest, NeverSendsChunksToAnHttp10Client) {
  serve(stream_two_chunks);
  const std::string reply = reply_to("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  EXPECT_THAT(reply, Not(HasSubstr("Transfer-Encoding")));
  EXPECT_THAT(reply, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(reply, EndsWith("\r\n\r\nonethree"));
}

TEST_F(ServerTest, SendsNoBodyInReplyToHead) {
  serve(stream_two_chunks);
  EXPECT_THAT(reply_to("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              EndsWith("\r\n\r\n"));
}

Task<std::string> two_requests(Endpoint endpoint, bool pipelined) {
  const auto peer = co_await Peer::connect(endpoint);
  const std::string first = "GET /1 HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string second = "GET /2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  std::string sent = first;
  if (pipelined) sent += second;
  co_await peer->send(std::move(sent));
  std::string seen = co_await peer->read_until("GET:");
  if (!pipelined) co_await peer->send(second);
  const std::string rest = co_await peer->read_rest();
  co_return seen + rest;
}

TEST_F(ServerTest, AnswersSeveralRequestsOnOneConnection) {
  serve(answer_target_and_body);
  for (const bool pipelined : {false, true}) {
    const std::string replies = run_on(loop_, two_requests(endpoint(), pipelined));
    EXPECT_THAT(replies, StartsWith("HTTP/1.1 200 OK\r\nX-Target: /1\r\nContent-Length: 4"));
    EXPECT_THAT(replies, HasSubstr("GET:HTTP/1.1 200 OK\r\nX-Target: /2\r\nConnection: close"));
  }
}

TEST_F(ServerTest, RefusesSmugglingAndClosesTheConnection) {
  serve(answer_target_and_body);
  const std::string next = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
  for (const std::string fields :
       {"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n",
        "Content-Length: 0\r\nContent-Length: 0\r\n", "Transfer-Encoding: xchunked\r\n",
        "X-A: b\nContent-Length: 0\r\n", "X-A: b\rContent-Length: 0\r\n", "X-A : b\r\n"}) {
    const std::string reply = reply_to("POST / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n" + next);
    EXPECT_THAT(reply, StartsWith("HTTP/1.1 400 Bad Request\r\n")) << fields;
    EXPECT_THAT(reply, HasSubstr("\"code\":\"bad_request\"")) << fields;
    EXPECT_THAT(reply, Not(HasSubstr("smuggled"))) << fields;
  }
}

TEST_F(ServerTest, RefusesABrokenChunkedBody) {
  serve(answer_target_and_body);
  EXPECT_THAT(reply_to("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n"),
              StartsWith("HTTP/1.1 400 "));
}

TEST_F(ServerTest, RefusesBodiesAndHeadsOverTheLimit) {
  serve(answer_target_and_body, {.head_limit = 200, .body_limit = 3});
  EXPECT_THAT(reply_to("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd"),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(reply_to("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                       "2\r\nab\r\n2\r\ncd\r\n0\r\n\r\n"),
              StartsWith("HTTP/1.1 413 "));
  EXPECT_THAT(reply_to("GET / HTTP/1.1\r\nHost: x\r\nX-A: " + std::string(200, 'a')),
              StartsWith("HTTP/1.1 431 "));
}

TEST_F(ServerTest, GivesUpOnAHeadThatDoesNotArrive) {
  serve(answer_target_and_body, {.head_timeout = 5ms, .idle_timeout = 5s});
  EXPECT_THAT(reply_to("GET / HTTP/1.1\r\n"), StartsWith("HTTP/1.1 408 "));
}

/// Each byte comes in time; all of them together do not. A server that waits for them has a whole
/// request in the end.
Task<std::string> drip(Endpoint endpoint, std::string before, std::string after) {
  const auto peer = co_await Peer::connect(endpoint);
  co_await peer->send(std::move(before));
  for (int i = 0; i < 100; ++i) {
    co_await peer->send("a");
    co_await delay(5ms);
  }
  co_await peer->send(std::move(after));
  const std::string reply = co_await peer->read_rest();
  co_return reply;
}

TEST_F(ServerTest, GivesUpOnABodyThatArrivesByteAfterByte) {
  serve(answer_target_and_body, {.read_timeout = 50ms, .rate_min = 1 << 20, .idle_timeout = 50ms});
  const std::string head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n";
  EXPECT_THAT(run_on(loop_, drip(endpoint(), head, "")), StartsWith("HTTP/1.1 408 "));
}

TEST_F(ServerTest, GivesUpOnAHeadThatArrivesByteAfterByte) {
  serve(answer_target_and_body, {.head_timeout = 50ms, .idle_timeout = 50ms});
  const std::string rest = "\r\nHost: x\r\n\r\n";
  const std::string reply = run_on(loop_, drip(endpoint(), "GET / HTTP/1.1\r\nX-A: ", rest));
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 408 "));
}

Task<void> answer_much(Exchange* exchange, Event* given_up) {
  Response response;
  response.body.assign(std::size_t{32} << 20, 'a');
  const Status sent = co_await exchange->respond(std::move(response));
  EXPECT_FALSE(sent);
  given_up->set();
}

Task<void> never_read(Endpoint endpoint, Event* given_up) {
  const auto peer = co_await Peer::connect(endpoint);
  co_await peer->send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  const bool ended = co_await given_up->wait_for(20s);
  EXPECT_TRUE(ended);
}

TEST_F(ServerTest, GivesUpOnAClientThatDoesNotReadItsReply) {
  Event given_up;
  serve([&given_up](Exchange& exchange) { return answer_much(&exchange, &given_up); },
        {.write_timeout = 5ms, .rate_min = 1 << 30});
  loop_.run_until_done(never_read(endpoint(), &given_up));
}

TEST_F(ServerTest, RefusesATargetThatIsTooLong) {
  serve(answer_target_and_body, {.target_limit = 10});
  const std::string end = " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
  EXPECT_THAT(reply_to("GET /" + std::string(9, 'a') + end), StartsWith("HTTP/1.1 200 "));
  EXPECT_THAT(reply_to("GET /" + std::string(10, 'a') + end), StartsWith("HTTP/1.1 414 "));
  EXPECT_THAT(reply_to("GET /" + std::string(99'999, 'a')), StartsWith("HTTP/1.1 414 "));
}

TEST_F(ServerTest, AHeadThatIsRefusedEndsTheConnectionBeforeItsBodyIsRead) {
  ServerOptions options;
  options.refuse_head = [](const Request& head) -> std::optional<Response> {
    if (head.path() != "/no") return std::nullopt;
    return error_response({ErrorCode::forbidden, "no"});
  };
  serve(answer_target_and_body, std::move(options));
  const std::string body = "GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n";
  const std::string reply =
      reply_to("POST /no HTTP/1.1\r\nHost: x\r\nContent-Length: 30000000\r\n\r\n" + body);
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(reply, HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(reply, Not(HasSubstr("smuggled")));
  EXPECT_THAT(reply_to("GET /yes HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 200 "));
}

TEST_F(ServerTest, ClosesAnIdleConnectionWithoutAWord) {
  serve(answer_target_and_body, {.idle_timeout = 5ms});
  EXPECT_EQ(reply_to(""), "");
}

Task<std::string> expect_continue(Endpoint endpoint) {
  const auto peer = co_await Peer::connect(endpoint);
  co_await peer->send(
      "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nConnection: close\r\n"
      "Content-Length: 2\r\n\r\n");
  const std::string interim = co_await peer->read_until("\r\n\r\n");
  co_await peer->send("hi");
  const std::string reply = co_await peer->read_rest();
  co_return interim + reply;
}

TEST_F(ServerTest, TellsAClientThatAsksToContinue) {
  serve(answer_target_and_body);
  const std::string replies = run_on(loop_, expect_continue(endpoint()));
  EXPECT_THAT(replies, StartsWith("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(replies, EndsWith("POST:hi"));
}

Task<void> do_nothing(Exchange&) {
  co_return;
}

TEST_F(ServerTest, AnswersForAHandlerThatForgotTo) {
  serve(do_nothing);
  EXPECT_THAT(reply_to("GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
              StartsWith("HTTP/1.1 500 "));
}

Task<void> abort_in_the_middle(Exchange& exchange) {
  ResponseHead head;
  Status sent = co_await exchange.begin(std::move(head));
  sent = co_await exchange.write("half");
  if (exchange.request().path() == "/abort") exchange.abort();
}

TEST_F(ServerTest, NeverEndsAnAbortedStreamCleanly) {
  serve(abort_in_the_middle);
  for (const std::string path : {"/abort", "/forgotten"}) {
    const std::string reply = reply_to("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_THAT(reply, EndsWith("4\r\nhalf\r\n"));
  }
}

Task<void> say_too_little(Exchange& exchange) {
  ResponseHead head;
  head.headers.set("Content-Length", "10");
  Status sent = co_await exchange.begin(std::move(head));
  sent = co_await exchange.write("0123456789a");
  EXPECT_FALSE(sent);
  sent = co_await exchange.write("0123");
  sent = co_await exchange.finish();
  EXPECT_FALSE(sent);
  Response late;
  sent = co_await exchange.respond(std::move(late));
  EXPECT_FALSE(sent);
}

TEST_F(ServerTest, HoldsTheHandlerToItsContentLength) {
  serve(say_too_little);
  EXPECT_THAT(reply_to("GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
              EndsWith("Content-Length: 10\r\n\r\n0123"));
}

struct Departure {
  Event started;
  Event seen;
};

Task<void> wait_for_departure(Exchange* exchange, Departure* departure) {
  departure->started.set();
  co_await exchange->client_gone().wait();
  departure->seen.set();
}

Task<bool> leave(Endpoint endpoint, Departure* departure, bool half) {
  const auto peer = co_await Peer::connect(endpoint);
  co_await peer->send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET /pipelined");
  co_await departure->started.wait();
  if (half) {
    peer->close_write();
  } else {
    peer->close();
  }
  const bool seen = co_await departure->seen.wait_for(2s);
  co_return seen;
}

TEST_F(ServerTest, TellsTheHandlerThatItsClientHasGone) {
  for (const bool half : {false, true}) {
    Departure departure;
    serve([&departure](Exchange& exchange) { return wait_for_departure(&exchange, &departure); });
    EXPECT_TRUE(run_on(loop_, leave(endpoint(), &departure, half)));
    server_->close_all();
    run_on(loop_, server_->all_closed());
    EXPECT_EQ(server_->connections(), 0u);
  }
}

Task<void> open_idle_then_stop(Endpoint endpoint, Server* server) {
  const auto peer = co_await Peer::connect(endpoint);
  co_await peer->send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
  co_await peer->read_until("GET:");
  EXPECT_EQ(server->connections(), 1u);
  server->stop_accepting();
  co_await server->all_closed();
  const auto late = co_await Peer::connect(endpoint);
  EXPECT_EQ(late, nullptr);
}

TEST_F(ServerTest, ClosesIdleConnectionsWhenItStops) {
  serve(answer_target_and_body);
  run_on(loop_, open_idle_then_stop(endpoint(), server_.get()));
}

/// What `peer` asks is read as the reply's body.
Task<void> ask_and_read(Peer* peer, std::string* reply) {
  co_await peer->send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
  *reply = co_await peer->read_until("GET:");
}

Task<void> connect_then_end(Executor executor, Endpoint endpoint, Server* server) {
  const auto peer = co_await Peer::connect(endpoint);
  while (server->connections() == 0)
    co_await delay(1ms);
  ParkedSocket parked = server->park();
  EXPECT_TRUE(parked);
  const auto late = co_await Peer::connect(endpoint);
  EXPECT_NE(late, nullptr);
  std::string reply;
  co_await ask_and_read(peer.get(), &reply);
  EXPECT_THAT(reply, HasSubstr("X-Target: /1"));
  EXPECT_THAT(reply, HasSubstr("Connection: close"));
  peer->close();
  co_await server->all_closed();

  ServerOptions options;
  auto next = Server::listen(executor, endpoint, answer_target_and_body, std::move(options),
                             std::move(parked));
  EXPECT_TRUE(next);
  if (!next) co_return;
  co_await ask_and_read(late.get(), &reply);
  EXPECT_THAT(reply, HasSubstr("X-Target: /1"));
  late->close();
  (*next)->stop_accepting();
  co_await (*next)->all_closed();
}

TEST_F(ServerTest, ASocketThatIsParkedKeepsWhoConnectsForTheNextServer) {
  serve(answer_target_and_body);
  run_on(loop_, connect_then_end(loop_.executor(), endpoint(), server_.get()));
}

/// One that connects so many turns of the loop before a server gives its socket to the next one.
Task<void> connect_and_hand_on(Executor executor, Endpoint endpoint,
                               std::unique_ptr<Server>* server, int turns) {
  const auto peer = co_await Peer::connect(endpoint);
  for (; turns > 0; --turns)
    co_await delay(Duration{0});
  ParkedSocket parked = (*server)->park();
  ServerOptions options;
  auto next = Server::listen(executor, endpoint, answer_target_and_body, std::move(options),
                             std::move(parked));
  std::string reply;
  co_await ask_and_read(peer.get(), &reply);
  EXPECT_THAT(reply, HasSubstr("X-Target: /1"));
  peer->close();
  co_await (*server)->all_closed();
  *server = std::move(*next);
}

TEST_F(ServerTest, WhoConnectsInTheMomentInWhichItsSocketIsParkedIsNotLost) {
  serve(answer_target_and_body);
  for (int round = 0; round < 60; ++round)
    run_on(loop_, connect_and_hand_on(loop_.executor(), endpoint(), &server_, round % 6));
}

Task<void> connect_and_say_nothing(Endpoint endpoint, Server* server) {
  const auto peer = co_await Peer::connect(endpoint);
  while (server->connections() == 0)
    co_await delay(1ms);
  const ParkedSocket parked = server->park();
  EXPECT_EQ(co_await peer->read_rest(), "");
  peer->close();
  co_await server->all_closed();
}

TEST_F(ServerTest, WhoConnectsAndSaysNothingDoesNotHoldUpItsEnd) {
  serve(answer_target_and_body, {.idle_timeout = 1h, .first_request_grace = 10ms});
  run_on(loop_, connect_and_say_nothing(endpoint(), server_.get()));
}

Task<void> fill_up(Endpoint endpoint) {
  const auto first = co_await Peer::connect(endpoint);
  co_await first->send("GET /1 HTTP/1.1\r\nHost: x\r\n\r\n");
  co_await first->read_until("GET:");
  const std::string reply = co_await send_and_read_all(endpoint, "");
  EXPECT_THAT(reply, StartsWith("HTTP/1.1 503 "));
}

TEST_F(ServerTest, TurnsConnectionsOverTheLimitAway) {
  serve(answer_target_and_body, {.connection_limit = 1});
  run_on(loop_, fill_up(endpoint()));
}

TEST_F(ServerTest, NamesTheTakenPortAndTheNextStep) {
  serve(answer_target_and_body);
  const auto second = Server::listen(loop_.executor(), endpoint(), answer_target_and_body,
                                     {.taken_hint = "set servers.chat.port"});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::port_taken);
  EXPECT_EQ(second.error().message, "port " + std::to_string(server_->port()) +
                                        " of 127.0.0.1 is taken; set servers.chat.port");
}

/// Leaves the file of a socket behind on which nobody listens, as a killed program does.
void leave_stale_socket(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  const int socket = ::socket(AF_UNIX, SOCK_STREAM, 0);
  EXPECT_EQ(::bind(socket, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  ::close(socket);
}

TEST_F(ServerTest, ReplacesAStaleSocketButNotALiveOne) {
  const TemporaryFolder folder;
  const std::string path = folder.file("front.sock");
  leave_stale_socket(path);
  auto first =
      Server::listen(loop_.executor(), Endpoint::unix_socket(path), answer_target_and_body);
  ASSERT_TRUE(first) << first.error().message;
  struct stat found {};
  ASSERT_EQ(::stat(path.c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777u, 0600u);
  const auto second =
      Server::listen(loop_.executor(), Endpoint::unix_socket(path), answer_target_and_body);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::port_taken);
  EXPECT_THAT(second.error().message, HasSubstr(path));
  EXPECT_THAT(
      run_on(loop_, send_and_read_all(Endpoint::unix_socket(path), "GET / HTTP/1.0\r\n\r\n")),
      EndsWith("GET:"));
  first->reset();
  EXPECT_FALSE(std::filesystem::exists(path));
}

TEST_F(ServerTest, DoesNotReplaceAFileThatIsNoSocket) {
  const TemporaryFolder folder;
  const std::string path = folder.file("notes.txt");
  std::ofstream(path) << "keep me";
  const auto server =
      Server::listen(loop_.executor(), Endpoint::unix_socket(path), answer_target_and_body);
  ASSERT_FALSE(server);
  EXPECT_EQ(server.error().message,
            path + " exists and is no socket; move it away, then try again");
  EXPECT_EQ(std::filesystem::file_size(path), 7U);
}

}  // namespace
}  // namespace berth::http
