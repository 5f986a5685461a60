// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "berth/base/result.h"
#include "berth/process/unique_fd.h"

namespace berth::process {

/// Says "a Berth is alive on this state directory": an flock that the kernel drops when the
/// process ends, however it ends. Keepers wait for that moment to start their orphan timeout.
class AliveLock {
 public:
  /// Takes the lock on `path` (made if missing, never deleted) and writes the own pid into it.
  /// Errors: already_running, naming the owner's pid and the state directory; io.
  static Result<AliveLock> acquire(const std::string& path);

  AliveLock(AliveLock&&) noexcept = default;
  AliveLock& operator=(AliveLock&& other) noexcept;
  ~AliveLock();

 private:
  explicit AliveLock(UniqueFd file) : file_(std::move(file)) {}
  void release();

  UniqueFd file_;
};

}  // namespace berth::process
