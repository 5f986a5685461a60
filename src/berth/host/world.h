// SPDX-License-Identifier: Apache-2.0
// What the core is told at start: configuration, rows and found processes, in its own words.
#pragma once

#include <string>
#include <vector>

#include "berth/config/config.h"
#include "berth/core/events.h"
#include "berth/host/journal.h"
#include "berth/store/store.h"

namespace berth::host {

/// Returns the core's configuration with every footprint filled in: declared, else the seed's
/// formula over the model file's size; how many layers the model has, the formula takes from the
/// configuration, else from the model's header. A size that cannot be read counts as the whole
/// pool.
core::Config complete_config(const config::Config& config);

/// Monotonic and wall time, read together.
Journal::Stamp stamp_now();

core::Row to_core(const store::ServerRow& row, const core::Config& config, Journal::Stamp now);
store::ServerRow to_store(const core::Row& row, const core::Config& config, std::string launch_spec,
                          Journal::Stamp now);

/// Returns the position of the server with that name, or nothing.
std::optional<ServerId> find_server(const core::Config& config, std::string_view name);

}  // namespace berth::host
