// SPDX-License-Identifier: Apache-2.0
// llama.cpp's llama-server. Facts: reference/llama-server-observed.md; each trap is named where it
// is avoided.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "berth/config/server_options.h"
#include "berth/servers/adapter.h"
#include "berth/servers/help_text.h"
#include "berth/servers/llama_log.h"
#include "berth/servers/saved_slots.h"
#include "berth/servers/supervised.h"

namespace berth::servers {

/// Returns those of its arguments that change what it takes, without model, context, slots and
/// extra_args.
std::vector<std::string> memory_arguments(const config::LlamaOptions& options);

/// Returns the arguments without the program: the same options give the same bytes.
/// `known` decides only about what older servers lack and do not need.
std::vector<std::string> llama_arguments(const std::string& name,
                                         const config::LlamaOptions& options, const Places& places,
                                         const std::set<std::string>& known);

class LlamaServer final : public Adapter {
 public:
  LlamaServer(std::string name, config::LlamaOptions options, Places places,
              std::shared_ptr<HelpCache> help);
  ~LlamaServer() override;

  Task<Result<process::LaunchSpec>> launch_spec() override;
  Task<Result<Started>> start(StartContext context) override;
  Task<Status> stop(bool keep, Duration deadline) override;
  Task<Status> adopt(Generation generation, process::LaunchSpec launch) override;
  http::Endpoint endpoint() const override;
  std::unique_ptr<Work> begin_work(const http::Request& request) override;
  process::Process* process() override { return supervised_.process(); }
  std::optional<std::string> last_known(std::string_view path) const override;
  Task<void> look_again(std::string path) override;
  std::string state_note() const override { return note_; }

 private:
  class Request;
  friend class Request;

  SupervisedKind kind();
  void on_line(std::string_view line);
  void step(std::string_view name, std::string detail);
  Task<bool> healthy(Duration limit);
  Task<void> remember_reads();
  Task<void> warn_about_gpu(std::string binary);
  Task<Status> wait_released(std::size_t others, Duration deadline);
  Task<void> save_slots();
  Task<Result<SavedSlot>> save_slot(int slot);
  Task<std::optional<bool>> restore_slots();
  Task<Status> restore_slot(const SavedSlot& saved, int into);
  Task<Result<SlotOwner>> slot_owner(const process::LaunchSpec& launch);
  void first_reply_after_restore(const std::string& body, std::int64_t cached_tokens);

  std::string name_;
  config::LlamaOptions options_;
  Places places_;
  std::shared_ptr<HelpCache> help_;
  Supervised supervised_;
  process::LaunchSpec launch_;
  Generation generation_;
  LlamaLog log_;
  Event loaded_;
  Event slots_changed_;  // pulsed: a slot was released
  std::size_t open_requests_ = 0;
  std::map<std::string, std::string, std::less<>> reads_;
  std::optional<SlotOwner> reads_owner_;  ///< who gave all of them
  bool serves_ = false;
  bool looks_ = false;
  std::chrono::steady_clock::time_point looked_at_;
  Event look_over_;
  std::string note_;
  bool restorable_ = true;  // false: a restore was seen to have no effect
  bool restored_unproven_ = false;
  std::vector<std::string> last_bodies_;  // in memory only; newest last
};

}  // namespace berth::servers
