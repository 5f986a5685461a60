// SPDX-License-Identifier: Apache-2.0
#include "berth/http/parse.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "berth/http/body.h"

namespace berth::http {
namespace {

using testing::ElementsAre;
using std::string_literals::operator""s;

constexpr std::size_t kFields = 100;

/// A head with these lines after the request line.
std::string post(const std::string& fields) {
  return "POST /a HTTP/1.1\r\nHost: b\r\n" + fields + "\r\n";
}

TEST(RequestHead, IsReadWithItsFields) {
  const auto head =
      parse_request_head(post("Content-Length: 12\r\nX-Empty:\r\nX-B:  a b \t\r\n"), 100);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->request.method, "POST");
  EXPECT_EQ(head->request.target, "/a");
  EXPECT_EQ(head->request.headers.get("x-empty"), "");
  EXPECT_EQ(head->request.headers.get("x-b"), "a b");
  EXPECT_EQ(head->framing.kind, BodyKind::length);
  EXPECT_EQ(head->framing.length, 12u);
  EXPECT_TRUE(head->keep_alive);
}

TEST(RequestHead, InAbsoluteFormBecomesOriginForm) {
  const auto head = parse_request_head("GET http://b:1?x=1 HTTP/1.1\r\nHost: B:1\r\n\r\n", kFields);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->request.target, "/?x=1");
}

TEST(RequestHead, OfHttp10EndsItsConnection) {
  const auto head = parse_request_head("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", kFields);
  ASSERT_TRUE(head);
  EXPECT_FALSE(head->keep_alive);
}

TEST(RequestHead, IsRefusedWhenTwoParsersCouldReadItInTwoWays) {
  const std::vector<std::string> heads{
      post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
      post("Content-Length: 3\r\nContent-Length: 3\r\n"),
      post("Content-Length: 3, 3\r\n"),
      post("Content-Length: +3\r\n"),
      post("Content-Length: -3\r\n"),
      post("Content-Length: 0x3\r\n"),
      post("Content-Length:\r\n"),
      post("Content-Length: 9007199254740993\r\n"),
      post("Content-Length: 99999999999999999999\r\n"),
      post("Content_Length: 3\r\n"),
      post("Transfer_Encoding: chunked\r\n"),
      post("Transfer-Encoding: gzip, chunked\r\n"),
      post("Transfer-Encoding: ,chunked\r\n"),
      post("Transfer-Encoding: identity\r\n"),
      post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
      post("X-A : b\r\n"),
      post("X A: b\r\n"),
      post(": b\r\n"),
      post("no colon\r\n"),
      post("X-A: b\r\n folded\r\n"),
      post("X-A: b\n"),
      post("X-A: b\rX-B: c\r\n"),
      post("X-A: b\0c\r\n"s),
      post("X-A: b\x7f\r\n"),
      post("Host: c\r\n"),
      post("Expect: 200-ok\r\n"),
      "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
      "GET /a HTTP/1.1\r\n\r\n",
      "GET  /a HTTP/1.1\r\nHost: b\r\n\r\n",
      "GET /a b HTTP/1.1\r\nHost: b\r\n\r\n",
      "GET /a\xc3\xa4 HTTP/1.1\r\nHost: b\r\n\r\n",
      " GET /a HTTP/1.1\r\nHost: b\r\n\r\n",
      "\r\nGET /a HTTP/1.1\r\nHost: b\r\n\r\n",
      "G(T /a HTTP/1.1\r\nHost: b\r\n\r\n",
      "GET a HTTP/1.1\r\nHost: b\r\n\r\n",
      "GET * HTTP/1.1\r\nHost: b\r\n\r\n",
      "CONNECT b:1 HTTP/1.1\r\nHost: b\r\n\r\n",
      "GET http://c/ HTTP/1.1\r\nHost: b\r\n\r\n",
      "GET /a HTTP/2.0\r\nHost: b\r\n\r\n",
      "GET /a HTTP/1.1 \r\nHost: b\r\n\r\n",
      "GET /a\r\n\r\n",
      "\r\n\r\n",
  };
  for (const std::string& head : heads) {
    const auto parsed = parse_request_head(head, kFields);
    ASSERT_FALSE(parsed) << head;
    EXPECT_EQ(parsed.error().code, ErrorCode::bad_request) << head;
  }
}

TEST(RequestHead, HasALimitedNumberOfFields) {
  EXPECT_TRUE(parse_request_head(post("X-A: 1\r\n"), 2));
  const auto parsed = parse_request_head(post("X-A: 1\r\nX-B: 2\r\n"), 2);
  ASSERT_FALSE(parsed);
  EXPECT_EQ(parsed.error().code, ErrorCode::too_large);
}

TEST(ReplyHead, SaysHowTheBodyEnds) {
  const auto kind = [](const std::string& head, std::string_view method) {
    const auto parsed = parse_reply_head(head, method);
    return parsed ? parsed->framing.kind : BodyKind::none;
  };
  EXPECT_EQ(kind("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "GET"), BodyKind::length);
  EXPECT_EQ(kind("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", "HEAD"), BodyKind::none);
  EXPECT_EQ(kind("HTTP/1.1 200\r\nTransfer-Encoding: Chunked\r\n\r\n", "GET"), BodyKind::chunked);
  EXPECT_EQ(kind("HTTP/1.0 200 OK\r\n\r\n", "GET"), BodyKind::until_close);
  EXPECT_EQ(kind("HTTP/1.1 204 No Content\r\n\r\n", "GET"), BodyKind::none);
}

TEST(ReplyHead, IsRefusedWhenItIsBroken) {
  for (const std::string head :
       {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1  200\r\n\r\n",
        "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    const auto parsed = parse_reply_head(head, "GET");
    ASSERT_FALSE(parsed) << head;
    EXPECT_EQ(parsed.error().code, ErrorCode::upstream) << head;
  }
}

TEST(HeadText, LeavesOutFieldsThatWouldBreakIt) {
  ResponseHead head{200, {}};
  head.headers.add("X-Good", "1");
  head.headers.add("X-Bad", "1\r\nX-Injected: 2");
  head.headers.add("X Bad", "1");
  EXPECT_EQ(response_head_text(head), "HTTP/1.1 200 OK\r\nX-Good: 1\r\n\r\n");
}

/// Decodes a body that arrives in parts; "!" stands for an error, "." for the clean end.
std::vector<std::string> decode(const std::vector<std::string>& parts) {
  ChunkDecoder decoder;
  InputBuffer in;
  std::vector<std::string> chunks;
  std::string chunk;
  for (const std::string& part : parts) {
    in.append(part);
    while (true) {
      const auto step = decoder.decode(in, chunk, 1000);
      if (!step) {
        chunks.emplace_back("!");
        return chunks;
      }
      if (*step == ChunkDecoder::Step::need_more) break;
      if (*step == ChunkDecoder::Step::body_end) {
        chunks.emplace_back(".");
        return chunks;
      }
      chunks.push_back(std::exchange(chunk, ""));
    }
  }
  return chunks;
}

TEST(ChunkDecoder, GivesTheSameChunksHoweverTheyAreSplit) {
  const std::string body = "1\r\na\r\n3;x=y\r\nbcd\r\n00A\r\n0123456789\r\n0\r\nX-T: 1\r\n\r\n";
  for (std::size_t split = 0; split <= body.size(); ++split) {
    EXPECT_THAT(decode({body.substr(0, split), body.substr(split)}),
                ElementsAre("a", "bcd", "0123456789", "."))
        << split;
  }
  std::vector<std::string> bytes;
  for (const char byte : body)
    bytes.emplace_back(1, byte);
  EXPECT_THAT(decode(bytes), ElementsAre("a", "bcd", "0123456789", "."));
}

TEST(ChunkDecoder, DoesNotEndBeforeTheLastChunk) {
  EXPECT_THAT(decode({"1\r\na\r\n"}), ElementsAre("a"));
  EXPECT_THAT(decode({"1\r\na\r\n0\r\n"}), ElementsAre("a"));
  EXPECT_THAT(decode({"3\r\nab"}), ElementsAre());
}

TEST(ChunkDecoder, RefusesBrokenFraming) {
  for (const std::string body :
       {"+1\r\na\r\n", "-1\r\na\r\n", "0x1\r\na\r\n", "1 \r\na\r\n", "1_0\r\na\r\n", "\r\na\r\n",
        "g\r\n", "1\na\r\n", "1\r\nab\r\n", "1\r\na\n", "1\r\na\rb", "ffffffffffffffff\r\n",
        "1;a\nb\r\n", "3e9\r\n"}) {
    EXPECT_THAT(decode({body}), ElementsAre("!")) << body;
  }
  EXPECT_THAT(decode({std::string(300, '0')}), ElementsAre("!"));
  EXPECT_THAT(decode({"0\r\n" + std::string(9000, 'a')}), ElementsAre("!"));
}

TEST(Chunk, IsEncodedAsItIsDecoded) {
  EXPECT_EQ(encode_chunk("0123456789abcdef0"), "11\r\n0123456789abcdef0\r\n");
  EXPECT_THAT(decode({encode_chunk("abc") + std::string(kLastChunk)}), ElementsAre("abc", "."));
}

TEST(HeadLength, CountsUpToTheEmptyLine) {
  EXPECT_EQ(head_length("GET / HTTP/1.1\r\nHost: a\r\n"), std::nullopt);
  EXPECT_EQ(head_length("a\r\n\r\nb"), 5u);
  EXPECT_EQ(head_length("a\n\nb\r\n\r\n"), 3u);
}

TEST(InputBuffer, KeepsOrderWhileItIsFilledAndUsed) {
  InputBuffer buffer;
  std::string expected;
  std::string taken;
  for (int round = 0; round < 2000; ++round) {
    const std::string part = std::to_string(round) + std::string(50, 'x');
    expected += part;
    buffer.append(part);
    if (round < 1000) continue;
    taken += buffer.view().substr(0, 90);
    buffer.consume(90);
  }
  taken += buffer.view();
  EXPECT_EQ(taken, expected);
}

}  // namespace
}  // namespace berth::http
