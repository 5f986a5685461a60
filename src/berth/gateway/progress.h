// SPDX-License-Identifier: Apache-2.0
// Signs of life for the client of a stream that is held: comments of server-sent events, which
// clients skip and which keep proxies and timeouts from giving up.
#pragma once

#include <optional>
#include <string>

#include "berth/base/result.h"
#include "berth/gateway/context.h"

namespace berth::gateway {

inline constexpr std::string_view kProgressHeader = "X-Berth-Progress";

/// Returns how often the client wants a comment: the seconds of X-Berth-Progress, each as long as
/// `unit`. Nothing if it did not ask, or for no stream (`"stream": true` of an LLM).
/// Errors: bad_request, naming the header.
Result<std::optional<Duration>> progress_of(const Route& route, const http::Request& request,
                                            Duration unit);

/// Waits until the job is answered or the client has left. Each time that `every` has passed
/// meanwhile the client gets a comment, before the first of them the head of its reply, with
/// `headers`. It is too late for another status then, see Exchange::began().
Task<void> show_progress(Call call, host::Job& job, Duration every, http::Headers headers);

/// Returns the comment: `: at work: "chat"` and an empty line.
std::string progress_comment(std::string_view what, std::string_view server);

/// Returns the comment for a job that waits: `: waiting for "chat", about 12 s more: the turn of
/// server "image"`. `known`: what is to be expected, null if nobody knows.
std::string waiting_comment(std::string_view server, const host::WaitingStatus* known);

}  // namespace berth::gateway
