// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/sd_native.h"

#include <array>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/base/base64.h"

namespace berth::servers {
namespace {

namespace json = boost::json;

constexpr std::string_view kJobs = "/sdcpp/v1/jobs/";
constexpr std::size_t kQuotedMax = 200;

/// Those of sampling in stable-diffusion.cpp 97d2990.
constexpr auto kSamplers = std::to_array<std::string_view>(
    {"euler",         "euler_a",        "heun",    "dpm2",         "dpm++2s_a",      "dpm++2m",
     "dpm++2mv2",     "ipndm",          "ipndm_v", "lcm",          "ddim_trailing",  "tcd",
     "res_multistep", "res_2s",         "er_sde",  "euler_cfg_pp", "euler_a_cfg_pp", "euler_ge",
     "dpm++2m_sde",   "dpm++2m_sde_bt", "lms"});

Error broken_reply(const http::Response& reply) {
  return {ErrorCode::upstream, fmt::format("sd-server answered {}: {}", reply.status,
                                           std::string_view(reply.body).substr(0, kQuotedMax))};
}

/// Returns the text at `path`, "" if there is none.
std::string text_at(const json::value& value, std::string_view path) {
  boost::system::error_code missing;
  const json::value* found = value.find_pointer(path, missing);
  if (missing || found == nullptr || !found->is_string()) return "";
  return std::string(found->get_string());
}

Result<json::value> parsed(const http::Response& reply) {
  boost::system::error_code broken;
  json::value value = json::parse(reply.body, broken);
  if (broken) return fail(broken_reply(reply));
  return value;
}

}  // namespace

std::span<const std::string_view> sd_samplers() {
  return kSamplers;
}

http::Request draw_request(const PictureWish& wish, std::int64_t seed) {
  // Pictures are kept on the disk, where no prompt is.
  json::object body{{"embed_image_metadata", false},
                    {"prompt", wish.prompt},
                    {"seed", seed},
                    {"batch_count", 1},
                    {"output_format", "png"}};
  if (!wish.negative_prompt.empty()) body["negative_prompt"] = wish.negative_prompt;
  if (wish.width) body["width"] = *wish.width;
  if (wish.height) body["height"] = *wish.height;
  json::object sampling;
  if (wish.steps) sampling["sample_steps"] = *wish.steps;
  if (!wish.sampler.empty()) sampling["sample_method"] = wish.sampler;
  if (wish.cfg_scale) sampling["guidance"] = json::object{{"txt_cfg", *wish.cfg_scale}};
  if (!sampling.empty()) body["sample_params"] = std::move(sampling);
  http::Request request;
  request.method = "POST";
  request.target = "/sdcpp/v1/img_gen";
  request.headers.set("Content-Type", "application/json");
  request.body = json::serialize(body);
  return request;
}

Result<std::string> id_of_accepted(const http::Response& reply) {
  const auto value = parsed(reply);
  if (!value) return fail(value.error());
  std::string id = text_at(*value, "/id");
  if (reply.status != 202 || id.empty()) return fail(broken_reply(reply));
  return id;
}

http::Request look_request(std::string_view id) {
  http::Request request;
  request.target = fmt::format("{}{}", kJobs, id);
  return request;
}

http::Request cancel_request(std::string_view id) {
  http::Request request;
  request.method = "POST";
  request.target = fmt::format("{}{}/cancel", kJobs, id);
  return request;
}

Result<PictureState> state_of(const http::Response& reply) {
  if (reply.status == 404 || reply.status == 410) {
    return fail(ErrorCode::not_found, "sd-server does not know the picture any more");
  }
  const auto value = parsed(reply);
  if (!value) return fail(value.error());
  const std::string status = text_at(*value, "/status");
  PictureState state;
  if (reply.status == 200 && (status == "queued" || status == "generating")) return state;
  state.is_over = true;
  if (reply.status == 200 && status == "completed") {
    auto png = decode_base64(text_at(*value, "/result/images/0/b64_json"));
    if (!png || png->empty()) return fail(broken_reply(reply));
    state.png = std::move(*png);
  } else if (reply.status == 200 && (status == "failed" || status == "cancelled")) {
    state.error = Error{ErrorCode::upstream,
                        fmt::format("the picture failed: {}", text_at(*value, "/error/message"))};
  } else {
    return fail(broken_reply(reply));
  }
  return state;
}

}  // namespace berth::servers
