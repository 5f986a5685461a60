// SPDX-License-Identifier: Apache-2.0
// plan: what fits together on a machine, and what would.
#include <fmt/format.h>

#include "commands.h"
#include "plan_options.h"
#include "plan_text.h"

namespace berth::cli {
namespace {

using core::PlanQuestion;

Result<PlanQuestion> question_of(const PlanOptions& options) {
  if (!options.has_components()) {
    return fail(ErrorCode::bad_request,
                "plan what? Name what shall be there together, for example --llm 3.5GB:32/32 "
                "--diffusion 6.9GB, or --component \"WAN I2V:vram=21GB\"");
  }
  PlanQuestion question;
  auto pools = read_machine(options);
  if (!pools) return fail(pools.error());
  question.pools = std::move(*pools);
  auto components = read_components(options, question.pools);
  if (!components) return fail(components.error());
  question.components = std::move(*components);
  return question;
}

}  // namespace

int plan(const Common& common, const PlanOptions& options) {
  const Result<PlanQuestion> question = question_of(options);
  if (!question) return report(question.error(), common.json);
  const core::PlanReport result = core::report_on(*question);
  say(common.json ? plan_json(*question, result)
                  : plan_text(machine_text(*question), *question, result));
  return 0;
}

}  // namespace berth::cli
