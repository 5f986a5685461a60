// SPDX-License-Identifier: Apache-2.0
#include "llama_routes.h"

#include <fmt/core.h>
#include <poll.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <functional>
#include <memory>

#include "llama_log.h"

namespace berth::standin {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

constexpr const char* kBuild = "b0-standin";
constexpr int kTokensDefault = 32;
/// Replies that go on until the context is full are made shorter than this anyway.
constexpr int kTokensMax = 100'000;
/// How often a stopping server looks whether the client of a reply has left.
constexpr int kLeftCheckMs = 20;
constexpr std::string_view kWords[] = {" sea", " fog", " ice", " oak", " sun", " sky",
                                       " map", " bay", " net", " oar", " tin", " log",
                                       " rye", " fir", " jet", " gem"};

HttpReply reply_json(int status, const json::value& body) {
  return {.status = status, .body = json::serialize(body)};
}

HttpReply error(int status, std::string_view type, std::string_view text) {
  return reply_json(status, {{"error", {{"code", status}, {"message", text}, {"type", type}}}});
}

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

std::string text_in(const json::object& body, std::string_view name) {
  const json::value* value = body.if_contains(name);
  return value != nullptr && value->is_string() ? std::string(value->get_string()) : "";
}

int number_in(const json::object& body, std::string_view name, int otherwise) {
  const json::value* value = body.if_contains(name);
  return value != nullptr && value->is_int64() ? static_cast<int>(value->get_int64()) : otherwise;
}

/// The text of one message: a string, or the texts of its parts.
std::string content_of(const json::object& message) {
  const json::value* content = message.if_contains("content");
  if (content == nullptr || !content->is_array()) return text_in(message, "content");
  std::string text;
  for (const json::value& part : content->get_array()) {
    if (part.is_object()) text += text_in(part.get_object(), "text");
  }
  return text;
}

/// A prompt that goes on with a conversation begins with the whole text of its last turn.
std::string chat_prompt(const json::array& messages) {
  std::string prompt;
  for (const json::value& each : messages) {
    const json::object& message = each.as_object();
    prompt += fmt::format("<{}>{}</>\n", text_in(message, "role"), content_of(message));
  }
  return prompt + "<assistant>";
}

}  // namespace

/// One request that has a slot.
struct LlamaRoutes::Work {
  Shape shape = Shape::chat;
  std::string prompt;
  std::string text;  ///< of the reply, so far
  int tokens = 0;
  int tokens_max = kTokensDefault;
  bool is_cut_short = false;  ///< by max_tokens or the context: finish_reason "length"
  bool wants_usage = false;
  LlamaSlots::Taken taken;
  Clock::time_point began = Clock::now();
  double prompt_ms = 0;
};

// ---- Reads --------------------------------------------------------------------------------------

HttpReply LlamaRoutes::answer(const HttpRequest& request) {
  if (!loaded_) return error(503, "unavailable_error", "Loading model");
  if (request.method == "GET" || request.method == "HEAD") return get(request.path);
  if (request.method != "POST") return error(404, "not_found_error", "File Not Found");
  try {
    return post(request);
  } catch (const std::exception& problem) {  // broken JSON or a field of another type
    return error(500, "server_error", problem.what());
  }
}

HttpReply LlamaRoutes::get(const std::string& path) const {
  if (path == "/health" || path == "/v1/health") return reply_json(200, {{"status", "ok"}});
  if (path == "/v1/models" || path == "/models") {
    json::object model{{"id", options_.alias},
                       {"object", "model"},
                       {"created", 0},
                       {"owned_by", "berth llama-server stand-in"},
                       {"meta", {{"n_ctx", options_.slot_context()}}}};
    return reply_json(200, {{"object", "list"}, {"data", json::array{std::move(model)}}});
  }
  if (path == "/props") {
    return reply_json(200, {{"default_generation_settings", {{"n_ctx", options_.slot_context()}}},
                            {"total_slots", options_.slots},
                            {"model_alias", options_.alias},
                            {"model_path", options_.model},
                            {"build_info", kBuild},
                            {"is_sleeping", false}});
  }
  if (path != "/slots") return error(404, "not_found_error", "File Not Found");
  json::array slots;
  for (const LlamaSlots::View& each : slots_.view()) {
    slots.push_back(json::object{{"id", slots.size()},
                                 {"n_ctx", options_.slot_context()},
                                 {"is_processing", each.is_processing},
                                 {"id_task", each.task},
                                 {"n_prompt_tokens", each.tokens}});
  }
  return reply_json(200, slots);
}

HttpReply LlamaRoutes::post(const HttpRequest& request) {
  if (request.path == "/v1/chat/completions" || request.path == "/chat/completions") {
    return complete(request, Shape::chat);
  }
  if (request.path == "/v1/completions") return complete(request, Shape::completion);
  if (request.path.starts_with("/slots/")) return slot_action(request);
  return error(404, "not_found_error", "File Not Found");
}

HttpReply LlamaRoutes::slot_action(const HttpRequest& request) {
  if (options_.slot_save_path.empty()) {
    return error(501, "not_supported_error",
                 "This server does not support slots action. Start it with `--slot-save-path`");
  }
  const int slot = std::stoi(request.path.substr(std::string_view("/slots/").size()));
  const bool saves = request.query == "action=save";
  if (!saves && request.query != "action=restore") {
    return error(400, "invalid_request_error", "Invalid action");
  }
  const std::string name = text_in(json::parse(request.body).as_object(), "filename");
  if (name.empty() || name.find('/') != std::string::npos) {
    return error(400, "invalid_request_error", "Invalid filename");
  }
  const auto done = saves ? slots_.save(slot, name) : slots_.restore(slot, name);
  if (!done && saves) return error(500, "server_error", "Unable to save slot");
  if (!done) {
    return error(400, "invalid_request_error",
                 "Unable to restore slot: No available space in KV cache or invalid slot save "
                 "file");
  }
  return reply_json(200, {{"id_slot", slot},
                          {"filename", name},
                          {saves ? "n_saved" : "n_restored", done->tokens},
                          {saves ? "n_written" : "n_read", done->bytes}});
}

// ---- Completions --------------------------------------------------------------------------------

HttpReply LlamaRoutes::complete(const HttpRequest& request, Shape shape) {
  const json::object body = json::parse(request.body).as_object();
  const bool is_chat = shape == Shape::chat;
  const json::value* input = body.if_contains(is_chat ? "messages" : "prompt");
  if (input == nullptr) {
    return error(400, "invalid_request_error",
                 fmt::format("'{}' is required", is_chat ? "messages" : "prompt"));
  }
  auto work = std::make_shared<Work>();
  work->shape = shape;
  work->prompt = is_chat ? chat_prompt(input->as_array()) : std::string(input->as_string());
  const int wanted = number_in(body, "max_tokens", -1);
  work->is_cut_short = wanted >= 0;
  work->tokens_max = wanted >= 0 ? std::min(wanted, kTokensMax) : kTokensDefault;
  const std::int64_t room = options_.slot_context() - token_count(work->prompt);
  if (room <= 0) {
    return error(400, "exceed_context_size_error",
                 fmt::format("request ({} tokens) exceeds the available context size ({} tokens), "
                             "try increasing it",
                             token_count(work->prompt), options_.slot_context()));
  }
  if (work->tokens_max > room) {
    work->tokens_max = static_cast<int>(room);
    work->is_cut_short = true;
  }
  const json::value* usage = body.if_contains("stream_options");
  work->wants_usage =
      usage != nullptr && usage->is_object() && usage->get_object().contains("include_usage");

  const auto taken = slots_.take(work->prompt, [&] { return request.client_is_gone(); });
  if (!taken) return {.status = 200, .body = {}};  // nobody reads it
  work->taken = *taken;
  work->began = Clock::now();
  if (options_.faults.strikes_at("die_request", taken->task)) std::abort();
  if (options_.faults.strikes_at("killed_request", taken->task)) std::raise(SIGKILL);
  const json::value* streams = body.if_contains("stream");
  if (streams != nullptr && streams->is_bool() && streams->get_bool()) {
    HttpReply streamed;
    streamed.content_type = "text/event-stream";
    streamed.stream = [this, work, &request](const ChunkSink& send) {
      stream(*work, request, send);
    };
    return streamed;
  }
  while (next_token(*work, request))
    continue;
  finish(*work);
  HttpReply whole = reply_json(200, reply(*work));
  whole.dies = options_.faults.strikes_at("die_reply", taken->task);
  return whole;
}

/// Makes the next token. Returns false if that was all, or nobody wants more.
bool LlamaRoutes::next_token(Work& work, const HttpRequest& request) {
  if (work.tokens == 0) {
    poll(nullptr, 0, static_cast<int>(options_.faults.seconds("slow_prompt") * 1000));
    work.prompt_ms = ms_since(work.began);
  }
  while (stopping_ && !request.client_is_gone())
    poll(nullptr, 0, kLeftCheckMs);
  if (work.tokens >= work.tokens_max || request.client_is_gone()) return false;
  poll(nullptr, 0, options_.token_ms);
  // The same prompt gives the same reply, in whatever slot.
  const std::size_t seed = std::hash<std::string>{}(work.prompt);
  const auto n = static_cast<std::size_t>(work.tokens++);
  work.text += kWords[(seed >> (n % 60)) % std::size(kWords)];
  return true;
}

void LlamaRoutes::finish(Work& work) {
  std::string held = work.prompt + work.text;
  if (work.tokens > 0) held.resize(held.size() - kWords[0].size());  // the last is not evaluated
  slots_.release(work.taken, std::move(held));
}

void LlamaRoutes::stream(Work& work, const HttpRequest& request, const ChunkSink& send) {
  const auto send_event = [&](const json::object& event) {
    return send("data: " + json::serialize(event) + "\n\n");
  };
  bool is_read = send_event(event(work, nullptr));
  if (options_.faults.strikes_at("die_reply", work.taken.task)) std::abort();
  std::size_t sent = 0;
  while (is_read && next_token(work, request)) {
    const std::string piece = work.text.substr(sent);
    sent = work.text.size();
    is_read = send_event(event(work, &piece));
  }
  finish(work);
  if (!is_read) return;
  json::object last = event(work, nullptr);
  json::object& choice = last["choices"].as_array()[0].as_object();
  choice["finish_reason"] = work.is_cut_short ? "length" : "stop";
  if (work.shape == Shape::chat) choice["delta"] = json::object();
  last["timings"] = timings(work);
  if (work.wants_usage) last["usage"] = reply(work)["usage"];
  if (send_event(last)) send("data: [DONE]\n\n");
}

// ---- What replies say ---------------------------------------------------------------------------

/// An event with a piece of text, or (null) the first one.
json::object LlamaRoutes::event(const Work& work, const std::string* piece) const {
  json::object choice{{"index", 0}, {"finish_reason", nullptr}};
  if (work.shape == Shape::completion) {
    choice["text"] = piece == nullptr ? "" : *piece;
  } else if (piece == nullptr) {
    choice["delta"] = {{"role", "assistant"}, {"content", nullptr}};
  } else {
    choice["delta"] = {{"content", *piece}};
  }
  return {{"choices", json::array{std::move(choice)}},
          {"created", 0},
          {"id", fmt::format("standin-{}", work.taken.task)},
          {"model", options_.alias},
          {"system_fingerprint", kBuild},
          {"object", work.shape == Shape::chat ? "chat.completion.chunk" : "text_completion"}};
}

json::object LlamaRoutes::reply(const Work& work) const {
  json::object choice{{"index", 0}, {"finish_reason", work.is_cut_short ? "length" : "stop"}};
  const bool is_chat = work.shape == Shape::chat;
  if (is_chat) choice["message"] = {{"role", "assistant"}, {"content", work.text}};
  if (!is_chat) choice["text"] = work.text;
  const std::int64_t prompt = token_count(work.prompt);
  return {{"choices", json::array{std::move(choice)}},
          {"created", 0},
          {"id", fmt::format("standin-{}", work.taken.task)},
          {"model", options_.alias},
          {"system_fingerprint", kBuild},
          {"object", is_chat ? "chat.completion" : "text_completion"},
          {"usage",
           {{"completion_tokens", work.tokens},
            {"prompt_tokens", prompt},
            {"total_tokens", prompt + work.tokens}}},
          {"timings", timings(work)}};
}

json::object LlamaRoutes::timings(const Work& work) const {
  return {{"cache_n", work.taken.cached},
          {"prompt_n", token_count(work.prompt) - work.taken.cached},
          {"prompt_ms", work.prompt_ms},
          {"predicted_n", work.tokens},
          {"predicted_ms", ms_since(work.began) - work.prompt_ms}};
}

}  // namespace berth::standin
