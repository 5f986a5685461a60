// SPDX-License-Identifier: Apache-2.0
// What clients poll. Answered by Berth; no server is started, and no swap is delayed.
#pragma once

#include "berth/gateway/context.h"
#include "berth/http/message.h"

namespace berth::gateway {

http::Response json_reply(std::string body, int status = 200);

/// Returns the servers as OpenAI's model objects; on a front port what its server said last.
http::Response models_reply(const Call& call);
/// Returns "ok" while requests are answered, if need be after a wait: also while displaced.
http::Response health_reply(const Call& call);
/// Returns what the server of the front port said when it last got ready.
http::Response last_known_reply(const Call& call);

}  // namespace berth::gateway
