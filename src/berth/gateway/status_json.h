// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <vector>

#include "berth/gateway/context.h"
#include "berth/host/host.h"

namespace berth::gateway {

/// Returns the reply of GET /api/v1/status. The names are part of the API.
std::string status_json(const Context& context, const host::HostStatus& status);

/// Returns the array of the jobs that wait.
std::string waiting_json(const std::vector<host::WaitingStatus>& waiting);

/// Returns the reply of GET /api/v1/waits: the newest `limit` waits, oldest first, and by how much
/// the middle one of those that ran was off.
std::string waits_json(const std::deque<host::PastWait>& waits, std::size_t limit);

/// Returns the reply of GET /api/v1/leases: the leases and holds of the status.
std::string leases_json(const host::HostStatus& status);

/// Returns one server as it stands in that reply.
std::string server_json(const Context& context, const host::HostStatus& status, ServerId server);

}  // namespace berth::gateway
