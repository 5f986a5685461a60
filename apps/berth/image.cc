// SPDX-License-Identifier: Apache-2.0
// `berth image`: one picture into one file.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "bars.h"
#include "berth/base/base64.h"
#include "berth/process/unique_fd.h"
#include "commands.h"

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
  const std::string line = progress_line({.stage = record.name,
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

tl::unexpected<Error> cannot_write(const std::string& path) {
  const ErrorCode code = errno == ENOSPC ? ErrorCode::disk_full : ErrorCode::io;
  return fail(code, fmt::format("cannot write {}: {}", path, strerror(errno)));
}

bool write_all(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
  return ::fsync(descriptor) == 0;
}

/// The file has the whole content or its old one, whatever happens.
Status write_file(const std::string& path, std::string_view bytes) {
  const std::string part = fmt::format("{}.part-{}", path, ::getpid());
  const process::UniqueFd file(
      ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (file.get() < 0) return cannot_write(path);
  if (write_all(file.get(), bytes) && std::rename(part.c_str(), path.c_str()) == 0) return {};
  auto failure = cannot_write(path);
  ::unlink(part.c_str());
  return failure;
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

void say_done(const ImageOptions& options, const std::string& png, Duration elapsed, bool json) {
  if (!json) {
    say(fmt::format("{}  {}  {}  {}\n", options.output, size_of(png),
                    to_text(Bytes{static_cast<std::int64_t>(png.size())}), to_text(elapsed)));
    return;
  }
  json::object object;
  object["path"] = options.output;
  object["size"] = size_of(png);
  object["bytes"] = png.size();
  object["time_ms"] = milliseconds(elapsed);
  say(json::serialize(object) + "\n");
}

Task<int> draw(client::Client* berth, ImageOptions options, bool json) {
  const auto started = Clock::now();
  const auto view = co_await begin_view(berth, options.model);
  const Result<std::string> reply = co_await berth->ask(request_for(options));
  view->close();
  if (!reply) co_return report(reply.error(), json);
  const Result<std::string> png = picture_in(*reply);
  if (!png) co_return report(png.error(), json);
  const Status written = write_file(options.output, *png);
  if (!written) co_return report(written.error(), json);
  say_done(options, *png, Clock::now() - started, json);
  co_return 0;
}

}  // namespace

int image(const Common& common, const ImageOptions& options) {
  return converse(common, [&](client::Client* berth) { return draw(berth, options, common.json); });
}

}  // namespace berth::cli
