// SPDX-License-Identifier: Apache-2.0
// What a plan is about where the command line does not say it: the running Berth, or a
// configuration.
#pragma once

#include <optional>
#include <string>

#include "berth/base/result.h"
#include "berth/client/replies.h"
#include "berth/config/config.h"
#include "berth/core/plan_report.h"

namespace berth::plan {

struct PlanSource {
  std::string name;  ///< for people: "the Berth that runs at http://127.0.0.1:8700"
  core::PlanQuestion question;
};

/// Returns all servers of the configuration in its pools, with footprints as Berth would have them
/// that has measured nothing. Pools of the machine are read from it; one that cannot be read, or a
/// model, has an unknown size.
PlanSource plan_of_config(const config::Config& config);

/// Returns the servers of the running Berth that it may start, what is leased, and its pools as it
/// sees them now. What Berth does not tell, the classes of servers and the rest of the policy, is
/// taken from `config`.
PlanSource plan_of_daemon(const client::DaemonStatus& status,
                          const std::optional<config::Config>& config);

}  // namespace berth::plan
