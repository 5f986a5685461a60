// SPDX-License-Identifier: Apache-2.0
// plan: what fits together on a machine, and what would.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "berth/client/client.h"
#include "berth/config/config.h"
#include "berth/plan/report_json.h"
#include "berth/plan/sources.h"
#include "commands.h"
#include "plan_text.h"

namespace berth::cli {
namespace {

using plan::PlanSource;

Result<PlanSource> source_of_config(const std::string& file) {
  const Result<config::Config> config = config::load(file);
  if (!config) return fail(config.error());
  return plan::plan_of_config(*config);
}

/// Errors: not_running if there is none.
Result<PlanSource> source_of_daemon(const Common& common) {
  const Result<std::string> state_dir = find_state_dir(common);
  if (!state_dir) return fail(state_dir.error());
  IoLoop loop;
  client::Client client(loop.executor(), *state_dir);
  const Result<std::string> reply = run_on(loop, client.status());
  if (!reply) return fail(reply.error());
  const Result<client::DaemonStatus> status = client::read_status(*reply);
  if (!status) return fail(status.error());
  std::optional<config::Config> config;
  if (const auto file = find_config(common)) {
    auto loaded = config::load(*file);
    if (loaded) config = std::move(*loaded);
  }
  return plan::plan_of_daemon(*status, config);
}

/// --config FILE; else the Berth that runs, else the configuration that `berth up` would take.
Result<PlanSource> source_at_hand(const Common& common) {
  if (common.config) return source_of_config(*common.config);
  Result<PlanSource> running = source_of_daemon(common);
  if (running || running.error().code != ErrorCode::not_running) return running;
  const Result<std::string> file = find_config(common);
  if (file) return source_of_config(*file);
  return fail(ErrorCode::not_found,
              fmt::format("plan what? {}. Or describe a machine, for example --vram 8GB --llm "
                          "3.5GB:32/32 --diffusion 6.9GB",
                          running.error().message));
}

}  // namespace

int plan(const Common& common, const plan::Options& options) {
  std::string name;
  const auto at_hand = [&]() -> Result<core::PlanQuestion> {
    Result<PlanSource> source = source_at_hand(common);
    if (!source) return fail(source.error());
    name = options.has_components() ? "the machine of " + source->name : source->name;
    return std::move(source->question);
  };
  const auto question = plan::question_of(options, at_hand);
  if (!question) return report(question.error(), common.json);
  const core::PlanReport result = core::report_on(*question);
  if (common.json) {
    say(plan::report_json(*question, result) + "\n");
    return 0;
  }
  say(plan_text(options.has_machine() ? machine_text(*question) : name, *question, result));
  return 0;
}

}  // namespace berth::cli
