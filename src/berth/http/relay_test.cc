// SPDX-License-Identifier: Apache-2.0
#include "berth/http/relay.h"

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "berth/http/stream.h"
#include "berth/http/test_support.h"

namespace berth::http {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

const std::string kChunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
const std::string kGet = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
constexpr std::size_t kPieceSize = 16 << 10;

/// A scripted server, a relay and its options, on unix sockets: their buffers are small and fixed,
/// so that a slow reader is felt soon.
struct World {
  World() {
    const Endpoint where = Endpoint::unix_socket(folder.file("upstream"));
    auto listening = Listener::listen(loop.executor(), {.endpoint = where});
    upstream = std::make_unique<Listener>(std::move(*listening));
    options.spool = &spool;
    options.on_chunk = [this](std::string_view piece) { seen.append(piece); };
    options.on_upstream_done = [this] {
      ++upstream_done_calls;
      upstream_done.set();
    };
    serve_front();
  }
  void serve_front();
  Endpoint front_endpoint() const { return Endpoint::unix_socket(folder.file("front")); }
  Endpoint upstream_endpoint() const { return Endpoint::unix_socket(folder.file("upstream")); }
  std::string reply_to(std::string request) {
    return run_on(loop, send_and_read_all(front_endpoint(), std::move(request)));
  }

  TemporaryFolder folder;
  IoLoop loop;
  std::unique_ptr<Listener> upstream;
  std::unique_ptr<Server> front;
  Spool spool;
  Event cut;
  RelayOptions options;
  /// Sent to the client before the relay, as keep-alives are.
  std::string sent_before;

  std::string seen;
  int upstream_done_calls = 0;
  Event upstream_done;
  Event upstream_saw_close;
  std::size_t upstream_sent = 0;
  Event much_sent;
  RelayResult result;
  Event relayed;
};

Task<void> relay_once(World* world, Exchange* client) {
  const Executor executor = co_await this_executor();
  Request request = client->request();
  auto call = co_await Call::open(executor, world->upstream_endpoint(), std::move(request), 2s);
  EXPECT_TRUE(call);
  if (!world->sent_before.empty()) {
    ResponseHead head;
    Status sent = co_await client->begin(std::move(head));
    sent = co_await client->write(world->sent_before);
    EXPECT_TRUE(sent);
  }
  RelayOptions options = world->options;
  world->result = co_await relay(**call, *client, std::move(options));
  world->relayed.set();
  if (world->result.reply_started) co_return;
  Response unavailable{503, {}, "try again"};
  const Status answered = co_await client->respond(std::move(unavailable));
  static_cast<void>(answered);
}

void World::serve_front() {
  auto listening = Server::listen(loop.executor(), front_endpoint(),
                                  [this](Exchange& client) { return relay_once(this, &client); });
  front = std::move(*listening);
}

/// Accepts one request and sends the parts, each in a segment of its own.
Task<void> send_parts(World* world, std::vector<std::string> parts, bool closes) {
  const auto peer = co_await Peer::accept(world->upstream.get());
  co_await peer->read_until("\r\n\r\n");
  for (const std::string& part : parts) {
    co_await peer->send(part);
    co_await delay(0ms);
  }
  if (!closes) co_await peer->read_rest();
  world->upstream_saw_close.set();
}

class RelayTest : public testing::Test {
 protected:
  void upstream_sends(std::vector<std::string> parts, bool closes = false) {
    spawn(world_.loop.executor(), send_parts(&world_, std::move(parts), closes));
  }
  std::string reply_to(std::string request) {
    std::string reply = world_.reply_to(std::move(request));
    run_on(world_.loop, world_.relayed.wait());
    run_on(world_.loop, world_.upstream_saw_close.wait());
    EXPECT_EQ(world_.upstream_done_calls, 1);
    return reply;
  }

  World world_;
};

TEST_F(RelayTest, MakesAChunkOutOfEachChunk) {
  const std::string two_events = "data: {\"a\":1}\n\ndata: {\"b\":2}\n\n";
  const std::string body = "1\r\na\r\n1\r\nb\r\n1e\r\n" + two_events + "\r\n4\r\nabcd\r\n0\r\n\r\n";
  upstream_sends({kChunked, body.substr(0, 3), body.substr(3, 20), body.substr(23, 25),
                  body.substr(48, 5), body.substr(53)});
  const std::string reply = reply_to(kGet);
  EXPECT_THAT(reply, EndsWith("\r\n\r\n" + body));
  EXPECT_EQ(world_.seen, "ab" + two_events + "abcd");
  EXPECT_EQ(world_.result.outcome, RelayOutcome::completed);
  EXPECT_EQ(world_.result.bytes, world_.seen.size());
  EXPECT_EQ(world_.result.status, 200);
  EXPECT_TRUE(world_.result.reply_started);
}

TEST_F(RelayTest, DropsTheHeadersOfTheHopAndOfTheServer) {
  world_.options.added_headers.add("X-Berth-Job", "7");
  upstream_sends(
      {"HTTP/1.1 404 Not Found\r\nServer: llama.cpp\r\nAccess-Control-Allow-Origin: \r\n"
       "Keep-Alive: timeout=5, max=100\r\nConnection: close\r\nX-Berth-Job: 1\r\n"
       "Content-Type: text/plain\r\nContent-Length: 2\r\n\r\nno"});
  EXPECT_EQ(reply_to(kGet),
            "HTTP/1.1 404 Not Found\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n"
            "X-Berth-Job: 7\r\nConnection: close\r\n\r\nno");
  EXPECT_EQ(world_.result.status, 404);
}

TEST_F(RelayTest, GivesAnHttp10ClientTheBodyWithoutChunks) {
  upstream_sends({kChunked, "1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"});
  EXPECT_EQ(reply_to("GET / HTTP/1.0\r\n\r\n"), "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc");
}

TEST_F(RelayTest, AnswersHeadWithoutABody) {
  upstream_sends({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"});
  EXPECT_EQ(reply_to("HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n");
}

TEST_F(RelayTest, NeverEndsATruncatedReplyCleanly) {
  for (const std::string body : {"3\r\nabc\r\n", "3\r\nabc\r\n5\r\nde", "3\r\nabc\r\n0\r\n"}) {
    upstream_sends({kChunked, body}, true);
    EXPECT_THAT(world_.reply_to(kGet), EndsWith("\r\n\r\n3\r\nabc\r\n"));
    run_on(world_.loop, world_.relayed.wait());
    EXPECT_EQ(world_.result.outcome, RelayOutcome::upstream_failed);
    EXPECT_EQ(world_.result.error.code, ErrorCode::server_gone);
    world_.relayed.reset();
  }
}

TEST_F(RelayTest, NeverFillsATruncatedReplyWithContentLength) {
  upstream_sends({"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc"}, true);
  EXPECT_THAT(reply_to(kGet), EndsWith("Content-Length: 5\r\nConnection: close\r\n\r\nabc"));
  EXPECT_EQ(world_.result.outcome, RelayOutcome::upstream_failed);
}

TEST_F(RelayTest, LeavesTheAnswerToTheCallerIfNoHeadCame) {
  upstream_sends({"HTTP/1.1 20"}, true);
  EXPECT_THAT(reply_to(kGet), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(world_.result.outcome, RelayOutcome::upstream_failed);
  EXPECT_FALSE(world_.result.reply_started);
}

/// Sends `total` bytes in chunks as fast as they are taken.
Task<void> send_much(World* world, std::size_t total) {
  const auto peer = co_await Peer::accept(world->upstream.get());
  co_await peer->read_until("\r\n\r\n");
  co_await peer->send(kChunked);
  const std::string chunk = "4000\r\n" + std::string(kPieceSize, 'x') + "\r\n";
  while (world->upstream_sent < total) {
    const bool sent = co_await peer->send(chunk);
    if (!sent) break;
    world->upstream_sent += kPieceSize;
    if (world->upstream_sent >= Spool::kLimitNormal) world->much_sent.set();
  }
  co_await peer->send("0\r\n\r\n");
}

Task<std::string> read_after_upstream_ended(World* world) {
  const auto client = co_await Peer::connect(world->front_endpoint());
  co_await client->send(kGet);
  co_await world->much_sent.wait();
  EXPECT_FALSE(world->upstream_done.is_set());
  world->spool.set_limit(Spool::kLimitDraining);
  const bool ended = co_await world->upstream_done.wait_for(4s);
  EXPECT_TRUE(ended);
  EXPECT_FALSE(world->relayed.is_set());
  const std::string reply = co_await client->read_rest();
  co_return reply;
}

TEST_F(RelayTest, DoesNotLetASlowClientDelayUpstreamOnceTheSpoolIsRaised) {
  constexpr std::size_t kTotal = 6 << 20;
  spawn(world_.loop.executor(), send_much(&world_, kTotal));
  const std::string reply = run_on(world_.loop, read_after_upstream_ended(&world_));
  EXPECT_THAT(reply.substr(reply.size() - 10), EndsWith("x\r\n0\r\n\r\n"));
  run_on(world_.loop, world_.relayed.wait());
  EXPECT_EQ(world_.result.outcome, RelayOutcome::completed);
  EXPECT_EQ(world_.result.bytes, kTotal);
}

/// Reads slowly and returns how far upstream was ahead of the client at most.
Task<std::size_t> read_slowly(World* world) {
  const auto client = co_await Peer::connect(world->front_endpoint());
  co_await client->send(kGet);
  std::size_t received = 0;
  std::size_t ahead = 0;
  while (true) {
    for (int turn = 0; turn < 20; ++turn)
      co_await delay(0ms);
    ahead = std::max(ahead, world->upstream_sent - std::min(received, world->upstream_sent));
    const std::string piece = co_await client->read_some();
    if (piece.empty()) co_return ahead;
    received += piece.size();
  }
}

TEST_F(RelayTest, HoldsUpstreamBackWhileTheClientIsSlow) {
  constexpr std::size_t kTotal = 4 << 20;
  spawn(world_.loop.executor(), send_much(&world_, kTotal));
  const std::size_t ahead = run_on(world_.loop, read_slowly(&world_));
  // Beside the spool, two sockets hold up to 208 KiB each, and each side some pieces.
  EXPECT_LT(ahead, Spool::kLimitNormal + (1 << 20));
  EXPECT_GE(ahead, Spool::kLimitNormal);
  run_on(world_.loop, world_.relayed.wait());
  EXPECT_EQ(world_.result.bytes, kTotal);
}

Task<void> leave_after(World* world, std::string mark, bool half) {
  const auto client = co_await Peer::connect(world->front_endpoint());
  co_await client->send(kGet);
  co_await client->read_until(std::move(mark));
  if (half) {
    client->close_write();
  } else {
    client->close();
  }
  const bool seen = co_await world->upstream_saw_close.wait_for(2s);
  EXPECT_TRUE(seen);
  co_await world->relayed.wait();
}

TEST_F(RelayTest, ClosesUpstreamAtOnceWhenTheClientLeaves) {
  for (const bool half : {false, true}) {
    upstream_sends({kChunked, "3\r\nabc\r\n"});
    run_on(world_.loop, leave_after(&world_, "abc\r\n", half));
    EXPECT_EQ(world_.result.outcome, RelayOutcome::client_gone);
    EXPECT_TRUE(world_.result.reply_started);
    world_.relayed.reset();
    world_.upstream_saw_close.reset();
  }
  EXPECT_EQ(world_.upstream_done_calls, 2);
}

Task<void> leave_a_full_relay(World* world) {
  const auto client = co_await Peer::connect(world->front_endpoint());
  co_await client->send(kGet);
  co_await world->much_sent.wait();
  client->close_write();  // It neither reads nor closes.
  co_await world->relayed.wait();
}

TEST_F(RelayTest, EndsAWriteToAClientThatHalfClosedAndDoesNotRead) {
  spawn(world_.loop.executor(), send_much(&world_, 4 << 20));
  run_on(world_.loop, leave_a_full_relay(&world_));
  EXPECT_EQ(world_.result.outcome, RelayOutcome::client_gone);
  EXPECT_EQ(world_.upstream_done_calls, 1);
}

/// Sets the cut when the client has read up to the mark, or at once, and returns all of the reply.
Task<std::string> cut_after(World* world, std::string mark) {
  const auto client = co_await Peer::connect(world->front_endpoint());
  co_await client->send(kGet);
  std::string reply;
  if (!mark.empty()) reply = co_await client->read_until(std::move(mark));
  world->cut.set();
  const std::string rest = co_await client->read_rest();
  co_await world->relayed.wait();
  co_await world->upstream_saw_close.wait();
  co_return reply + rest;
}

TEST_F(RelayTest, EndsACutStreamWithTheTextOfTheCaller) {
  world_.options.cut = &world_.cut;
  world_.options.cut_text = [] { return "event: error\n\n"; };
  upstream_sends({kChunked, "3\r\nabc\r\n"});
  const std::string reply = run_on(world_.loop, cut_after(&world_, "abc\r\n"));
  EXPECT_THAT(reply, EndsWith("3\r\nabc\r\ne\r\nevent: error\n\n\r\n0\r\n\r\n"));
  EXPECT_EQ(world_.result.outcome, RelayOutcome::cut);
  EXPECT_EQ(world_.upstream_done_calls, 1);
}

TEST_F(RelayTest, AbortsACutReplyWithContentLength) {
  world_.options.cut = &world_.cut;
  world_.options.cut_text = [] { return "event: error\n\n"; };
  upstream_sends({"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nabc"});
  const std::string reply = run_on(world_.loop, cut_after(&world_, "abc"));
  EXPECT_THAT(reply, EndsWith("\r\n\r\nabc"));
  EXPECT_EQ(world_.result.outcome, RelayOutcome::cut);
}

TEST_F(RelayTest, LeavesTheAnswerToTheCallerIfItWasCutBeforeTheHead) {
  world_.options.cut = &world_.cut;
  upstream_sends({});
  EXPECT_THAT(run_on(world_.loop, cut_after(&world_, "")), StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(world_.result.outcome, RelayOutcome::cut);
  EXPECT_FALSE(world_.result.reply_started);
}

TEST_F(RelayTest, KeepsTheHeadOfAnExchangeThatHasBegun) {
  world_.sent_before = ":\n\n";
  upstream_sends({kChunked, "3\r\nabc\r\n0\r\n\r\n"});
  EXPECT_THAT(reply_to(kGet), EndsWith("\r\n\r\n3\r\n:\n\n\r\n3\r\nabc\r\n0\r\n\r\n"));
}

TEST_F(RelayTest, WrapsAnErrorThatComesAfterTheStreamHasBegun) {
  world_.sent_before = ":\n\n";
  world_.options.late_error = [](std::string body) { return "data: " + body + "\n\n"; };
  upstream_sends({"HTTP/1.1 400 Bad Request\r\nContent-Length: 4\r\n\r\n{", "\"\"}"});
  EXPECT_THAT(reply_to(kGet), EndsWith("\r\nc\r\ndata: {\"\"}\n\n\r\n0\r\n\r\n"));
  EXPECT_EQ(world_.result.status, 400);
}

}  // namespace
}  // namespace berth::http
