// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "berth/base/result.h"
#include "berth/process/unique_fd.h"

namespace berth::process {

/// Returns a pidfd of the living Berth that holds the lock on `path`; an empty one if there is
/// none.
UniqueFd open_lock_owner(const std::string& path);

/// Returns the folder of the device locks: `berth` below XDG_RUNTIME_DIR, else below the folder for
/// temporary files, with the user's number in its name.
std::string runtime_directory();

/// Says "a Berth is alive on this state directory": an flock that the kernel drops when the
/// process ends, however it ends. Keepers wait for that moment to start their orphan timeout.
class AliveLock {
 public:
  /// Takes the lock on `path` (made if missing, never deleted) and writes the own pid into it.
  /// Errors: already_running, naming the owner's pid and the state directory; io.
  static Result<AliveLock> acquire(const std::string& path);
  /// Takes the machine's lock of a memory that only one Berth may hand out, in `runtime_dir`;
  /// `pool` is what the configuration calls it.
  /// Errors: already_running, naming the owner's pid and the device; io.
  static Result<AliveLock> acquire_device(const std::string& runtime_dir, const std::string& device,
                                          const std::string& pool);

  AliveLock(AliveLock&&) noexcept = default;
  AliveLock& operator=(AliveLock&& other) noexcept;
  ~AliveLock();

 private:
  static Result<AliveLock> acquire(const std::string& path, const std::string& what);
  explicit AliveLock(UniqueFd file) : file_(std::move(file)) {}
  void release();

  UniqueFd file_;
};

}  // namespace berth::process
