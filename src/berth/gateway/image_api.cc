// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/image_api.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/base/base64.h"
#include "berth/gateway/control.h"
#include "berth/gateway/errors.h"
#include "berth/gateway/image_wish.h"
#include "berth/gateway/jobs.h"
#include "berth/gateway/models.h"
#include "berth/gateway/reads.h"
#include "berth/host/image_jobs.h"

namespace berth::gateway {
namespace {

namespace json = boost::json;
using host::ImageJob;
using host::ImageJobPtr;
using host::ImageStatus;

json::object progress_json(const host::ImageProgress& progress) {
  return {{"currentStep", progress.step},   {"totalSteps", progress.steps},
          {"stage", progress.stage},        {"percentage", progress.percentage},
          {"currentImage", progress.image}, {"totalImages", progress.images}};
}

Result<json::object> result_json(const host::ImageJobs& images, const ImageJob& job) {
  json::array list;
  json::array gone;
  std::optional<Error> why;
  for (const host::KeptPicture& each : job.pictures) {
    const auto bytes = images.read(job, each);
    if (!bytes) {
      why = bytes.error();
      gone.push_back(each.seed);
      continue;
    }
    list.push_back(json::object{{"image", encode_base64(*bytes)},
                                {"seed", each.seed},
                                {"width", each.width},
                                {"height", each.height}});
  }
  if (list.empty() && why) return fail(*why);
  json::object result{
      {"images", std::move(list)}, {"format", "png"}, {"timeTaken", milliseconds(job.time_taken)}};
  if (!gone.empty()) result["gone"] = std::move(gone);
  return result;
}

/// Returns how the job stands. Errors: interrupted and expired, with the reason.
Result<std::string> state_json(const host::ImageJobs& images, const ImageJob& job) {
  if (job.status == ImageStatus::interrupted || job.status == ImageStatus::expired) {
    return fail(*job.error);
  }
  json::object object{{"id", job.id},
                      {"status", host::name(job.status)},
                      {"server", job.server},
                      {"createdAt", job.created.unix_ms},
                      {"updatedAt", job.updated.unix_ms}};
  if (job.progress) object["progress"] = progress_json(*job.progress);
  if (job.status == ImageStatus::complete) {
    auto result = result_json(images, job);
    if (!result) return fail(result.error());
    object["result"] = std::move(*result);
  }
  if (job.status == ImageStatus::error) {
    object["error"] =
        json::object{{"message", job.error->message}, {"code", name(job.error->code)}};
  }
  return json::serialize(object);
}

Task<void> send(Call call, http::Response reply) {
  // A client that left needs no answer.
  static_cast<void>(co_await call.exchange.respond(std::move(reply)));
}

Task<void> refuse(Call call, Error error, std::optional<std::int64_t> retry_after) {
  http::Response reply = error_reply(ErrorForm::openai, error, retry_after);
  co_await send(call, std::move(reply));
}

Result<ServerId> image_server(const Call& call) {
  const config::Config& config = call.host().config();
  const Result<ServerId> server =
      call.fixed ? Result<ServerId>(*call.fixed) : server_named(config, call.match.name);
  if (!server || kind_of(config.servers.at(server->value)) == Serves::image) return server;
  return fail(ErrorCode::bad_request,
              fmt::format("server \"{}\" draws no pictures; name an image server",
                          config.servers.at(server->value).name));
}

Result<host::JobRequest> request_for(const Call& call, const host::ImageWish& wish) {
  const auto server = image_server(call);
  if (!server) return fail(server.error());
  const auto parent = parent_of(call.exchange.request());
  if (!parent) return fail(parent.error());
  const auto hold = hold_of(call);
  if (!hold) return fail(hold.error());
  host::JobRequest request;
  request.server = *server;
  request.job_class = call.host().config().core.servers.at(server->value).job_class;
  request.client = client_of(call.exchange.request());
  request.parent = *parent;
  request.hold = *hold;
  request.kept_alive = true;  // nobody's connection waits for it
  request.shape = shape_of(wish);
  return request;
}

http::Response accepted(const ImageJob& job) {
  const json::object object{{"id", job.id},
                            {"status", host::name(ImageStatus::pending)},
                            {"createdAt", job.created.unix_ms}};
  return json_reply(json::serialize(object), 201);
}

Task<void> take_on(Call call, host::ImageWish wish, host::JobRequest request) {
  std::unique_ptr<host::Job> job = call.host().submit(request);
  if (job->answered().is_set()) {
    Event never;
    const Status granted = co_await job->granted(never);
    if (!granted) {
      co_await refuse(call, granted.error(), job->retry_after_seconds());
      co_return;
    }
  }
  const auto taken =
      co_await call.host().images().submit(std::move(wish), std::move(request), std::move(job));
  if (!taken) {
    co_await refuse(call, taken.error(), std::nullopt);
    co_return;
  }
  http::Response reply = accepted(**taken);
  co_await send(call, std::move(reply));
}

Task<void> tell(Call call, ImageJobPtr job) {
  auto state = state_json(call.host().images(), *job);
  http::Response reply =
      state ? json_reply(std::move(*state)) : error_reply(ErrorForm::openai, state.error());
  co_await send(call, std::move(reply));
}

/// Errors: interrupted and expired, as GET answers them.
Status has_pictures_or_may(const host::ImageJobs& images, const ImageJob& job) {
  if (job.status == ImageStatus::interrupted || job.status == ImageStatus::expired) {
    return fail(*job.error);
  }
  return job.status == ImageStatus::complete ? images.is_served(job) : Status{};
}

/// Waits for the end of a picture that is drawn, unless the client says `wait=0` or leaves.
Task<void> cancel(Call call, ImageJobPtr job) {
  const auto wait = number_in(call.exchange.request(), "wait", 1, 1);
  const Status known = wait ? has_pictures_or_may(call.host().images(), *job) : fail(wait.error());
  if (!known) {
    co_await refuse(call, known.error(), std::nullopt);
    co_return;
  }
  Event at_once;
  at_once.set();
  Event& gone = *wait == 1 ? call.exchange.client_gone() : at_once;
  const Status cancelled = co_await call.host().images().cancel(job, gone);
  if (!cancelled) {
    co_await refuse(call, cancelled.error(), std::nullopt);
    co_return;
  }
  const json::object object{{"id", job->id}, {"status", host::name(job->status)}};
  const int status = job->status == ImageStatus::cancelled ? 200 : 202;
  http::Response reply = json_reply(json::serialize(object), status);
  co_await send(call, std::move(reply));
}

std::string progress_event(const host::ImageProgress& progress) {
  return fmt::format("event: progress\ndata: {}\n\n", json::serialize(progress_json(progress)));
}

std::string last_event(const host::ImageJobs& images, const ImageJob& job) {
  const auto state = state_json(images, job);
  if (state) return fmt::format("event: {}\ndata: {}\n\n", host::name(job.status), *state);
  return fmt::format("event: error\ndata: {}\n\n",
                     error_reply(ErrorForm::openai, state.error()).body);
}

/// Sends each change of its progress until it is over or the client leaves.
Task<void> stream_events(Call call, ImageJobPtr job) {
  http::ResponseHead head;
  head.headers.set("Content-Type", "text/event-stream");
  head.headers.set("Cache-Control", "no-store");
  Status sent = co_await call.exchange.begin(std::move(head));
  if (call.exchange.request().method == "HEAD") {
    static_cast<void>(co_await call.exchange.finish());
    co_return;
  }
  std::optional<host::ImageProgress> told;
  while (sent && !host::is_over(job->status) && !call.exchange.client_gone().is_set()) {
    if (job->progress && job->progress != told) {
      told = job->progress;
      sent = co_await call.exchange.write(progress_event(*told));
      continue;  // it may have changed meanwhile
    }
    std::vector<Event*> events = {&job->changed, &call.exchange.client_gone()};
    co_await wait_any(std::move(events));
  }
  if (!sent || !host::is_over(job->status)) co_return;
  std::string last = last_event(call.host().images(), *job);
  sent = co_await call.exchange.write(std::move(last));
  if (sent) static_cast<void>(co_await call.exchange.finish());
}

}  // namespace

Task<void> serve_draw(Call call) {
  const std::string& body = call.exchange.request().body;
  if (call.fixed && is_openai_picture(body)) {
    co_await serve_job(call);
    co_return;
  }
  auto wish = image_wish(body);
  if (!wish) {
    co_await refuse(call, wish.error(), std::nullopt);
    co_return;
  }
  auto request = request_for(call, *wish);
  if (!request) {
    co_await refuse(call, request.error(), std::nullopt);
    co_return;
  }
  co_await take_on(call, std::move(*wish), std::move(*request));
}

Task<void> serve_image_job(Call call) {
  const auto job = call.host().images().find(call.match.name);
  if (!job) {
    co_await refuse(call, job.error(), std::nullopt);
    co_return;
  }
  if (call.route().act == Act::image_job) co_await tell(call, *job);
  if (call.route().act == Act::cancel_image) co_await cancel(call, *job);
  if (call.route().act == Act::image_events) co_await stream_events(call, *job);
}

}  // namespace berth::gateway
