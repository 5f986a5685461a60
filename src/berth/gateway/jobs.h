// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "berth/gateway/context.h"

namespace berth::gateway {

/// Waits until the server may work for the request, sends it there and relays the reply. If the
/// server dies before the client got a byte, the request is sent once more, as a new job.
///
/// The job ends when the server has really stopped working for it, which is before a slow client
/// has read everything, and after a client that left.
Task<void> serve_job(Call call);

}  // namespace berth::gateway
