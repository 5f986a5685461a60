// SPDX-License-Identifier: Apache-2.0
#include "berth/http/message.h"

#include <string>

#include <gtest/gtest.h>

#include "berth/http/server.h"

namespace berth::http {
namespace {

TEST(Headers, AreFoundInAnyCase) {
  Headers headers;
  headers.add("X-Berth-Job", "7");
  headers.add("x-berth-job", "8");
  EXPECT_EQ(headers.get("X-BERTH-JOB"), "7");
  EXPECT_EQ(headers.count("x-Berth-Job"), 2u);
  headers.set("X-berth-job", "9");
  EXPECT_EQ(headers.count("x-berth-job"), 1u);
  headers.remove("x-BERTH-job");
  EXPECT_FALSE(headers.contains("X-Berth-Job"));
}

TEST(Headers, OfOneHopAreRemovedTogetherWithThoseThatConnectionNames) {
  Headers headers;
  headers.add("Connection", "close, X-Private");
  headers.add("x-private", "1");
  headers.add("Keep-Alive", "timeout=5");
  headers.add("Transfer-Encoding", "chunked");
  headers.add("Content-Type", "text/plain");
  remove_hop_by_hop(headers);
  ASSERT_EQ(headers.fields.size(), 1u);
  EXPECT_EQ(headers.fields[0].name, "Content-Type");
}

TEST(Headers, KeepContentLengthEvenIfConnectionNamesIt) {
  Headers headers;
  headers.add("Connection", "Content-Length");
  headers.add("Content-Length", "3");
  remove_hop_by_hop(headers);
  EXPECT_EQ(headers.get("Content-Length"), "3");
}

TEST(Request, DecodesItsPathAndQuery) {
  Request request;
  request.target = "/v1/models%2fa+b?name=a%20b+c&limit=3&flag&broken=%4";
  EXPECT_EQ(request.path(), "/v1/models/a+b");
  EXPECT_EQ(request.query("name"), "a b c");
  EXPECT_EQ(request.query("limit"), "3");
  EXPECT_EQ(request.query("flag"), "");
  EXPECT_EQ(request.query("broken"), "%4");
  EXPECT_EQ(request.query("other"), std::nullopt);
}

TEST(Request, WithoutAQueryHasNoParameters) {
  Request request;
  request.target = "/health";
  EXPECT_EQ(request.path(), "/health");
  EXPECT_EQ(request.query("name"), std::nullopt);
}

TEST(Endpoint, ReadsWhatItWrites) {
  for (const std::string text : {"127.0.0.1:8080", "[::1]:80", "localhost:0", "unix:/run/a.sock"}) {
    const Result<Endpoint> endpoint = Endpoint::parse(text);
    ASSERT_TRUE(endpoint) << text;
    EXPECT_EQ(to_text(*endpoint), text);
  }
  EXPECT_TRUE(Endpoint::parse("unix:/run/a.sock")->is_unix());
  EXPECT_EQ(Endpoint::parse("[::1]:80")->host, "::1");
}

TEST(Endpoint, RefusesOtherTexts) {
  for (const std::string text :
       {"", "8080", ":8080", "host:", "host:x", "host:65536", "::1:80", "unix:", "unix:relative"}) {
    EXPECT_FALSE(Endpoint::parse(text)) << text;
  }
}

TEST(ErrorResponse, IsTheEnvelopeOfOpenAi) {
  const Response response = error_response({ErrorCode::queue_full, "3 \"jobs\" wait"}, 20);
  EXPECT_EQ(response.status, 429);
  EXPECT_EQ(response.headers.get("Content-Type"), "application/json");
  EXPECT_EQ(response.headers.get("Retry-After"), "20");
  EXPECT_EQ(
      response.body,
      R"({"error":{"code":"queue_full","message":"3 \"jobs\" wait","type":"unavailable_error"}})");
}

TEST(ErrorResponse, IsJsonAlsoIfItRepeatsWhatIsNoUtf8) {
  const Response response = error_response({ErrorCode::not_found, "no \"\xff\" near \u00e4"});
  EXPECT_EQ(response.body,
            "{\"error\":{\"code\":\"not_found\",\"message\":\"no \\\"?\\\" near \u00e4\","
            "\"type\":\"invalid_request_error\"}}");
}

TEST(ErrorResponse, DoesNotRepeatALongTextOfAClient) {
  const Response response = error_response({ErrorCode::not_found, std::string(1 << 20, 'x')});
  EXPECT_LT(response.body.size(), 5000U);
  EXPECT_NE(response.body.find("xxx...\","), std::string::npos);
}

TEST(ErrorResponse, SortsErrorsIntoThreeTypes) {
  EXPECT_EQ(error_type(ErrorCode::bad_request), "invalid_request_error");
  EXPECT_EQ(error_type(ErrorCode::does_not_fit), "invalid_request_error");
  EXPECT_EQ(error_type(ErrorCode::displaced), "unavailable_error");
  EXPECT_EQ(error_type(ErrorCode::server_gone), "server_error");
}

}  // namespace
}  // namespace berth::http
