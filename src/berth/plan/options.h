// SPDX-License-Identifier: Apache-2.0
// What a plan is asked for: the words of the command line and of the control API.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "berth/base/result.h"
#include "berth/core/plan_report.h"

namespace berth::plan {

struct Options {
  std::string prefix;                   ///< of an option's name in messages: "--", ""
  std::vector<std::string> vram;        ///< one amount a GPU
  std::string ram;                      ///< "": not said
  std::vector<std::string> foreign;     ///< POOL=AMOUNT
  std::vector<std::string> llms;        ///< SIZE[:LAYERS][,KEY=VALUE]..
  std::vector<std::string> diffusions;  ///< SIZE[,KEY=VALUE]..
  std::vector<std::string> components;  ///< NAME:KEY=VALUE,..

  [[nodiscard]] bool has_machine() const { return !vram.empty() || !ram.empty(); }
  [[nodiscard]] bool has_components() const {
    return !llms.empty() || !diffusions.empty() || !components.empty();
  }
};

/// Returns the pools of the machine that the options describe: gpu0.vram .., then ram, whose
/// capacity is unknown if the options do not say it.
/// Errors: bad_request, naming the option, what is wrong and what to write.
Result<std::vector<core::PlanPool>> read_machine(const Options& options);

/// Returns the options' components on a machine with these pools: LLMs, diffusion models, others.
/// Errors: bad_request, naming the option, what is wrong and what to write.
Result<std::vector<core::PlanComponent>> read_components(const Options& options,
                                                         const std::vector<core::PlanPool>& pools);

/// Returns what the options ask. Where they name no machine it is about that of `at_hand`, and
/// where they name nothing it is all that is there.
/// Errors: as the two above, and as `at_hand`.
Result<core::PlanQuestion> question_of(const Options& options,
                                       const std::function<Result<core::PlanQuestion>()>& at_hand);

}  // namespace berth::plan
