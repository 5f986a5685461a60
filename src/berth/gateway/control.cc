// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/control.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <unistd.h>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/client/replies.h"
#include "berth/core/plan_report.h"
#include "berth/gateway/errors.h"
#include "berth/gateway/models.h"
#include "berth/gateway/plan_wish.h"
#include "berth/gateway/questions.h"
#include "berth/gateway/reads.h"
#include "berth/gateway/status_json.h"
#include "berth/plan/report_json.h"
#include "berth/plan/sources.h"

namespace berth::gateway {
namespace {

using What = core::UserAsked::What;

constexpr std::int64_t kRecordsDefault = 20;
constexpr std::int64_t kRecordsMax = 10'000;
constexpr std::int64_t kLinesDefault = 100;
constexpr std::int64_t kLinesMax = 10'000;

/// Errors: bad_request if the text is not a number from 0 to `max`.
Result<std::int64_t> number(std::string_view name, std::string_view text, std::int64_t max) {
  std::int64_t number = 0;
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  if (parsed.ec == std::errc() && parsed.ptr == end && number >= 0 && number <= max) return number;
  return fail(ErrorCode::bad_request,
              fmt::format("{}={} is not a number from 0 to {}", name, text, max));
}

}  // namespace

Result<std::int64_t> number_in(const http::Request& request, std::string_view name,
                               std::int64_t otherwise, std::int64_t max) {
  const std::optional<std::string> text = request.query(name);
  return text ? number(name, *text, max) : otherwise;
}

namespace {

http::Response refusal(const Error& error) {
  return error_reply(ErrorForm::openai, error);
}

http::Response explain(const Call& call) {
  const Result<std::int64_t> limit =
      number_in(call.exchange.request(), "limit", kRecordsDefault, kRecordsMax);
  if (!limit) return refusal(limit.error());
  std::vector<const host::Record*> decisions;
  for (const host::Record& record : call.host().records()) {
    if (record.kind == "decision") decisions.push_back(&record);
  }
  const std::size_t count = std::min(decisions.size(), static_cast<std::size_t>(*limit));
  std::string body = R"({"records":[)";
  for (std::size_t i = decisions.size() - count; i < decisions.size(); ++i) {
    if (!body.ends_with('[')) body += ',';
    body += decisions[i]->json;
  }
  return json_reply(body + R"(],"waiting":)" + waiting_json(call.host().waiting()) + "}");
}

http::Response waits(const Call& call) {
  const Result<std::int64_t> limit =
      number_in(call.exchange.request(), "limit", kRecordsDefault, kRecordsMax);
  if (!limit) return refusal(limit.error());
  return json_reply(waits_json(call.host().past_waits(), static_cast<std::size_t>(*limit)));
}

http::Response logs(const Call& call, ServerId server) {
  const Result<std::int64_t> lines =
      number_in(call.exchange.request(), "lines", kLinesDefault, kLinesMax);
  if (!lines) return refusal(lines.error());
  boost::json::array texts;
  for (const std::string& line : call.host().log_tail(server, static_cast<int>(*lines))) {
    texts.emplace_back(line);
  }
  boost::json::object object;
  object["server"] = call.match.name;
  object["lines"] = std::move(texts);
  return json_reply(boost::json::serialize(object));
}

http::Response server_reply(const Call& call, ServerId server, int status) {
  return json_reply(server_json(*call.context, call.host().status(), server), status);
}

Task<void> send(http::Exchange& exchange, http::Response reply) {
  // A client that left needs no answer.
  static_cast<void>(co_await exchange.respond(std::move(reply)));
}

Task<void> serve_status(Call call) {
  co_await call.host().refresh();
  http::Response reply = json_reply(status_json(*call.context, call.host().status()));
  co_await send(call.exchange, std::move(reply));
}

Task<void> serve_models(Call call) {
  std::optional<std::string> id;
  if (call.route().act == Act::show_model) id = call.exchange.request().query("id").value_or("");
  const Result<std::string> text = co_await call.host().models(std::move(id));
  http::Response reply = text ? json_reply(*text) : refusal(text.error());
  co_await send(call.exchange, std::move(reply));
}

/// Of the servers that there are, in the memory as it is now.
/// A question without a body is about what is there.
Task<void> serve_plan(Call call) {
  const http::Request& request = call.exchange.request();
  const auto options = request.method == "POST" ? plan_wish(request.body) : plan::Options{};
  if (!options) {
    co_await send(call.exchange, refusal(options.error()));
    co_return;
  }
  co_await call.host().refresh();
  const auto at_hand = [&call]() -> Result<core::PlanQuestion> {
    const auto status = client::read_status(status_json(*call.context, call.host().status()));
    if (!status) return fail(status.error());
    return plan::plan_of_daemon(*status, call.host().config()).question;
  };
  const auto question = plan::question_of(*options, at_hand);
  http::Response reply = question
                             ? json_reply(plan::report_json(*question, core::report_on(*question)))
                             : refusal(question.error());
  co_await send(call.exchange, std::move(reply));
}

Task<void> serve_leases(Call call) {
  co_await call.host().refresh();
  http::Response reply = json_reply(leases_json(call.host().status()));
  co_await send(call.exchange, std::move(reply));
}

/// Returns once no crash undoes what was asked and, if `waits`, once it is so.
Task<Status> wish_done(Call* call, What what, ServerId server, bool waits) {
  Status done;
  const bool is_stored = what != What::pin && what != What::unpin;
  if (is_stored) done = co_await call->host().wish_stored(server);
  if (!waits) co_return done;
  const Status settled = co_await call->host().settled(server);
  if (!settled) co_return settled;
  if (what == What::start && call->host().state().server(server).wanted == core::Wanted::off) {
    co_return fail(ErrorCode::stopped_by_user,
                   fmt::format("server \"{}\" was stopped by somebody else meanwhile",
                               call->host().config().servers.at(server.value).name));
  }
  co_return done;
}

/// Starts or stops a server and waits until it is so, unless the client says `wait=0`; what else is
/// asked of it is answered once it is stored.
Task<void> serve_wish(Call call, What what, ServerId server) {
  const Result<std::int64_t> wait = number_in(call.exchange.request(), "wait", 1, 1);
  if (!wait) {
    co_await send(call.exchange, refusal(wait.error()));
    co_return;
  }
  call.host().user_asked(what, server);
  const bool moves = what == What::start || what == What::stop;
  const bool waits = *wait == 1 && moves;
  const Status done = co_await wish_done(&call, what, server, waits);
  http::Response reply =
      done ? server_reply(call, server, moves && !waits ? 202 : 200) : refusal(done.error());
  co_await send(call.exchange, std::move(reply));
}

Task<void> serve_shut_down(Call call) {
  if (!call.context->on_shut_down) {
    const Error error{
        ErrorCode::conflict,
        fmt::format("this Berth is a part of the program with pid {}; end that", getpid())};
    co_await send(call.exchange, refusal(error));
    co_return;
  }
  http::Response reply =
      json_reply(fmt::format(R"({{"status":"shutting_down","pid":{}}})", getpid()), 202);
  co_await send(call.exchange, std::move(reply));
  call.context->on_shut_down();
}

std::string event_text(const host::Record& record) {
  return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", record.number, record.kind, record.json);
}

/// Returns the number after which the client wants records: what it has seen, else the newest. A
/// number that this run has not reached comes from an earlier run: then everything is new.
Result<std::uint64_t> first_wanted(const Call& call) {
  const auto& records = call.host().records();
  const std::uint64_t newest = records.empty() ? 0 : records.back().number;
  const http::Request& request = call.exchange.request();
  const std::optional<std::string_view> seen = request.headers.get("Last-Event-ID");
  const Result<std::int64_t> after =
      seen && !request.query("after")
          ? number("Last-Event-ID", *seen, INT64_MAX)
          : number_in(request, "after", static_cast<std::int64_t>(newest), INT64_MAX);
  if (!after) return fail(after.error());
  const auto number = static_cast<std::uint64_t>(*after);
  return number > newest ? 0 : number;
}

/// While it lives, the stream is known as one that only its client ends.
class Endless {
 public:
  explicit Endless(Call& call) : call_(call) { call_.context->endless.insert(&call_.exchange); }
  ~Endless() { call_.context->endless.erase(&call_.exchange); }
  Endless(const Endless&) = delete;
  Endless& operator=(const Endless&) = delete;

 private:
  Call& call_;
};

/// Sends records as they come, until the client leaves.
Task<void> serve_events(Call call) {
  const Result<std::uint64_t> wanted = first_wanted(call);
  if (!wanted) {
    co_await send(call.exchange, refusal(wanted.error()));
    co_return;
  }
  http::ResponseHead head;
  head.headers.set("Content-Type", "text/event-stream");
  head.headers.set("Cache-Control", "no-store");
  Status sent = co_await call.exchange.begin(std::move(head));
  if (call.exchange.request().method == "HEAD") {
    static_cast<void>(co_await call.exchange.finish());
    co_return;
  }
  const Endless known(call);
  std::uint64_t number = *wanted;
  Event& gone = call.exchange.client_gone();
  while (sent && !gone.is_set()) {
    const std::vector<host::Record> records = co_await call.host().records_after(number, gone);
    std::string text;
    for (const host::Record& record : records) {
      text += event_text(record);
      number = record.number;
    }
    sent = co_await call.exchange.write(std::move(text));
  }
}

http::Response tell(const Call& call, ServerId server) {
  if (call.route().act == Act::logs) return logs(call, server);
  if (call.route().act == Act::would_need_offload) return offload_reply(call, server);
  if (call.route().act == Act::saved_state) return saved_state_reply(call, server);
  return call.route().act == Act::waits ? waits(call) : explain(call);
}

}  // namespace

Task<void> serve_control(Call call) {
  ServerId server{};
  if (call.route().model == ModelAt::path) {
    const Result<ServerId> found = server_named(call.host().config(), call.match.name);
    if (!found) {
      co_await send(call.exchange, refusal(found.error()));
      co_return;
    }
    server = *found;
  }
  switch (call.route().act) {
    case Act::status:
      co_await serve_status(call);
      break;
    case Act::explain:
    case Act::waits:
    case Act::logs:
    case Act::would_need_offload:
    case Act::saved_state:
      co_await send(call.exchange, tell(call, server));
      break;
    case Act::events:
      co_await serve_events(call);
      break;
    case Act::start:
      co_await serve_wish(call, What::start, server);
      break;
    case Act::stop:
      co_await serve_wish(call, What::stop, server);
      break;
    case Act::clear_saved_state:
      co_await serve_wish(call, What::clear_saved_state, server);
      break;
    case Act::pin:
      co_await serve_wish(call, What::pin, server);
      break;
    case Act::unpin:
      co_await serve_wish(call, What::unpin, server);
      break;
    case Act::list_models:
    case Act::show_model:
      co_await serve_models(call);
      break;
    case Act::plan:
      co_await serve_plan(call);
      break;
    case Act::leases:
      co_await serve_leases(call);
      break;
    case Act::shut_down:
      co_await serve_shut_down(call);
      break;
    case Act::footprints:
    case Act::forget_footprints:
    case Act::draw:
    case Act::image_job:
    case Act::cancel_image:
    case Act::image_events:
    case Act::lease:
    case Act::hold:
    case Act::relay:
    case Act::models:
    case Act::health:
    case Act::last_known:
    case Act::metrics:
      break;
  }
}

}  // namespace berth::gateway
