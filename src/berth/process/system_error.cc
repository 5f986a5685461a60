// SPDX-License-Identifier: Apache-2.0
#include "berth/process/system_error.h"

#include <fmt/format.h>

#include <cerrno>
#include <system_error>

namespace berth::process {

std::string reason(int error_number) {
  return std::generic_category().message(error_number);
}

tl::unexpected<Error> io_failure(const std::string& what, int error_number) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  return fail(full ? ErrorCode::disk_full : ErrorCode::io,
              fmt::format("{}: {}", what, reason(error_number)));
}

tl::unexpected<Error> signal_failure(int pid, int error_number) {
  if (error_number == ESRCH) {
    return fail(ErrorCode::not_found, fmt::format("process {} has ended", pid));
  }
  const bool forbidden = error_number == EPERM;
  return fail(forbidden ? ErrorCode::forbidden : ErrorCode::io,
              fmt::format("cannot signal process {}: {}", pid, reason(error_number)));
}

}  // namespace berth::process
