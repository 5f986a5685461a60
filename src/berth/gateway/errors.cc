// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/errors.h"

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/base/plain_text.h"
#include "berth/http/server.h"

namespace berth::gateway {
namespace {

/// Of an error that cannot be understood. Units: bytes.
constexpr std::size_t kQuotedMax = 200;

std::string responses_event(const Error& error) {
  boost::json::object event;
  event["type"] = "error";
  event["code"] = std::string(name(error.code));
  event["message"] = error.message;
  event["param"] = nullptr;
  return boost::json::serialize(event);
}

}  // namespace

http::Response error_reply(ErrorForm form, const Error& error,
                           std::optional<std::int64_t> retry_after_seconds) {
  http::Response reply = http::error_response(error, retry_after_seconds);
  if (form == ErrorForm::anthropic) reply.body.insert(1, R"("type":"error",)");
  return reply;
}

std::string late_error_event(ErrorForm form, const std::string& body) {
  boost::system::error_code broken;
  const boost::json::value value = boost::json::parse(body, broken);
  if (broken || !value.is_object()) {
    const std::string quoted = plain_text(body, kQuotedMax);
    return error_event(
        form, {ErrorCode::upstream, fmt::format("the server answered with an error: {}", quoted)});
  }
  // Written anew: an event's data is one line.
  const std::string_view kind = form == ErrorForm::openai ? "" : "event: error\n";
  return fmt::format("{}data: {}\n\n", kind, boost::json::serialize(value));
}

std::string error_event(ErrorForm form, const Error& error) {
  switch (form) {
    case ErrorForm::openai:
      return fmt::format("data: {}\n\n", error_reply(form, error).body);
    case ErrorForm::anthropic:
      return fmt::format("event: error\ndata: {}\n\n", error_reply(form, error).body);
    case ErrorForm::responses:
      return fmt::format("event: error\ndata: {}\n\n", responses_event(error));
  }
  return "";
}

}  // namespace berth::gateway
