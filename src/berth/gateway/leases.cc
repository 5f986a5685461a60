// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/leases.h"

#include <memory>
#include <string>
#include <utility>

#include <boost/json.hpp>

#include "berth/gateway/errors.h"
#include "berth/gateway/jobs.h"
#include "berth/gateway/lease_wish.h"

namespace berth::gateway {
namespace {

namespace json = boost::json;

std::string line_of(std::string_view state, JobId job, json::object more) {
  json::object object{{"state", state}, {"job", job.value}};
  for (auto& member : more)
    object[member.key()] = std::move(member.value());
  return json::serialize(object) + "\n";
}

std::string error_line(std::string_view state, JobId job, const Error& error) {
  return line_of(state, job,
                 {{"error", json::object{{"code", name(error.code)}, {"message", error.message}}}});
}

std::string granted_line(const host::Job& job) {
  json::object environment;
  for (const auto& [name, value] : job.environment())
    environment[name] = value;
  return line_of("granted", job.id(), {{"environment", std::move(environment)}});
}

Task<void> refuse(Call call, Error error, std::optional<std::int64_t> retry_after) {
  http::Response reply = error_reply(ErrorForm::openai, error, retry_after);
  static_cast<void>(co_await call.exchange.respond(std::move(reply)));
}

Task<Status> begin(Call call, JobId job) {
  http::ResponseHead head;
  head.headers.set("Content-Type", "application/x-ndjson");
  head.headers.set("Cache-Control", "no-store");
  head.headers.set("X-Berth-Job", std::to_string(job.value));
  Status sent = co_await call.exchange.begin(std::move(head));
  co_return sent;
}

/// Writes the last line of the stream. A client that left needs none.
Task<void> finish(Call call, std::string line) {
  static_cast<void>(co_await call.exchange.write(std::move(line)));
  static_cast<void>(co_await call.exchange.finish());
}

/// From the grant to the end: the client leaves, or it is revoked.
Task<void> keep(Call call, std::shared_ptr<host::Job> job) {
  const Status told = co_await call.exchange.write(granted_line(*job));
  std::vector<Event*> ends;
  ends.push_back(&job->cut());
  ends.push_back(&call.exchange.client_gone());
  std::optional<std::size_t> which = 1;
  if (told) which = co_await wait_any(std::move(ends));
  if (which == 0) {
    co_await finish(call, error_line("revoked", job->id(), job->why_cut()));
  } else {
    job->ended(core::JobEnd::done);
  }
}

}  // namespace

Task<void> serve_lease(Call call) {
  const config::Config& config = call.host().config();
  const http::Request& request = call.exchange.request();
  Result<host::JobRequest> wish = call.route().act == Act::lease
                                      ? lease_wish(config, request.body, client_of(request))
                                      : hold_wish(config, request.body, client_of(request));
  const auto hold = hold_of(call);
  if (!wish || !hold) {
    co_await refuse(call, wish ? hold.error() : wish.error(), std::nullopt);
    co_return;
  }
  wish->hold = *hold;
  const std::shared_ptr<host::Job> job = call.host().submit(std::move(*wish));
  const bool waits = !job->answered().is_set();
  Status sent;
  if (waits) sent = co_await begin(call, job->id());
  if (waits && sent) sent = co_await call.exchange.write(line_of("waiting", job->id(), {}));
  const Status granted = co_await job->granted(call.exchange.client_gone());
  if (!granted && !waits) {
    co_await refuse(call, granted.error(), job->retry_after_seconds());
    co_return;
  }
  if (!granted) {
    co_await finish(call, error_line("refused", job->id(), granted.error()));
    co_return;
  }
  if (!waits) sent = co_await begin(call, job->id());
  co_await keep(call, job);
}

}  // namespace berth::gateway
