// SPDX-License-Identifier: Apache-2.0
// What servers were measured to take, and by what the memory of a request is told apart.
#pragma once

#include <string>
#include <string_view>

#include "berth/gateway/context.h"

namespace berth::gateway {

/// Answers /api/v1/footprints and /api/v1/footprints/forget?server=NAME (without a name: of all).
http::Response footprints_reply(const Call& call);

/// Returns the size of the pictures that the body asks for, "512x768"; with more than one, "x4"
/// behind it; "" where it does not say. What else a picture is made of does not move its memory.
std::string picture_shape(std::string_view body);

}  // namespace berth::gateway
