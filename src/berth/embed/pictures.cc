// SPDX-License-Identifier: Apache-2.0
#include "berth/embed/pictures.h"

#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/base/base64.h"

namespace berth::embed {
namespace {

namespace json = boost::json;

http::Request request_for(std::string method, std::string target) {
  http::Request request;
  request.method = std::move(method);
  request.target = std::move(target);
  return request;
}

http::Request wish_for(const std::string& server, const ImageRequest& request) {
  json::object body{{"prompt", request.prompt},
                    {"width", request.width},
                    {"height", request.height},
                    {"count", request.count}};
  if (!request.negative_prompt.empty()) body["negativePrompt"] = request.negative_prompt;
  if (request.steps) body["steps"] = *request.steps;
  if (request.cfg_scale) body["cfgScale"] = *request.cfg_scale;
  if (request.seed) body["seed"] = *request.seed;
  if (!request.sampler.empty()) body["sampler"] = request.sampler;
  http::Request ask = request_for("POST", fmt::format("/api/v1/servers/{}/images", server));
  ask.headers.set("Content-Type", "application/json");
  ask.body = json::serialize(body);
  return ask;
}

/// Berth's replies are objects; a member that is missing reads as null.
json::value parsed(const std::string& text) {
  boost::system::error_code broken;
  json::value value = json::parse(text, broken);
  return !broken && value.is_object() ? value : json::value(json::object());
}

json::value member(const json::value& object, std::string_view name) {
  const json::value* found = object.is_object() ? object.get_object().if_contains(name) : nullptr;
  return found != nullptr ? *found : json::value(nullptr);
}

std::int64_t number(const json::value& object, std::string_view name) {
  const json::value value = member(object, name);
  return value.is_number() ? value.to_number<std::int64_t>() : 0;
}

std::string text(const json::value& object, std::string_view name) {
  const json::value value = member(object, name);
  return value.is_string() ? std::string(value.get_string()) : "";
}

void tell(const OnProgress& on_progress, const std::string& data) {
  const json::value progress = parsed(data);
  const std::string stage = text(progress, "stage");
  on_progress(static_cast<int>(number(progress, "currentStep")),
              static_cast<int>(number(progress, "totalSteps")),
              stage == "loading"    ? ImageStage::loading
              : stage == "decoding" ? ImageStage::decoding
                                    : ImageStage::diffusion,
              static_cast<double>(number(progress, "percentage")));
}

Result<std::vector<ImageResult>> pictures_in(const json::value& state) {
  const json::value result = member(state, "result");
  const json::value images = member(result, "images");
  std::vector<ImageResult> out;
  for (std::size_t i = 0; images.is_array() && i < images.get_array().size(); ++i) {
    const json::value& each = images.get_array()[i];
    Result<std::string> image = decode_base64(text(each, "image"));
    if (!image) return fail(image.error());
    out.push_back({.image = std::move(*image),
                   .format = text(result, "format"),
                   .width = static_cast<int>(number(each, "width")),
                   .height = static_cast<int>(number(each, "height")),
                   .seed = number(each, "seed"),
                   .time_taken = std::chrono::milliseconds(number(result, "timeTaken"))});
  }
  if (!out.empty()) return out;
  return fail(ErrorCode::upstream, "the reply of the image server has no picture");
}

Result<std::vector<ImageResult>> outcome_in(const std::string& reply) {
  const json::value state = parsed(reply);
  const std::string status = text(state, "status");
  if (status == "complete") return pictures_in(state);
  if (status == "cancelled") return fail(ErrorCode::cancelled, "the picture was given up");
  if (status == "error") return fail(client::read_error(200, reply));
  return fail(ErrorCode::server_gone, "Berth went away before the picture was there");
}

}  // namespace

/// Tells the progress until the picture is over, and returns how it ended. The stream says when
/// that is; the state has it all, however large it is.
Task<Result<std::string>> Pictures::follow(client::Client* berth, std::string id,
                                           const OnProgress* on_progress) {
  const std::string target = "/api/v1/images/" + id;
  http::Request events = request_for("GET", target + "/events");
  const auto call = co_await berth->open(std::move(events));
  if (!call) co_return fail(call.error());
  const Result<http::ResponseHead> head = co_await (*call)->head();
  client::SseReader reader;
  for (bool is_over = !head; !is_over;) {
    const Result<std::optional<std::string>> piece = co_await (*call)->read();
    is_over = !piece || !*piece;
    if (is_over) break;
    for (const client::SseEvent& event : reader.feed(**piece)) {
      if (event.type != "progress") is_over = true;
      if (event.type == "progress" && *on_progress) tell(*on_progress, event.data);
    }
  }
  http::Request state = request_for("GET", target);
  Result<std::string> reply = co_await berth->ask(std::move(state));
  co_return reply;
}

Result<std::vector<ImageResult>> Pictures::draw(const std::string& server,
                                                const ImageRequest& request) {
  const Question<std::string> submit = [&](client::Client* berth) {
    return berth->ask(wish_for(server, request));
  };
  const Result<std::string> taken = runtime_->ask(submit);
  if (!taken) return fail(taken.error());
  const std::string id = text(parsed(*taken), "id");
  {
    const std::lock_guard lock(mutex_);
    ids_.insert(id);
  }
  const Question<std::string> question = [&](client::Client* berth) {
    return follow(berth, id, &request.on_progress);
  };
  const Result<std::string> reply = runtime_->ask(question);
  {
    const std::lock_guard lock(mutex_);
    ids_.erase(id);
  }
  return reply ? outcome_in(*reply) : fail(reply.error());
}

Status Pictures::cancel() {
  std::set<std::string> ids;
  {
    const std::lock_guard lock(mutex_);
    ids = ids_;
  }
  if (ids.empty())
    return fail(ErrorCode::not_found, "no picture that this handle has asked for is under way");
  for (const std::string& id : ids) {
    const Question<std::string> question = [&](client::Client* berth) {
      return berth->ask(request_for("DELETE", fmt::format("/api/v1/images/{}?wait=0", id)));
    };
    const Result<std::string> cancelled = runtime_->ask(question);
    // One that has just ended need not be given up.
    if (!cancelled && cancelled.error().code != ErrorCode::conflict) return fail(cancelled.error());
  }
  return {};
}

}  // namespace berth::embed
