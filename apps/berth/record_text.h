// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "berth/host/host.h"

namespace berth::cli {

/// Returns the line of a Berth in the foreground: for a person, printable; or the record as it
/// stands in the journal.
std::string line_of(const host::Record& record, bool json);

}  // namespace berth::cli
