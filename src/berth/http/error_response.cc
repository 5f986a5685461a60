// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <boost/json.hpp>

#include "berth/http/server.h"

namespace berth::http {
namespace {

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
  response.body = body_of(error, error.message);
  boost::system::error_code broken;
  boost::json::parse(response.body, broken);
  if (!broken) return response;
  std::string plain = error.message;  // it repeats what a client sent, which is no UTF-8
  std::replace_if(
      plain.begin(), plain.end(), [](char sign) { return static_cast<unsigned char>(sign) > 127; },
      '?');
  response.body = body_of(error, plain);
  return response;
}

}  // namespace berth::http
