// SPDX-License-Identifier: Apache-2.0
// From a model's header and a server's options to what the core's estimate asks for.
#pragma once

#include <optional>
#include <variant>

#include "berth/config/server_options.h"
#include "berth/core/header_estimate.h"
#include "berth/core/types.h"
#include "berth/models/model.h"

namespace berth::host {

core::ModelFacts model_facts(const models::Model& model);

core::LaunchFacts launch_facts(const config::LlamaOptions& options);

/// Returns what the server will take by the header of its model, cache_ram included.
std::variant<core::HeaderEstimate, core::Unknowable> header_estimate(
    const models::Model& model, const config::LlamaOptions& options);

/// As above for a server whose header is still to be read; nothing where it cannot be told, for
/// other kinds, and where the configuration declares the memory. Without a device everything is on
/// the host, whatever `gpu_layers` says.
std::optional<core::HeaderEstimate> header_estimate(const config::ServerOptions& server,
                                                    bool has_device);

/// Returns the part of the estimate that lies in a pool of that kind.
Bytes share_of(const core::HeaderEstimate& estimate, core::PoolKind pool);

}  // namespace berth::host
