// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "berth/berth.h"
#include "berth/embed/handle.h"

namespace berth {

using embed::Question;

ResourceOrchestrator::ResourceOrchestrator(LlamaServer llama, DiffusionServer diffusion)
    : llama_(std::move(llama)), diffusion_(std::move(diffusion)) {}

// The machine and the models are the Berth's, whose servers these are.
ResourceOrchestrator::ResourceOrchestrator(std::optional<SystemInfo> /*system_info*/,
                                           LlamaServer llama, DiffusionServer diffusion,
                                           const std::optional<ModelManager>& /*models*/)
    : ResourceOrchestrator(std::move(llama), std::move(diffusion)) {}

Result<ImageResult> ResourceOrchestrator::orchestrate_image_generation(
    const ImageRequest& request) {
  return diffusion_.generate_image(request);
}

/// Another LLM that would be put out is not this orchestrator's.
Result<bool> ResourceOrchestrator::would_need_offload() const {
  const Result<std::string> newcomer = diffusion_.name();
  if (!newcomer) return fail(newcomer.error());
  const Result<client::ServerInfo> llama = llama_.status();
  if (!llama && llama.error().code == ErrorCode::not_found) return false;  // none was ever started
  if (!llama) return fail(llama.error());
  const Question<std::string> question = [&](client::Client* berth) {
    return berth->would_need_offload(*newcomer);
  };
  const Result<std::string> reply = diffusion_.shared_->runtime->ask(question);
  if (!reply) return fail(reply.error());
  const Result<std::vector<std::string>> victims = client::read_offload_victims(*reply);
  if (!victims) return fail(victims.error());
  return std::find(victims->begin(), victims->end(), llama->name) != victims->end();
}

namespace {

SavedState saved_state_of(client::SavedStateInfo saved, const std::string& server) {
  const auto number = [](const std::optional<std::int64_t>& value) {
    return value ? std::optional<int>(static_cast<int>(*value)) : std::nullopt;
  };
  SavedState state;
  state.config.name = server;
  state.config.model_id = std::move(saved.config.model);
  if (saved.config.port != 0) state.config.port = static_cast<std::uint16_t>(saved.config.port);
  state.config.threads = number(saved.config.threads);
  state.config.gpu_layers = number(saved.config.gpu_layers);
  state.config.context_size = number(saved.config.context_size);
  state.config.parallel = number(saved.config.parallel);
  const std::string& flash = saved.config.flash_attention;
  if (flash == "on" || flash == "off") state.config.flash_attention = flash == "on";
  state.argv = std::move(saved.argv);
  state.was_running = saved.was_running;
  state.saved_at = saved.saved_at;
  state.displaced_by = std::move(saved.displaced_by);
  return state;
}

}  // namespace

Result<std::optional<SavedState>> ResourceOrchestrator::saved_state() const {
  const Result<std::string> which = llama_.name();
  if (!which && which.error().code == ErrorCode::not_found) return std::optional<SavedState>();
  if (!which) return fail(which.error());
  const Question<std::string> question = [&](client::Client* berth) {
    return berth->saved_state(*which);
  };
  const Result<std::string> reply = llama_.shared_->runtime->ask(question);
  if (!reply) return fail(reply.error());
  Result<std::optional<client::SavedStateInfo>> saved = client::read_saved_state(*reply);
  if (!saved) return fail(saved.error());
  if (!*saved) return std::optional<SavedState>();
  SavedState state = saved_state_of(std::move(**saved), *which);
  // As the program calls it, where this process has started it.
  if (const auto wish = llama_.shared_->last_wish()) state.config.model_id = wish->model_id;
  return std::optional<SavedState>(std::move(state));
}

Status ResourceOrchestrator::clear_saved_state() {
  const Result<client::ServerInfo> cleared = llama_.shared_->ask(&client::Client::clear);
  return cleared ? Status() : fail(cleared.error());
}

namespace {

Result<bool> is_back(const client::ServerInfo& llama, bool comes_back) {
  if (llama.state == "failed" || llama.state == "unkillable") {
    return fail(ErrorCode::start_failed,
                fmt::format("\"{}\" is not back: {}", llama.name, llama.failure));
  }
  if (!llama.displaced) return true;
  if (comes_back) return false;
  return fail(ErrorCode::conflict,
              fmt::format("\"{}\" does not come back by itself: its saved state was cleared; call "
                          "start(), or send it a request",
                          llama.name));
}

}  // namespace

Status ResourceOrchestrator::wait_for_reload() {
  const Result<std::string> which = llama_.name();
  if (!which) return fail(which.error());
  const embed::Condition condition = [&](const client::DaemonStatus& now) -> Result<bool> {
    for (const client::ServerInfo& server : now.servers) {
      if (server.name == *which) return is_back(server, server.comes_back);
    }
    return fail(ErrorCode::not_found, fmt::format("there is no server \"{}\" any more", *which));
  };
  return llama_.shared_->runtime->await(condition);
}

}  // namespace berth
