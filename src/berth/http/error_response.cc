// SPDX-License-Identifier: Apache-2.0
#include <boost/json.hpp>

#include "berth/http/server.h"

namespace berth::http {

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
  boost::json::object details;
  details["code"] = std::string(name(error.code));
  details["message"] = error.message;
  details["type"] = std::string(error_type(error.code));
  boost::json::object envelope;
  envelope["error"] = std::move(details);
  response.body = boost::json::serialize(envelope);
  return response;
}

}  // namespace berth::http
