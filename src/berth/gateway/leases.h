// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "berth/gateway/context.h"

namespace berth::gateway {

/// Serves a lease or hold, which lives as long as its connection: a stream of JSON objects, one a
/// line, each a chunk. "waiting" unless it is granted at once, "granted" with the environment for
/// its holder's processes, then nothing until "revoked" (or "refused" while it waits), which ends
/// the stream. What is refused at once is an ordinary error reply.
///
/// The client gives it back, or stops waiting, by closing the connection.
Task<void> serve_lease(Call call);

}  // namespace berth::gateway
