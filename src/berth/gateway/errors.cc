// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/errors.h"

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/http/server.h"

namespace berth::gateway {
namespace {

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
