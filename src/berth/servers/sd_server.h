// SPDX-License-Identifier: Apache-2.0
// stable-diffusion.cpp's sd-server. It answers before its weights are loaded, listens on TCP only,
// draws one picture at a time, and cannot cancel a picture that runs.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "berth/config/server_options.h"
#include "berth/servers/adapter.h"
#include "berth/servers/help_text.h"
#include "berth/servers/sd_log.h"
#include "berth/servers/supervised.h"

namespace berth::servers {

/// Returns the arguments without the program.
std::vector<std::string> sd_arguments(const config::SdOptions& options, std::uint16_t port);

class SdServer final : public Adapter {
 public:
  /// `job_limit`: a picture whose client has left is awaited this long from its begin; then the
  /// server is killed, since it hangs.
  SdServer(std::string name, config::SdOptions options, Places places,
           std::shared_ptr<HelpCache> help, Duration job_limit);

  Task<Result<process::LaunchSpec>> launch_spec() override;
  Task<Result<Started>> start(StartContext context) override;
  Task<Status> stop(bool keep, Duration deadline) override;
  void expect_work(Generation generation, std::vector<std::string> ids) override;
  bool names_expected_work() const override { return names_expected_work_; }
  Task<Status> free_models() override;
  bool can_free_models() const override;
  Task<Status> adopt(Generation generation, process::LaunchSpec launch) override;
  http::Endpoint endpoint() const override;
  std::unique_ptr<Work> begin_work(const http::Request& request) override;
  process::Process* process() override { return supervised_.process(); }
  std::optional<std::string> last_known(std::string_view path) const override;
  std::string state_note() const override { return ""; }

 private:
  class Picture;
  friend class Picture;

  SupervisedKind kind();
  void on_line(std::string_view line);
  void step(std::string_view name, std::string detail);
  Task<Result<Started>> serve_again();
  Task<bool> healthy(Duration limit);
  Task<bool> draws_after(Duration limit);
  Task<bool> names_all(std::vector<std::string> ids);
  [[nodiscard]] bool restarts_on_cancel() const { return options_.cancel == "restart"; }
  void read_port();

  std::string name_;
  config::SdOptions options_;
  Places places_;
  std::shared_ptr<HelpCache> help_;
  Duration job_limit_;
  Supervised supervised_;
  process::LaunchSpec launch_;
  SdLog log_;
  Event listening_;
  Event log_changed_;       // pulsed with each line
  Event picture_ended_;     // pulsed when the log says so, and when the process ends
  bool replaying_ = false;  // the log of an adopted server tells of pictures that are over
  std::uint16_t port_ = 0;
  Generation generation_;
  Generation expected_of_;
  std::vector<std::string> expected_;
  bool names_expected_work_ = false;
};

}  // namespace berth::servers
