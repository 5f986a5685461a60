// SPDX-License-Identifier: Apache-2.0
// Makes a keeper's directory and starts the keeper in it. Private to the folder.
#pragma once

#include "berth/base/result.h"
#include "berth/process/process.h"
#include "berth/process/unique_fd.h"

namespace berth::process {

/// Makes the directory with mode 0700, and what is missing above it.
/// Errors: conflict if a keeper's files are in it; io.
Status make_directory(const std::string& directory);

/// Writes the spec and starts the keeper, a child of this process. Returns its pidfd.
/// Errors: binary_missing if the keeper cannot be executed; io; disk_full.
Result<UniqueFd> spawn_keeper(const StartOptions& options);

}  // namespace berth::process
