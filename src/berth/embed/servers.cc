// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <mutex>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include "berth/berth.h"
#include "berth/embed/handle.h"
#include "berth/embed/pictures.h"

namespace berth {

using embed::Question;
using embed::Runtime;

std::string name(Health health) {
  switch (health) {
    case Health::ok:
      return "ok";
    case Health::loading:
      return "loading";
    case Health::away:
      return "away";
    case Health::stopped:
      return "stopped";
    case Health::failed:
      return "failed";
  }
  return "";
}

std::string name(ImageStage stage) {
  switch (stage) {
    case ImageStage::loading:
      return "loading";
    case ImageStage::diffusion:
      return "diffusion";
    case ImageStage::decoding:
      return "decoding";
  }
  return "";
}

// ---- Every server -------------------------------------------------------------------------------

AnyServer::AnyServer(std::shared_ptr<Runtime> runtime, std::string kind, std::string name)
    : shared_(std::make_shared<Shared>()) {
  shared_->runtime = std::move(runtime);
  shared_->kind = std::move(kind);
  shared_->name = std::move(name);
}

Result<std::string> AnyServer::name() const {
  return shared_->server_name();
}

Result<std::string> AnyServer::Shared::server_name() const {
  {
    const std::lock_guard lock(mutex);
    if (!name.empty()) return name;
  }
  const Result<client::DaemonStatus> now = runtime->status();
  const bool is_up = now || now.error().code != ErrorCode::not_running || runtime->is_client();
  if (!now && is_up) return fail(now.error());
  std::vector<std::string> names;
  for (std::size_t i = 0; now && i < now->servers.size(); ++i) {
    if (now->servers[i].kind == kind) names.push_back(now->servers[i].name);
  }
  if (names.size() == 1) return names.front();
  if (names.empty())
    return fail(ErrorCode::not_found, fmt::format("there is no {} yet; call start()", kind));
  return fail(ErrorCode::not_found,
              fmt::format("there are several of kind {}: {}; name one in the constructor", kind,
                          fmt::join(names, ", ")));
}

Result<client::ServerInfo> AnyServer::Shared::status() const {
  const Result<std::string> which = server_name();
  if (!which) return fail(which.error());
  return runtime->server(*which);
}

Result<client::ServerInfo> AnyServer::Shared::ask(Verb verb) const {
  const Result<std::string> which = server_name();
  if (!which) return fail(which.error());
  const Question<std::string> question = [&](client::Client* berth) {
    return (berth->*verb)(*which);
  };
  const Result<std::string> reply = runtime->ask(question);
  if (!reply) return fail(reply.error());
  return client::read_server(*reply);
}

Status AnyServer::Shared::provide(const embed::ServerWish& wanted) {
  Result<std::string> provided = runtime->provide(wanted);
  if (!provided) return fail(provided.error());
  const std::lock_guard lock(mutex);
  name = std::move(*provided);
  wish = wanted;
  return {};
}

std::optional<embed::ServerWish> AnyServer::Shared::last_wish() const {
  const std::lock_guard lock(mutex);
  return wish;
}

Status AnyServer::stop() {
  const Result<client::ServerInfo> stopped = shared_->ask(&client::Client::stop);
  return stopped ? Status() : fail(stopped.error());
}

Result<client::ServerInfo> AnyServer::status() const {
  return shared_->status();
}

Result<Health> AnyServer::health() const {
  const Result<client::ServerInfo> now = status();
  if (!now) return fail(now.error());
  if (now->state == "failed" || now->state == "unkillable") return Health::failed;
  if (now->state == "ready") return Health::ok;
  if (now->state == "starting") return Health::loading;
  return now->wanted == "off" ? Health::stopped : Health::away;
}

Result<std::vector<std::string>> AnyServer::logs(int lines) const {
  const Result<std::string> which = name();
  if (!which) return fail(which.error());
  const Question<std::string> question = [&](client::Client* berth) {
    return berth->logs(*which, lines);
  };
  const Result<std::string> reply = shared_->runtime->ask(question);
  if (!reply) return fail(reply.error());
  return client::read_lines(*reply);
}

Result<std::string> AnyServer::url() const {
  const Result<std::string> which = name();
  if (!which) return fail(which.error());
  const Result<client::DaemonStatus> now = shared_->runtime->status();
  if (!now) return fail(now.error());
  for (const client::ServerInfo& server : now->servers) {
    if (server.name != *which || server.front_port == 0) continue;
    return fmt::format("{}:{}", now->address.substr(0, now->address.rfind(':')), server.front_port);
  }
  return now->address;
}

// ---- LLM ----------------------------------------------------------------------------------------

LlamaServer::LlamaServer(const Berth& berth, std::string name)
    : AnyServer(berth.runtime_, "llama-server", std::move(name)) {}

namespace {

/// The wait for a start also ends when somebody stops the server meanwhile.
Status outcome_of(const Result<client::ServerInfo>& started) {
  if (!started) return fail(started.error());
  if (started->wanted != "off") return {};
  return fail(ErrorCode::stopped_by_user,
              fmt::format("server \"{}\" was stopped while it started", started->name));
}

}  // namespace

Status LlamaServer::start(const LlamaConfig& config) {
  const Status provided = shared_->provide(embed::wish_of(config));
  return provided ? outcome_of(shared_->ask(&client::Client::start)) : provided;
}

Status LlamaServer::start() {
  const auto wish = shared_->last_wish();
  if (wish) {
    const Status provided = shared_->provide(*wish);
    if (!provided) return provided;
  }
  return outcome_of(shared_->ask(&client::Client::start));
}

Status LlamaServer::restart() {
  const Status stopped = stop();
  return stopped ? start() : stopped;
}

// ---- Pictures -----------------------------------------------------------------------------------

DiffusionServer::DiffusionServer(const Berth& berth, std::string name)
    : AnyServer(berth.runtime_, "sd-server", std::move(name)),
      pictures_(std::make_shared<embed::Pictures>(berth.runtime_)) {}

Status DiffusionServer::start(const DiffusionConfig& config) {
  const Status provided = shared_->provide(embed::wish_of(config));
  return provided ? start() : provided;
}

/// It is loaded by its first picture, so only a stop() must be taken back.
Status DiffusionServer::start() {
  const Result<client::ServerInfo> now = status();
  if (!now) return fail(now.error());
  std::error_code failed;
  if (!std::filesystem::exists(now->config.model, failed)) {
    return fail(ErrorCode::model_missing,
                fmt::format("the model of \"{}\" is not there: {}", now->name, now->config.model));
  }
  if (now->wanted != "off") return {};
  const Result<client::ServerInfo> started = shared_->ask(&client::Client::start_later);
  return started ? Status() : fail(started.error());
}

Result<ImageResult> DiffusionServer::generate_image(const ImageRequest& request) {
  ImageRequest one = request;
  one.count = 1;
  Result<std::vector<ImageResult>> pictures = generate_images(one);
  if (!pictures) return fail(pictures.error());
  return std::move(pictures->front());
}

Result<std::vector<ImageResult>> DiffusionServer::generate_images(const ImageRequest& request) {
  const Result<std::string> which = name();
  if (!which) return fail(which.error());
  return pictures_->draw(*which, request);
}

Status DiffusionServer::cancel() {
  return pictures_->cancel();
}

Result<bool> DiffusionServer::busy() const {
  const Result<client::ServerInfo> now = status();
  if (!now) return fail(now.error());
  return now->running + now->waiting > 0;
}

}  // namespace berth
