// SPDX-License-Identifier: Apache-2.0
// How each protocol is told of an error: as a reply, or as the last event of a stream.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "berth/base/error.h"
#include "berth/gateway/routes.h"
#include "berth/http/message.h"

namespace berth::gateway {

/// Returns the reply with the one envelope. Anthropic's clients also find their `"type":"error"`.
http::Response error_reply(ErrorForm form, const Error& error,
                           std::optional<std::int64_t> retry_after_seconds = std::nullopt);

/// Returns the server-sent event that ends a stream which has begun.
std::string error_event(ErrorForm form, const Error& error);

/// Returns the same for the body of an error reply of a server, whose head came too late to be sent
/// on: the body itself if it is JSON, else an error of Berth that quotes it.
std::string late_error_event(ErrorForm form, const std::string& body);

}  // namespace berth::gateway
