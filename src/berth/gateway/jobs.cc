// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/jobs.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "berth/base/plain_text.h"
#include "berth/gateway/body.h"
#include "berth/gateway/errors.h"
#include "berth/gateway/footprints.h"
#include "berth/gateway/image_wish.h"
#include "berth/gateway/models.h"
#include "berth/gateway/progress.h"
#include "berth/http/client.h"
#include "berth/http/relay.h"

namespace berth::gateway {
namespace {

/// Servers are on this machine: one that does not accept for so long hangs.
constexpr Duration kConnectLimit = 5s;

/// How long the end of a job waits to learn whether the reply was whole. A client that reads along
/// takes microseconds; a slow one must not hold the server, and then the job counts as done: if its
/// server died, the host knows that by itself.
constexpr Duration kVerdictLimit = 50ms;

/// The exit of a server is seen within milliseconds after its connections break, unless it leaves a
/// core dump behind.
constexpr Duration kExitLimit = 2s;

/// A request that kills its server must not do so for ever.
constexpr int kReplaysMax = 1;
/// Tries of which no byte was sent hurt nobody; after these something else is wrong.
constexpr int kUnsentMax = 3;

constexpr std::string_view kJobHeader = "X-Berth-Job";
constexpr std::string_view kServerHeader = "X-Berth-Server";
constexpr std::string_view kEtaHeader = "X-Berth-Eta-Ms";
constexpr std::string_view kWaitedHeader = "X-Berth-Waited-Ms";
constexpr std::string_view kParentHeader = "X-Berth-Parent";
constexpr std::string_view kHoldHeader = "X-Berth-Hold";
constexpr std::size_t kHeaderShown = 40;
/// Of the client's name, which stands in journals and reports. Units: bytes.
constexpr std::size_t kClientShown = 80;

/// What a job needs until its work is over. The handler may be gone by then, and the client too.
struct Running {
  Running(std::shared_ptr<Context> shared, std::unique_ptr<host::Job> granted)
      : context(std::move(shared)), job(std::move(granted)) {
    ++context->jobs;
  }
  ~Running() {
    work.reset();
    job.reset();
    --context->jobs;
    context->job_ended.set();
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  std::shared_ptr<Context> context;
  std::unique_ptr<host::Job> job;
  std::unique_ptr<servers::Work> work;
  Event relay_ended;
  Event over;                    ///< the host was told
  bool upstream_failed = false;  ///< meaningful once the relay ended
};

// Shared by the handler, which needs the job's spool to the end of the relay, and by end_job().
using RunningPtr = std::shared_ptr<Running>;

/// The number of a job that the header names. Errors: bad_request, naming the header and `whose`.
Result<std::optional<JobId>> job_in(const http::Request& request, std::string_view header,
                                    std::string_view whose) {
  const std::optional<std::string_view> text = request.headers.get(header);
  if (!text) return std::optional<JobId>{};
  std::uint64_t value = 0;
  const char* end = text->data() + text->size();
  const auto [at, errc] = std::from_chars(text->data(), end, value);
  if (errc != std::errc{} || at != end) {
    return fail(ErrorCode::bad_request, fmt::format("{} is \"{}\"; it takes the number {}", header,
                                                    text->substr(0, kHeaderShown), whose));
  }
  return std::optional(JobId{value});
}

/// Takes out what is between the client and us: credentials, cookies, and what makes a server talk
/// to web pages or compress.
void strip_for_server(http::Headers& headers) {
  constexpr std::string_view kDropped[] = {
      "Authorization",   "X-Api-Key",      "Api-Key",      "Cookie",
      "Accept-Encoding", "Origin",         "Referer",      "Host",
      "X-Berth-Client",  "X-Berth-Parent", "X-Berth-Hold", kProgressHeader};
  http::remove_hop_by_hop(headers);
  for (const std::string_view name : kDropped)
    headers.remove(name);
}

/// Waits until the server works for the request no more, and only then ends the job.
Task<void> end_job(RunningPtr running, core::JobEnd how) {
  // We closed the connection of a job that was cancelled or cut; else the server ended its reply.
  const bool is_over = how == core::JobEnd::done || how == core::JobEnd::failed;
  co_await running->work->ended(is_over);
  if (how == core::JobEnd::done) {
    const bool is_known = co_await running->relay_ended.wait_for(kVerdictLimit);
    if (is_known && running->upstream_failed) how = core::JobEnd::failed;
  }
  running->job->ended(how);
  running->over.set();
}

/// Called when upstream was read to its end or closed, and before a slow client has read it all.
void upstream_done(const RunningPtr& running, bool client_is_gone) {
  core::JobEnd how = core::JobEnd::done;
  if (client_is_gone) {
    running->job->withdraw();
    how = core::JobEnd::cancelled;
  } else if (running->job->cut().is_set()) {
    how = core::JobEnd::cut;
  }
  spawn(running->context->executor, end_job(running, how));
}

Error gone_error(std::string_view server, const Error& why) {
  return {
      why.code == ErrorCode::upstream ? ErrorCode::upstream : ErrorCode::server_gone,
      fmt::format("\"{}\" gave no answer: {}; see `berth logs {}`", server, why.message, server)};
}

/// What it was told when it arrived, and how long it waited. Nothing for a job that ran at once.
void add_wait(http::Headers& headers, const host::Job& job, bool waits_on) {
  const std::optional<host::Foretold> foretold = job.foretold();
  if (!foretold) return;
  headers.set(kEtaHeader, std::to_string(milliseconds(foretold->eta)));
  if (!waits_on) headers.set(kWaitedHeader, std::to_string(milliseconds(job.waited())));
}

/// Tells the client of an error, as a reply, or as the last event of a stream that was begun to
/// show progress. A client that left meanwhile needs no answer.
Task<void> answer(Call call, Error error, RunningPtr running,
                  std::optional<std::int64_t> retry_after) {
  const ErrorForm form = call.route().errors;
  if (!call.exchange.began()) {
    http::Response reply = error_reply(form, error, retry_after);
    reply.headers.set(kJobHeader, std::to_string(running->job->id().value));
    add_wait(reply.headers, *running->job, /*waits_on=*/false);
    static_cast<void>(co_await call.exchange.respond(std::move(reply)));
    co_return;
  }
  std::string last_words = error_event(form, error);
  const Status sent = co_await call.exchange.write(std::move(last_words));
  if (sent) static_cast<void>(co_await call.exchange.finish());
}

const std::string& name_of(const Call& call, ServerId server) {
  return call.host().config().core.servers.at(server.value).name;
}

http::RelayOptions relay_options(const Call& call, const RunningPtr& running,
                                 std::optional<Duration> progress) {
  http::RelayOptions options;
  const std::string& server = name_of(call, running->job->server());
  options.added_headers.set(kJobHeader, std::to_string(running->job->id().value));
  options.added_headers.set(kServerHeader, server);
  add_wait(options.added_headers, *running->job, /*waits_on=*/false);
  options.spool = &running->job->spool();
  options.on_chunk = [work = running->work.get()](std::string_view piece) {
    work->on_piece(piece);
  };
  options.on_upstream_done = [running, &exchange = call.exchange] {
    upstream_done(running, exchange.client_gone().is_set());
  };
  options.cut = &running->job->cut();
  options.cut_text = [running, form = call.route().errors] {
    return error_event(form, running->job->why_cut());
  };
  options.late_error = [form = call.route().errors](const std::string& body) {
    return late_error_event(form, body);
  };
  if (progress) {
    options.sign_of_life = progress_comment("at work:", server);
    options.sign_of_life_every = *progress;
  }
  return options;
}

/// How a try to get an answer from the server ended.
struct Outcome {
  bool is_answered = true;   ///< the client has its reply or a part of it, or has left
  Error error;               ///< else: what it is told
  bool server_died = false;  ///< while it had the request, and the client no byte of a reply
  bool was_sent = true;      ///< the server may have seen the request
};

/// What may be tried again after the server died. All routes that are relayed are inference: they
/// change nothing outside of the server.
class Retries {
 public:
  bool take_one(const Outcome& outcome) {
    if (outcome.is_answered || !outcome.server_died) return false;
    return outcome.was_sent ? replays_++ < kReplaysMax : unsent_++ < kUnsentMax;
  }

 private:
  int replays_ = 0;
  int unsent_ = 0;
};

/// Returns whether the server's process is gone. The job is over then, and the core knows of both:
/// what is submitted next finds the server absent, and not ready for a connection that is refused.
Task<bool> died_under(RunningPtr running, ErrorCode code) {
  if (code != ErrorCode::server_gone) co_return false;
  const bool died = co_await running->work->server_died(kExitLimit);
  co_await running->over.wait();
  co_return died;
}

/// Sends the request to the server, which is ready for it, and relays the reply.
Task<Outcome> run_job(Call call, RunningPtr running, std::optional<Duration> progress) {
  const std::string& name = name_of(call, running->job->server());
  servers::Adapter& adapter = running->job->adapter();
  http::Request request = call.exchange.request();  // a copy: it may have to be sent again
  strip_for_server(request.headers);
  request = adapter.upstream_request(std::move(request));
  running->work = adapter.begin_work(request);
  auto opened = co_await http::Call::open(call.context->executor, adapter.endpoint(),
                                          std::move(request), kConnectLimit);
  Outcome outcome;
  if (!opened) {
    // No byte was sent, so the server works for nobody.
    co_await end_job(running, core::JobEnd::failed);
    outcome.is_answered = false;
    // In words of our own: where it listens is Berth's matter.
    outcome.error = gone_error(name, {opened.error().code, "it takes no connection"});
    outcome.was_sent = false;
    outcome.server_died = co_await died_under(running, opened.error().code);
    co_return outcome;
  }
  const bool began_before = call.exchange.began();
  http::RelayOptions options = relay_options(call, running, progress);
  const http::RelayResult result =
      co_await http::relay(**opened, call.exchange, std::move(options));
  const bool has_failed = result.outcome == http::RelayOutcome::upstream_failed;
  running->upstream_failed = has_failed;
  running->relay_ended.set();
  const bool has_reply = began_before ? result.status != 0 : result.reply_started;
  if (has_reply || result.outcome == http::RelayOutcome::client_gone) co_return outcome;
  outcome.is_answered = false;
  outcome.error = has_failed ? gone_error(name, result.error) : running->job->why_cut();
  if (has_failed) outcome.server_died = co_await died_under(running, result.error.code);
  co_return outcome;
}

/// What the client's headers say.
struct Wishes {
  std::optional<JobId> parent;
  std::optional<JobId> hold;
  std::optional<Duration> progress;
};

Result<Wishes> wishes_of(const Call& call) {
  const auto parent = parent_of(call.exchange.request());
  if (!parent) return fail(parent.error());
  const auto hold = hold_of(call);
  if (!hold) return fail(hold.error());
  const auto progress =
      progress_of(call.route(), call.exchange.request(), call.context->progress_unit);
  if (!progress) return fail(progress.error());
  return Wishes{*parent, *hold, *progress};
}

RunningPtr submit(const Call& call, ServerId server, const Wishes& wishes) {
  host::JobRequest wanted{.server = server,
                          .job_class = call.host().config().core.servers.at(server.value).job_class,
                          .client = client_of(call.exchange.request()),
                          .parent = wishes.parent,
                          .kept_alive = wishes.progress.has_value(),
                          .hold = wishes.hold};
  if (call.route().serves == Serves::image) {
    wanted.shape = picture_shape(call.exchange.request().body);
  }
  return std::make_shared<Running>(call.context, call.host().submit(std::move(wanted)));
}

/// Waits for the server and asks it, again if it dies over that; the client just waits. Each try is
/// a job of its own.
Task<void> serve(Call call, ServerId server, Wishes wishes) {
  Retries retries;
  while (true) {
    const RunningPtr running = submit(call, server, wishes);
    if (wishes.progress) {
      http::Headers headers;
      headers.set(kJobHeader, std::to_string(running->job->id().value));
      add_wait(headers, *running->job, /*waits_on=*/true);
      co_await show_progress(call, *running->job, *wishes.progress, std::move(headers));
    }
    const Status granted = co_await running->job->granted(call.exchange.client_gone());
    if (!granted) {
      co_await answer(call, granted.error(), running, running->job->retry_after_seconds());
      co_return;
    }
    const Outcome outcome = co_await run_job(call, running, wishes.progress);
    if (retries.take_one(outcome)) continue;
    if (!outcome.is_answered) {
      co_await answer(call, outcome.error, running, running->job->retry_after_seconds());
    }
    co_return;
  }
}

}  // namespace

std::string client_of(const http::Request& request) {
  const std::optional<std::string_view> name = request.headers.get("X-Berth-Client");
  if (name) return plain_text(*name, kClientShown);
  const std::string_view agent = request.headers.get("User-Agent").value_or("");
  return plain_text(agent.substr(0, agent.find(' ')), kClientShown);
}

Result<std::optional<JobId>> parent_of(const http::Request& request) {
  return job_in(request, kParentHeader, "that the caller's reply carries in X-Berth-Job");
}

Result<std::optional<JobId>> hold_of(const Call& call) {
  const auto hold = job_in(call.exchange.request(), kHoldHeader,
                           "of a hold, which its commands find in BERTH_HOLD");
  if (!hold || !*hold) return hold;
  const auto& jobs = call.host().state().jobs;
  const auto found = jobs.find(**hold);
  if (found != jobs.end() && found->second.kind == core::JobKind::hold) return hold;
  return fail(ErrorCode::conflict,
              fmt::format("there is no hold {} (any more); ask for one, or leave {} out",
                          (*hold)->value, kHoldHeader));
}

namespace {

/// Returns the server that the request is for, if a body like that can be given to it.
Result<ServerId> server_of(const Call& call) {
  const std::string& body = call.exchange.request().body;
  const bool is_picture = call.route().serves == Serves::image;
  const Status is_good = is_picture ? check_relayed_picture(body) : check_body(body);
  if (!is_good) return fail(is_good.error());
  if (call.fixed) return *call.fixed;
  return server_for(call.host().config(), call.route(), body);
}

}  // namespace

Task<void> serve_job(Call call) {
  const Result<ServerId> server = server_of(call);
  const Result<Wishes> wishes = server ? wishes_of(call) : fail(server.error());
  if (wishes) {
    co_await serve(call, *server, *wishes);
    co_return;
  }
  http::Response refusal = error_reply(call.route().errors, wishes.error());
  static_cast<void>(co_await call.exchange.respond(std::move(refusal)));
}

}  // namespace berth::gateway
