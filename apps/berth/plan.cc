// SPDX-License-Identifier: Apache-2.0
// plan: what fits together on a machine, and what would.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "berth/client/client.h"
#include "berth/config/config.h"
#include "commands.h"
#include "plan_options.h"
#include "plan_sources.h"
#include "plan_text.h"

namespace berth::cli {
namespace {

Result<PlanSource> source_of_config(const std::string& file) {
  const Result<config::Config> config = config::load(file);
  if (!config) return fail(config.error());
  return plan_of_config(*config);
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
  return plan_of_daemon(*status, config);
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

Result<PlanSource> source_of(const Common& common, const PlanOptions& options) {
  if (!options.has_machine() && !options.has_components()) return source_at_hand(common);
  if (!options.has_components()) {
    return fail(ErrorCode::bad_request,
                "plan what? Name what shall be there together, for example --llm 3.5GB:32/32 "
                "--diffusion 6.9GB, or --component \"WAN I2V:vram=21GB\"");
  }
  PlanSource source;
  if (options.has_machine()) {
    auto pools = read_machine(options);
    if (!pools) return fail(pools.error());
    source.question.pools = std::move(*pools);
    source.name = machine_text(source.question);
  } else {
    auto at_hand = source_at_hand(common);
    if (!at_hand) return fail(at_hand.error());
    source.question.pools = std::move(at_hand->question.pools);
    source.name = "the machine of " + at_hand->name;
  }
  auto components = read_components(options, source.question.pools);
  if (!components) return fail(components.error());
  source.question.components = std::move(*components);
  return source;
}

}  // namespace

int plan(const Common& common, const PlanOptions& options) {
  const Result<PlanSource> source = source_of(common, options);
  if (!source) return report(source.error(), common.json);
  const core::PlanReport result = core::report_on(source->question);
  say(common.json ? plan_json(source->question, result)
                  : plan_text(source->name, source->question, result));
  return 0;
}

}  // namespace berth::cli
