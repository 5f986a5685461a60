// SPDX-License-Identifier: Apache-2.0
// Footprints that were measured here, and the second rule that they are planned by (ADR 0009).
#pragma once

#include <string>
#include <vector>

#include "berth/config/config.h"
#include "berth/core/events.h"
#include "berth/store/store.h"

namespace berth::host {

/// Returns by what a server is recognised whose memory was measured: its kind, its model and
/// program (path, size, time) and the arguments that matter for memory. One that has changed is
/// another one.
std::string footprint_key(const config::ServerOptions& server);

/// Adds each pool a second time (core::PoolConfig::again). In it a server stands with what was
/// measured of it, else with what its model's header tells (header_footprint.h), else with what is
/// planned with; all of the pool may be used.
void add_second_pools(core::Config& complete, const std::vector<config::ServerOptions>& servers,
                      const std::vector<store::FootprintRow>& measured);

/// Returns the footprint with the same bytes in the second pools.
core::Footprint in_second_pools(core::Footprint bytes, const core::Config& config);

/// Adds what the second pools hold to a sample of the first ones.
void add_second_pools(core::Measured& sample, const core::Config& config);

}  // namespace berth::host
