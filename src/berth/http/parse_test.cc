// SPDX-License-Identifier: Apache-2.0
#include "berth/http/parse.h"

#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>

namespace berth::http {
namespace {

using testing::ElementsAre;
using std::string_literals::operator""s;

constexpr ParserLimits kLimits{.head = 8 << 10, .fields = 100, .chunk = 1000};

/// Gives the text to the parser; it must be read up to the end of the head, or be refused.
template <class AnyParser>
Status read_head(AnyParser& parser, std::string_view text) {
  Buffer in;
  append(in, text);
  const Result<bool> advanced = parser.advance(in);
  if (!advanced) return fail(advanced.error());
  EXPECT_TRUE(parser.is_header_done()) << text;
  return {};
}

/// A head with these lines after the request line.
std::string post(const std::string& fields) {
  return "POST /a HTTP/1.1\r\nHost: b\r\n" + fields + "\r\n";
}

TEST(RequestHead, IsReadWithItsFields) {
  RequestParser parser(kLimits);
  ASSERT_TRUE(read_head(parser, post("Content-Length: 12\r\nX-Empty:\r\nX-B:  a b \t\r\n")));
  EXPECT_EQ(parser.message().method, "POST");
  EXPECT_EQ(parser.message().target, "/a");
  EXPECT_EQ(parser.message().headers.get("x-empty"), "");
  EXPECT_EQ(parser.message().headers.get("x-b"), "a b");
  EXPECT_EQ(parser.content_length().value_or(0), 12u);
  EXPECT_TRUE(parser.keep_alive());
}

TEST(RequestHead, InAbsoluteFormBecomesOriginForm) {
  RequestParser parser(kLimits);
  ASSERT_TRUE(read_head(parser, "GET http://b:1?x=1 HTTP/1.1\r\nHost: B:1\r\n\r\n"));
  EXPECT_EQ(parser.message().target, "/?x=1");
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
      post("X-A: b\r\n\tfolded\r\n"),
      post("X-A:\r\n folded\r\n"),
      post("X-A: b\n"),
      post("X-A: b\rX-B: c\r\n"),
      post("X-A: b\0c\r\n"s),
      post("X-A: b\x7f\r\n"),
      post("Host: c\r\n"),
      post("Content-Type: application/json\r\nContent-Type: text/plain\r\n"),
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
      "GET /a HTTP/1.32\r\nHost: b\r\n\r\n",
      "GET /a http/1.1\r\nHost: b\r\n\r\n",
      "GET /a HTTP/1.1 \r\nHost: b\r\n\r\n",
      "GET /a\r\n\r\n",
      "\r\n\r\n",
  };
  for (const std::string& head : heads) {
    RequestParser parser(kLimits);
    const Status read = read_head(parser, head);
    ASSERT_FALSE(read) << head;
    EXPECT_EQ(read.error().code, ErrorCode::bad_request) << head;
  }
}

TEST(RequestHead, HasALimitedNumberOfFields) {
  RequestParser parser({.head = 8 << 10, .fields = 2});
  EXPECT_TRUE(read_head(parser, post("X-A: 1\r\n")));
  RequestParser limited({.head = 8 << 10, .fields = 2});
  const Status read = read_head(limited, post("X-A: 1\r\nX-B: 2\r\n"));
  ASSERT_FALSE(read);
  EXPECT_EQ(read.error().code, ErrorCode::too_large);
}

// Beast counts from the first byte that it has not used yet.
TEST(RequestHead, HasALimitForAllOfItsParts) {
  RequestParser parser({.head = 200, .fields = 100});
  Buffer in;
  append(in, "GET / HTTP/1.1\r\nH");
  Result<bool> advanced = parser.advance(in);
  for (int i = 0; i < 50 && advanced; ++i) {
    append(in, "ost: b\r\nH");
    advanced = parser.advance(in);
  }
  ASSERT_FALSE(advanced);
  EXPECT_EQ(advanced.error().code, ErrorCode::too_large);
}

TEST(RequestHead, IsTheSameHoweverItIsSplit) {
  const std::string head = post("X-A: b\r\nContent-Length: 0\r\n");
  for (std::size_t split = 0; split <= head.size(); ++split) {
    RequestParser parser(kLimits);
    Buffer in;
    for (const std::string_view part :
         {std::string_view(head).substr(0, split), std::string_view(head).substr(split)}) {
      append(in, part);
      if (parser.is_done()) continue;
      EXPECT_TRUE(parser.advance(in)) << split;
    }
    EXPECT_TRUE(parser.is_done()) << split;
    EXPECT_EQ(parser.message().headers.fields.size(), 3u) << split;
  }
}

TEST(ReplyHead, SaysHowTheBodyEnds) {
  const auto end = [](const std::string& head, bool answers_head) -> std::string {
    ReplyParser parser(kLimits);
    parser.skip(answers_head);
    if (!read_head(parser, head)) return "refused";
    if (parser.is_done()) return "none";
    if (parser.chunked()) return "chunked";
    return parser.need_eof() ? "until close" : "length";
  };
  EXPECT_EQ(end("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false), "length");
  EXPECT_EQ(end("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true), "none");
  EXPECT_EQ(end("HTTP/1.1 200 \r\nTransfer-Encoding: Chunked\r\n\r\n", false), "chunked");
  EXPECT_EQ(end("HTTP/1.0 200 OK\r\n\r\n", false), "until close");
  EXPECT_EQ(end("HTTP/1.1 204 No Content\r\n\r\n", false), "none");
}

TEST(ReplyHead, IsRefusedWhenItIsBroken) {
  for (const std::string head :
       {"HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 2000 OK\r\n\r\n", "HTTP/1.1  200\r\n\r\n",
        "HTTP/1.1 099 OK\r\n\r\n", "hello\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"}) {
    ReplyParser parser(kLimits);
    EXPECT_FALSE(read_head(parser, head)) << head;
  }
}

TEST(HeadText, LeavesOutFieldsThatWouldBreakIt) {
  ResponseHead head{200, {}};
  head.headers.add("X-Good", "1");
  head.headers.add("X-Bad", "1\r\nX-Injected: 2");
  head.headers.add("X Bad", "1");
  head.headers.add("X-Bad,X-Bad", "1");
  head.headers.add("", "1");
  head.headers.add("X-Large", std::string(70'000, 'a'));
  EXPECT_EQ(response_head_text(head), "HTTP/1.1 200 OK\r\nX-Good: 1\r\n\r\n");
}

/// Reads a chunked body that arrives in parts; "!" stands for an error, "." for the clean end.
std::vector<std::string> decode(const std::vector<std::string>& parts) {
  ReplyParser parser(kLimits);
  Buffer in;
  std::vector<std::string> chunks;
  append(in, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  for (const std::string& part : parts) {
    append(in, part);
    while (true) {
      const Result<bool> advanced = parser.advance(in);
      if (std::optional<std::string> piece = parser.take_piece()) chunks.push_back(*piece);
      if (advanced && !*advanced) break;
      if (advanced && !parser.is_done()) continue;
      chunks.emplace_back(advanced ? "." : "!");
      return chunks;
    }
  }
  return chunks;
}

TEST(ChunkedBody, GivesTheSameChunksHoweverTheyAreSplit) {
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

TEST(ChunkedBody, DoesNotEndBeforeTheLastChunk) {
  EXPECT_THAT(decode({"1\r\na\r\n"}), ElementsAre("a"));
  EXPECT_THAT(decode({"1\r\na\r\n0\r\n"}), ElementsAre("a"));
  EXPECT_THAT(decode({"3\r\nab"}), ElementsAre());
}

TEST(ChunkedBody, RefusesBrokenFraming) {
  for (const std::string body :
       {"+1\r\na\r\n", "-1\r\na\r\n", "0x1\r\na\r\n", "1 \r\na\r\n", "1_0\r\na\r\n", "\r\na\r\n",
        "g\r\n", "1\na\r\n", "1\r\nab\r\n", "1\r\na\n", "1\r\na\rb", "ffffffffffffffff\r\n",
        "1;a\nb\r\n", "3e9\r\n"}) {
    EXPECT_THAT(decode({body}), ElementsAre("!")) << body;
  }
  EXPECT_THAT(decode({std::string(300, '0')}), ElementsAre("!"));
  EXPECT_THAT(decode({"0\r\n" + std::string(9000, 'a')}), ElementsAre("!"));
}

TEST(ChunkedBody, RefusesTrailersAboutFramingAndAboutWhoAsks) {
  for (const std::string trailer :
       {"Content-Length: 1", "transfer-encoding: chunked", "Host: b", "Authorization: Bearer a"}) {
    EXPECT_THAT(decode({"1\r\na\r\n0\r\n" + trailer + "\r\n\r\n"}), ElementsAre("a", "!"))
        << trailer;
  }
}

}  // namespace
}  // namespace berth::http
