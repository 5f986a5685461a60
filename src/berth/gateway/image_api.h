// SPDX-License-Identifier: Apache-2.0
// Image jobs over HTTP: genai-electron's routes on the front port of an image server, and the same
// under /api/v1.
#pragma once

#include "berth/gateway/context.h"

namespace berth::gateway {

/// Takes an image job on and answers 201 with its id, or relays a request in OpenAI's shape, which
/// on a front port comes by the same route.
Task<void> serve_draw(Call call);

/// Answers how the image job of that id stands, or cancels it, or streams its events, by its route.
Task<void> serve_image_job(Call call);

}  // namespace berth::gateway
