// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "berth/base/result.h"
#include "berth/gateway/context.h"

namespace berth::gateway {

/// Waits until the server may work for the request, sends it there and relays the reply. If the
/// server dies before the client got a byte, the request is sent once more, as a new job.
///
/// The job ends when the server has really stopped working for it, which is before a slow client
/// has read everything, and after a client that left.
Task<void> serve_job(Call call);

/// Returns who asks, for people: X-Berth-Client, else the program of User-Agent.
std::string client_of(const http::Request& request);

/// Returns the job that the request is a tool call of: the number in X-Berth-Parent.
/// Errors: bad_request.
Result<std::optional<JobId>> parent_of(const http::Request& request);

/// Returns the hold that the request belongs to: the number in X-Berth-Hold.
/// Errors: bad_request; conflict if that hold was revoked or given back: whoever relies on it must
///   know, and would else wait for others.
Result<std::optional<JobId>> hold_of(const Call& call);

}  // namespace berth::gateway
