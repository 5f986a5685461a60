// SPDX-License-Identifier: Apache-2.0
// sd-server's own API of jobs, the one in which it names what it draws.
// Source: stable-diffusion.cpp 97d2990, examples/server/api.md.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "berth/base/result.h"
#include "berth/http/message.h"

namespace berth::servers {

/// What is to be drawn. What is not said is the server's choice.
struct PictureWish {
  std::string prompt;
  std::string negative_prompt;
  std::optional<std::int32_t> width;  ///< pixels
  std::optional<std::int32_t> height;
  std::optional<std::int32_t> steps;
  std::optional<double> cfg_scale;
  std::string sampler;  ///< one of sd_samplers(), "" = the server's choice
};

/// Returns the names of samplers that sd-server knows. It passes over others without a word.
std::span<const std::string_view> sd_samplers();

/// Returns the request for one picture.
http::Request draw_request(const PictureWish& wish, std::int64_t seed);
/// Returns the id in the answer to it. Errors: upstream, with what the server said.
Result<std::string> id_of_accepted(const http::Response& reply);

http::Request look_request(std::string_view id);
/// The answer to it: 200 if it had not begun, 409 while it is drawn.
http::Request cancel_request(std::string_view id);

/// How a picture stands.
struct PictureState {
  bool is_over = false;
  std::string png;             ///< the file; "" if it has not ended well
  std::optional<Error> error;  ///< it ended badly
};

/// Returns what the answer to look_request() says.
/// Errors: not_found if the server does not know the id (any more); upstream.
Result<PictureState> state_of(const http::Response& reply);

}  // namespace berth::servers
