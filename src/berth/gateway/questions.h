// SPDX-License-Identifier: Apache-2.0
// The seed's two questions: would an offload be needed, and what state is saved?
#pragma once

#include "berth/gateway/context.h"

namespace berth::gateway {

/// Would a request for the server put another one out? `server` is the newcomer.
http::Response offload_reply(const Call& call, ServerId server);

/// With what the server comes back while it is displaced; null if it is not.
http::Response saved_state_reply(const Call& call, ServerId server);

}  // namespace berth::gateway
