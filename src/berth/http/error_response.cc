// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <boost/json.hpp>

#include "berth/base/plain_text.h"
#include "berth/http/server.h"

namespace berth::http {
namespace {

/// Room for what Berth says, and for what it repeats of a client's text. Units: bytes.
constexpr std::size_t kMessageMax = 4096;

std::string shown_of(const std::string& message) {
  return message.size() <= kMessageMax ? message : plain_text(message, kMessageMax) + "...";
}

std::string body_of(const Error& error, std::string_view message) {
  boost::json::object details;
  details["code"] = std::string(name(error.code));
  details["message"] = message;
  details["type"] = std::string(error_type(error.code));
  boost::json::object envelope;
  envelope["error"] = std::move(details);
  return boost::json::serialize(envelope);
}

}  // namespace

std::string_view error_type(ErrorCode code) {
  const int status = http_status(code);
  if (status == 429 || status == 503) return "unavailable_error";
  return status >= 500 ? "server_error" : "invalid_request_error";
}

Response error_response(const Error& error, std::optional<std::int64_t> retry_after_seconds) {
  Response response;
  response.status = http_status(error.code);
  response.headers.set("Content-Type", "application/json");
  if (retry_after_seconds) {
    response.headers.set("Retry-After", std::to_string(*retry_after_seconds));
  }
  const std::string shown = shown_of(error.message);
  response.body = body_of(error, shown);
  boost::system::error_code broken;
  boost::json::parse(response.body, broken);
  if (broken) response.body = body_of(error, plain_text(shown));
  return response;
}

}  // namespace berth::http
