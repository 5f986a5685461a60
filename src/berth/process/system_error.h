// SPDX-License-Identifier: Apache-2.0
// Turns an errno into an Error. Private to the folder.
#pragma once

#include <string>

#include "berth/base/result.h"

namespace berth::process {

/// Returns the kernel's words for an errno: "No such file or directory".
std::string reason(int error_number);

/// "<what>: <reason>", as disk_full or io.
tl::unexpected<Error> io_failure(const std::string& what, int error_number);

/// The failure of a signal to `pid`: not_found if it has ended, forbidden, or io.
tl::unexpected<Error> signal_failure(int pid, int error_number);

}  // namespace berth::process
