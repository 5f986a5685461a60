// SPDX-License-Identifier: Apache-2.0
// llama-fit-params, a program of llama.cpp: it builds model and graph without their memory and says
// what they would take.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/result.h"
#include "berth/config/server_options.h"
#include "berth/core/header_estimate.h"
#include "berth/http/async.h"

namespace berth::servers {

/// Reads what it printed: a line for each device and one for the host, `NAME model context compute`
/// in MiB, rounded down there and up here.
/// Errors: upstream, quoting what it said instead.
Result<core::DryRun> parse_fit(std::string_view output);

/// Returns its path: beside the llama-server of these options, else from PATH; nothing: neither.
std::optional<std::string> find_fit_params(const config::LlamaOptions& options);

/// Returns its command line for a server with these options.
std::vector<std::string> fit_arguments(const std::string& program,
                                       const config::LlamaOptions& options);

/// Errors: as parse_fit(); binary_missing; deadline after 10 s.
Task<Result<core::DryRun>> dry_run(std::string program, config::LlamaOptions options);

}  // namespace berth::servers
