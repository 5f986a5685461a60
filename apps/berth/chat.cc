// SPDX-License-Identifier: Apache-2.0
// `berth chat`: one message, the answer as it comes.
#include <unistd.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "commands.h"
#include "waiting_note.h"

namespace berth::cli {
namespace {

namespace json = boost::json;

std::string prompt_of(const ChatOptions& options) {
  if (!options.prompt.empty()) return fmt::format("{}", fmt::join(options.prompt, " "));
  return {std::istreambuf_iterator<char>(std::cin), {}};
}

http::Request request_for(const ChatOptions& options, bool stream) {
  json::object message;
  message["role"] = "user";
  message["content"] = prompt_of(options);
  json::object body;
  body["messages"] = json::array{std::move(message)};
  body["stream"] = stream;
  if (!options.model.empty()) body["model"] = options.model;
  if (options.max_tokens) body["max_tokens"] = *options.max_tokens;
  if (options.temperature) body["temperature"] = *options.temperature;
  http::Request request;
  request.method = "POST";
  request.target = "/v1/chat/completions";
  request.headers.set("Content-Type", "application/json");
  identify(request, "chat");
  request.body = json::serialize(body);
  return request;
}

/// What one event of the stream says.
struct Piece {
  std::string text;
  std::optional<Error> error;
};

Piece read_piece(const std::string& data) {
  boost::system::error_code broken;
  const json::value value = json::parse(data, broken);
  if (broken || !value.is_object()) {
    return {"", Error{ErrorCode::upstream, "the server sent an event that is no JSON object"}};
  }
  if (value.get_object().contains("error")) return {"", client::read_error(200, data)};
  boost::system::error_code missing;
  const json::value* content = value.find_pointer("/choices/0/delta/content", missing);
  if (content == nullptr || !content->is_string()) return {};
  return {std::string(content->get_string()), std::nullopt};
}

/// Prints tokens as they come. Errors: what the stream says; server_gone if it has no end.
/// Where they are shown, on a terminal, they do not steer it; elsewhere they are as they came.
Task<Status> print_tokens(http::Call* call) {
  const bool is_shown = is_terminal(STDOUT_FILENO);
  client::SseReader reader;
  while (true) {
    const Result<std::optional<std::string>> bytes = co_await call->read();
    if (!bytes) co_return fail(bytes.error());
    if (!*bytes) co_return fail(ErrorCode::server_gone, "the reply ended in the middle");
    for (const client::SseEvent& event : reader.feed(**bytes)) {
      if (event.data == "[DONE]") co_return Status();
      const Piece piece = read_piece(event.data);
      if (piece.error) co_return fail(*piece.error);
      // Nobody reads it: the call ends, and with it the LLM's work.
      if (!say(is_shown ? printable(piece.text) : piece.text)) co_return Status();
    }
  }
}

Task<Result<std::string>> whole_body(http::Call* call) {
  std::string body;
  while (true) {
    const Result<std::optional<std::string>> piece = co_await call->read();
    if (!piece) co_return fail(piece.error());
    if (!*piece) co_return body;
    body += **piece;
  }
}

Task<int> stream_answer(client::Client* berth, ChatOptions options) {
  auto call = co_await berth->open(request_for(options, true));
  if (!call) co_return report(call.error(), false);
  const auto note = WaitingNote::begin(*berth, options.model);
  const Result<http::ResponseHead> head = co_await (*call)->head();
  note->end();
  if (!head) co_return report(head.error(), false);
  if (head->status != 200) {
    const Result<std::string> body = co_await whole_body(call->get());
    co_return report(client::read_error(head->status, body.value_or("")), false);
  }
  const Status printed = co_await print_tokens(call->get());
  say("\n");
  co_return printed ? 0 : report(printed.error(), false);
}

Task<int> whole_answer(client::Client* berth, ChatOptions options) {
  const Result<std::string> reply = co_await berth->ask(request_for(options, false));
  if (!reply) co_return report(reply.error(), true);
  say(*reply + "\n");
  co_return 0;
}

}  // namespace

int chat(const Common& common, const ChatOptions& options) {
  return converse(common, [&](client::Client* berth) {
    return common.json ? whole_answer(berth, options) : stream_answer(berth, options);
  });
}

}  // namespace berth::cli
