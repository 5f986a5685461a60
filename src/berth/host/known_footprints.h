// SPDX-License-Identifier: Apache-2.0
// What is known of what servers take, and which of it is planned with (design section 5, ADR 0009).
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "berth/config/config.h"
#include "berth/core/header_estimate.h"
#include "berth/core/types.h"
#include "berth/store/store.h"

namespace berth::host {

/// What dry runs of llama.cpp said, by footprint_key().
using DryRuns = std::map<std::string, core::DryRun>;

/// Returns by what a server is recognised whose memory was measured: its kind, its model and
/// program (path, size, time) and the arguments that matter for memory. One that has changed is
/// another one.
std::string footprint_key(const config::ServerOptions& server);

/// Returns which file its model is (device, number, size, time), "" if there is none: another one
/// in its place is another plan.
std::string model_file(const config::ServerOptions& server);

/// Returns the most that was measured of it in that pool, at any stage; nothing: never measured.
std::optional<Bytes> most_measured(const std::vector<store::FootprintRow>& rows,
                                   const std::string& key, const std::string& pool);

/// Completes what memory is planned with, by the preset.
/// `seed`: each pool gets a second one (core::PoolConfig::again) in which the best that is known
/// stands, of which all may be used; in the first ones stands the seed's formula, or what the
/// configuration declares. `measured`: the best that is known stands in every pool, and no other.
/// Best first: measured here, the model's header (with a dry run, where there was one), the formula
/// or what is declared. What a server was found to need when it ran out of memory is not undercut.
void plan_by_preset(core::Config& complete, const config::Config& config,
                    const std::vector<store::FootprintRow>& rows, const DryRuns& dry_runs = {});

/// Returns the pool in which what was measured in `pool` is planned with.
std::optional<PoolId> learning_pool(const core::Config& config, PoolId pool);

}  // namespace berth::host
