// SPDX-License-Identifier: Apache-2.0
// `berth image`: one picture into one file.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "bars.h"
#include "berth/base/base64.h"
#include "commands.h"
#include "files.h"

namespace berth::cli {
namespace {

namespace json = boost::json;
using Clock = std::chrono::steady_clock;

/// Returns what OpenAI's shape has no field for, as sd-server reads it: a JSON object within the
/// prompt. "" if there is nothing to say.
/// Source: stable-diffusion.cpp, examples/server, `sd_cpp_extra_args`.
std::string extra_arguments(const ImageOptions& options) {
  json::object extra;
  if (options.seed) extra["seed"] = *options.seed;
  if (!options.negative_prompt.empty()) extra["negative_prompt"] = options.negative_prompt;
  if (options.steps) extra["sample_params"] = json::object{{"sample_steps", *options.steps}};
  if (extra.empty()) return "";
  return fmt::format("<sd_cpp_extra_args>{}</sd_cpp_extra_args>", json::serialize(extra));
}

http::Request request_for(const ImageOptions& options) {
  json::object body;
  body["prompt"] = fmt::format("{}{}", fmt::join(options.prompt, " "), extra_arguments(options));
  body["n"] = 1;
  body["size"] = fmt::format("{}x{}", options.width, options.height);
  body["response_format"] = "b64_json";
  if (!options.model.empty()) body["model"] = options.model;
  http::Request request;
  request.method = "POST";
  request.target = "/v1/images/generations";
  request.headers.set("Content-Type", "application/json");
  identify(request, "image");
  request.body = json::serialize(body);
  return request;
}

/// The progress bar on standard error, fed by Berth's events.
class ProgressView {
 public:
  explicit ProgressView(std::string server) : server_(std::move(server)) {}

  static Task<void> follow(std::shared_ptr<ProgressView> self,
                           std::unique_ptr<client::EventStream> stream);
  void close();

 private:
  void draw(const client::RecordInfo& record);

  std::string server_;  ///< "" = any
  Clock::time_point started_ = Clock::now();
  client::EventStream* stream_ = nullptr;
  bool drawn_ = false;
};

Task<void> ProgressView::follow(std::shared_ptr<ProgressView> self,
                                std::unique_ptr<client::EventStream> stream) {
  self->stream_ = stream.get();
  while (true) {
    const Result<std::optional<client::RecordInfo>> record = co_await stream->next();
    if (!record || !*record) break;
    if ((*record)->kind != "progress") continue;
    if (self->server_.empty() || (*record)->server == self->server_) self->draw(**record);
  }
  self->stream_ = nullptr;
}

void ProgressView::draw(const client::RecordInfo& record) {
  const std::string line = progress_line({.stage = printable_line(record.name),
                                          .step = record.step,
                                          .steps = record.steps,
                                          .elapsed = Clock::now() - started_});
  const std::string text = fmt::format("\r{}\x1b[K", line);
  std::fwrite(text.data(), 1, text.size(), stderr);
  drawn_ = true;
}

void ProgressView::close() {
  if (stream_ != nullptr) stream_->close();
  if (std::exchange(drawn_, false)) std::fwrite("\r\x1b[K", 1, 4, stderr);
}

Task<std::shared_ptr<ProgressView>> begin_view(client::Client* berth, std::string model) {
  // Shared with its coroutine, which ends a turn of the loop after close().
  auto view = std::make_shared<ProgressView>(std::move(model));
  if (!is_terminal(STDERR_FILENO)) co_return view;
  auto stream = co_await berth->events();
  if (stream) spawn(berth->executor(), ProgressView::follow(view, std::move(*stream)));
  co_return view;
}

Result<std::string> picture_in(const std::string& reply) {
  boost::system::error_code broken;
  const json::value value = json::parse(reply, broken);
  const json::value* data = broken ? nullptr : value.find_pointer("/data/0/b64_json", broken);
  if (data == nullptr || !data->is_string()) {
    return fail(ErrorCode::upstream, "the reply of the image server has no picture");
  }
  return decode_base64(std::string_view(data->get_string()));
}

/// Returns "512x768" from the header of a PNG, "" for anything else. Source: PNG, section 11.2.2.
std::string size_of(std::string_view png) {
  constexpr std::size_t kHeader = 24;
  if (png.size() < kHeader || !png.starts_with("\x89PNG")) return "";
  const auto number = [&](std::size_t at) {
    std::uint32_t value = 0;
    for (std::size_t i = at; i < at + 4; ++i)
      value = value << 8 | static_cast<unsigned char>(png[i]);
    return value;
  };
  return fmt::format("{}x{}", number(16), number(20));
}

std::string done_text(const ImageOptions& options, const std::string& png, Duration elapsed,
                      bool json) {
  if (!json) {
    return fmt::format("{}  {}  {}  {}\n", options.output, size_of(png),
                       to_text(Bytes{static_cast<std::int64_t>(png.size())}), to_text(elapsed));
  }
  json::object object;
  object["path"] = options.output;
  object["size"] = size_of(png);
  object["bytes"] = png.size();
  object["time_ms"] = milliseconds(elapsed);
  return json::serialize(object) + "\n";
}

Task<int> draw(client::Client* berth, ImageOptions options, OutputFile* output, bool json) {
  const auto started = Clock::now();
  // Where the picture is, nothing else is.
  const bool beside = output->is_standard_output();
  const auto view = co_await begin_view(berth, options.model);
  const Result<std::string> reply = co_await berth->ask(request_for(options));
  view->close();
  if (!reply) co_return report(reply.error(), json && !beside);
  const Result<std::string> png = picture_in(*reply);
  if (!png) co_return report(png.error(), json && !beside);
  const Status written = output->write(*png);
  if (!written) co_return report(written.error(), json && !beside);
  const std::string text = done_text(options, *png, Clock::now() - started, json);
  if (!beside) {
    say(text);
  } else if (is_all_said()) {
    std::fwrite(text.data(), 1, text.size(), stderr);
  }
  co_return 0;
}

}  // namespace

int image(const Common& common, const ImageOptions& options) {
  Result<OutputFile> output = OutputFile::open(options.output);
  if (!output) return report(output.error(), common.json);
  Common errors = common;
  errors.json = common.json && !output->is_standard_output();
  return converse(
      errors, [&](client::Client* berth) { return draw(berth, options, &*output, common.json); });
}

}  // namespace berth::cli
