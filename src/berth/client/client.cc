// SPDX-License-Identifier: Apache-2.0
#include "berth/client/client.h"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

namespace berth::client {
namespace {

constexpr Duration kConnectLimit = 5s;
/// A picture of 8192 x 8192 pixels takes about this much as base64.
constexpr std::size_t kReplyMax = std::size_t{256} << 20;

http::Request request_for(std::string method, std::string target) {
  http::Request request;
  request.method = std::move(method);
  request.target = std::move(target);
  return request;
}

/// Names come from the command line: everything but letters, digits, '-', '_' and '.' is escaped.
std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool is_plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                          (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    if (is_plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string server_target(std::string_view server, std::string_view what) {
  return fmt::format("/api/v1/servers/{}/{}", escaped(server), what);
}

}  // namespace

Task<Result<std::optional<RecordInfo>>> EventStream::next() {
  while (events_.empty()) {
    if (closed_) co_return std::optional<RecordInfo>();
    const Result<std::optional<std::string>> piece = co_await call_->read();
    if (closed_) co_return std::optional<RecordInfo>();
    if (!piece || !*piece) co_return fail(ErrorCode::server_gone, "Berth went down");
    events_ = reader_.feed(**piece);
    std::reverse(events_.begin(), events_.end());
  }
  const Result<RecordInfo> record = read_record(events_.back().data);
  events_.pop_back();
  if (!record) co_return fail(record.error());
  co_return *record;
}

void EventStream::close() {
  closed_ = true;
  call_->close();
}

Client::Client(Executor executor, std::string state_dir, Duration answer_limit)
    : executor_(std::move(executor)),
      state_dir_(std::move(state_dir)),
      answer_limit_(answer_limit) {}

/// Only a failure to connect means that nobody is there; no byte was sent then.
Error Client::explained(Error error) const {
  if (error.code != ErrorCode::server_gone) return error;
  return {ErrorCode::not_running,
          fmt::format("no Berth runs on {}; start it with `berth up`", state_dir_)};
}

http::Endpoint Client::door() const {
  return http::Endpoint::unix_socket(state_dir_ + "/control.sock");
}

Task<Result<std::unique_ptr<http::Call>>> Client::open(http::Request request) {
  auto call = co_await http::Call::open(executor_, door(), std::move(request), kConnectLimit);
  if (!call) co_return fail(explained(call.error()));
  co_return std::move(*call);
}

namespace {

Task<Result<std::string>> body_of(http::Call* call) {
  std::string body;
  while (true) {
    const Result<std::optional<std::string>> piece = co_await call->read();
    if (!piece) co_return fail(piece.error());
    if (!*piece) co_return body;
    body += **piece;
    if (body.size() > kReplyMax) {
      co_return fail(ErrorCode::too_large, "the reply is larger than 256 MiB");
    }
  }
}

}  // namespace

Task<Result<std::string>> Client::ask(http::Request request) {
  auto call = co_await open(std::move(request));
  if (!call) co_return fail(call.error());
  const Result<http::ResponseHead> head = co_await (*call)->head();
  if (!head) co_return fail(head.error());
  Result<std::string> body = co_await body_of(call->get());
  if (!body) co_return fail(body.error());
  if (head->status >= 300) co_return fail(read_error(head->status, *body));
  co_return std::move(*body);
}

Task<Result<std::string>> Client::ask_at_once(std::string method, std::string target) {
  http::Request request = request_for(std::move(method), std::move(target));
  Result<http::Response> reply =
      co_await http::fetch(executor_, door(), std::move(request), answer_limit_, kReplyMax);
  if (!reply && reply.error().code == ErrorCode::deadline) {
    co_return fail(
        ErrorCode::deadline,
        fmt::format("the Berth on {0} has not answered within {1}; it may be suspended, "
                    "or wait for its disk: see the end of {0}/berth.log, or kill it (its "
                    "pid is the first number in {0}/alive.lock) and say `berth up`",
                    state_dir_, to_text(answer_limit_)));
  }
  if (!reply) co_return fail(explained(reply.error()));
  if (reply->status >= 300) co_return fail(read_error(reply->status, reply->body));
  co_return std::move(reply->body);
}

Task<Result<std::string>> Client::get(std::string target) {
  return ask_at_once("GET", std::move(target));
}
Task<Result<std::string>> Client::post(std::string target) {
  return ask_at_once("POST", std::move(target));
}

Task<Result<std::string>> Client::status() {
  return get("/api/v1/status");
}
Task<Result<std::string>> Client::start(std::string server) {
  return ask(request_for("POST", server_target(server, "start")));
}
Task<Result<std::string>> Client::stop(std::string server) {
  return ask(request_for("POST", server_target(server, "stop")));
}
Task<Result<std::string>> Client::start_later(std::string server) {
  return post(server_target(server, "start?wait=0"));
}
Task<Result<std::string>> Client::clear(std::string server) {
  return post(server_target(server, "clear-saved-state"));
}

Task<Result<std::string>> Client::pin(std::string server) {
  return post(server_target(server, "pin"));
}

Task<Result<std::string>> Client::unpin(std::string server) {
  return post(server_target(server, "unpin"));
}
Task<Result<std::string>> Client::explain(int limit) {
  return get(fmt::format("/api/v1/explain?limit={}", limit));
}
Task<Result<std::string>> Client::logs(std::string server, int lines) {
  return get(fmt::format("{}?lines={}", server_target(server, "logs"), lines));
}
Task<Result<std::string>> Client::would_need_offload(std::string newcomer) {
  return get(server_target(newcomer, "would-need-offload"));
}
Task<Result<std::string>> Client::saved_state(std::string server) {
  return get(server_target(server, "saved-state"));
}
Task<Result<std::string>> Client::shut_down() {
  return post("/api/v1/shutdown");
}

Task<Result<std::string>> Client::main_address() {
  const Result<std::string> json = co_await status();
  if (!json) co_return fail(json.error());
  const Result<DaemonStatus> read = read_status(*json);
  if (!read) co_return fail(read.error());
  co_return read->address;
}

Task<Result<std::unique_ptr<EventStream>>> Client::events(std::optional<std::uint64_t> after) {
  std::string target = "/api/v1/events";
  if (after) target += fmt::format("?after={}", *after);
  auto call = co_await open_stream(request_for("GET", std::move(target)));
  if (!call) co_return fail(call.error());
  co_return std::make_unique<EventStream>(std::move(*call));
}

Task<Result<std::unique_ptr<http::Call>>> Client::open_stream(http::Request request) {
  auto call = co_await open(std::move(request));
  if (!call) co_return fail(call.error());
  const Result<http::ResponseHead> head = co_await (*call)->head();
  if (!head) co_return fail(head.error());
  if (head->status == 200) co_return std::move(*call);
  Result<std::string> body = co_await body_of(call->get());
  co_return fail(read_error(head->status, body.value_or("")));
}

Task<Result<LeaseNews>> LeaseStream::next() {
  const Result<std::optional<std::string>> piece = co_await call_->read();
  if (!piece) co_return fail(piece.error());
  if (!*piece) co_return fail(ErrorCode::server_gone, "Berth went down");
  Result<LeaseNews> news = read_lease_news(**piece);  // each line is a chunk
  co_return news;
}

Task<Result<std::string>> Client::leases() {
  return get("/api/v1/leases");
}
Task<Result<std::string>> Client::footprints() {
  return get("/api/v1/footprints");
}
Task<Result<std::string>> Client::forget_footprints(std::string server) {
  const std::string target = "/api/v1/footprints/forget";
  return post(server.empty() ? target : target + "?server=" + escaped(server));
}
Task<Result<std::unique_ptr<LeaseStream>>> Client::lease(http::Request request) {
  request.target = "/api/v1/leases";
  return claim(std::move(request));
}
Task<Result<std::unique_ptr<LeaseStream>>> Client::hold(http::Request request) {
  request.target = "/api/v1/holds";
  return claim(std::move(request));
}

Task<Result<std::unique_ptr<LeaseStream>>> Client::claim(http::Request request) {
  request.method = "POST";
  request.headers.set("Content-Type", "application/json");
  auto call = co_await open_stream(std::move(request));
  if (!call) co_return fail(call.error());
  co_return std::make_unique<LeaseStream>(std::move(*call));
}

}  // namespace berth::client
