// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "berth/config/sections.h"

namespace berth::config {

/// Finds the servers that are named by the key `fallback`, and gives `max_hold` of the policy to
/// servers that have none of their own. `servers` is the table of their sections; the rest of the
/// file has been read.
void resolve_fallbacks(const Node::Table& servers, Reading& reading);

}  // namespace berth::config
