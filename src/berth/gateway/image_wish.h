// SPDX-License-Identifier: Apache-2.0
// What a client of image jobs asks for. The members are those of genai-electron's image server.
#pragma once

#include <string_view>

#include "berth/base/result.h"
#include "berth/host/image_jobs.h"

namespace berth::gateway {

/// Returns whether the body is a request in OpenAI's shape: it has a member that only that one has.
bool is_openai_picture(std::string_view body);

/// Looks at a request in OpenAI's shape, or of txt2img, before anybody is put out for it: its
/// prompt, size, steps and number of pictures. The rest is sd-server's to judge.
/// Errors: bad_request with the member and what it takes; as check_body().
Status check_relayed_picture(std::string_view body);

/// Reads prompt, negativePrompt, width, height, steps, cfgScale, seed, sampler and count; also in
/// snake_case.
/// Errors: bad_request with the member and what it takes.
Result<host::ImageWish> image_wish(std::string_view body);

/// Returns the shape of one of its pictures, by which memory is told apart: "64x64"; "" if the
/// server chooses it.
std::string shape_of(const host::ImageWish& wish);

}  // namespace berth::gateway
