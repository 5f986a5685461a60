// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "berth/gateway/context.h"
#include "berth/host/host.h"

namespace berth::gateway {

/// Returns the reply of GET /api/v1/status. The names are part of the API.
std::string status_json(const Context& context, const host::HostStatus& status);

/// Returns the reply of GET /api/v1/leases: the leases and holds of the status.
std::string leases_json(const host::HostStatus& status);

/// Returns one server as it stands in that reply.
std::string server_json(const host::ServerStatus& server);

}  // namespace berth::gateway
