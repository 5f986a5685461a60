// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/http/async.h"

namespace berth::servers {

/// Returns the absolute path of a program: itself if it has a '/', else from PATH.
/// Errors: binary_missing, naming the program and `setting`, the key that can name another one.
Result<std::string> find_program(const std::string& name, std::string_view setting);

/// Returns the variables that a server inherits, as "NAME=value": what loaders and GPU drivers
/// need, and nothing that could change a server's options (LLAMA_ARG_*) or carry a secret.
std::vector<std::string> server_environment();

/// Returns {program, argument}. GCC 12 cannot compile a braced list inside a co_await expression.
std::vector<std::string> words(const std::string& program, const char* argument);

/// Runs a short command (`--help`) and returns what it printed on stdout and stderr.
/// Errors: binary_missing if it cannot be executed or dies by a signal; deadline.
Task<Result<std::string>> capture(std::vector<std::string> argv,
                                  std::vector<std::string> environment, Duration deadline);

/// Runs `work` on a thread of its own, so that a large file or an fsync does not stop the strand.
Task<Status> on_thread(std::function<Status()> work);

}  // namespace berth::servers
