// SPDX-License-Identifier: Apache-2.0
#include "sd_json.h"

#include <algorithm>
#include <atomic>
#include <ctime>
#include <filesystem>

#include "sd_painter.h"

namespace berth::standin {
namespace {

namespace json = boost::json;

void take_integer(const json::object& body, std::string_view name, std::int64_t& target) {
  const auto* value = body.if_contains(name);
  if (value != nullptr && value->is_int64()) target = value->as_int64();
}

void take_integer(const json::object& body, std::string_view name, int& target) {
  std::int64_t wide = target;
  take_integer(body, name, wide);
  target = static_cast<int>(wide);
}

void take_text(const json::object& body, std::string_view name, std::string& target) {
  const auto* value = body.if_contains(name);
  if (value != nullptr && value->is_string()) target = value->as_string();
}

json::object features() {
  json::object features;
  for (const char* name :
       {"init_image", "mask_image", "control_image", "ip_adapter_image", "ref_images", "lora",
        "vae_tiling", "hires", "cache", "cancel_generating"}) {
    features[name] = false;
  }
  features["cancel_queued"] = true;
  return features;
}

json::object picture_defaults(const Options& options) {
  return {
      {"prompt", ""},
      {"negative_prompt", ""},
      {"width", options.width > 0 ? options.width : 512},
      {"height", options.height > 0 ? options.height : 512},
      {"seed", options.seed},
      {"batch_count", 1},
      {"sample_params",
       {{"scheduler", "default"}, {"sample_method", "euler_a"}, {"sample_steps", options.steps}}},
      {"output_format", "png"},
      {"output_compression", 100}};
}

}  // namespace

std::string text_field(const json::object& body, std::string_view name, std::string otherwise) {
  const auto* value = body.if_contains(name);
  if (value == nullptr) return otherwise;
  if (!value->is_string()) throw std::runtime_error("type must be string");
  return std::string(value->as_string());
}

std::int64_t number_field(const json::object& body, std::string_view name, std::int64_t otherwise) {
  const auto* value = body.if_contains(name);
  if (value == nullptr) return otherwise;
  if (!value->is_number()) throw std::runtime_error("type must be number");
  return value->is_double() ? static_cast<std::int64_t>(value->as_double())
                            : value->to_number<std::int64_t>();
}

void take_native_fields(const json::object& body, PictureRequest& request) {
  take_text(body, "prompt", request.prompt);
  take_text(body, "negative_prompt", request.negative_prompt);
  take_integer(body, "width", request.width);
  take_integer(body, "height", request.height);
  take_integer(body, "batch_count", request.count);
  take_integer(body, "seed", request.seed);
  const auto* embeds = body.if_contains("embed_image_metadata");
  if (embeds != nullptr && embeds->is_bool()) request.embeds_prompt = embeds->get_bool();
  const auto* sampling = body.if_contains("sample_params");
  if (sampling != nullptr && sampling->is_object()) {
    take_integer(sampling->as_object(), "sample_steps", request.steps);
  }
}

void take_extra_args(PictureRequest& request) {
  constexpr std::string_view kOpen = "<sd_cpp_extra_args>";
  constexpr std::string_view kClose = "</sd_cpp_extra_args>";
  const auto open = request.prompt.find(kOpen);
  const auto close = request.prompt.find(kClose, open == std::string::npos ? 0 : open);
  if (open == std::string::npos || close == std::string::npos) return;
  const std::string text = request.prompt.substr(open + kOpen.size(), close - open - kOpen.size());
  request.prompt.erase(open, close + kClose.size() - open);
  boost::system::error_code broken;
  const json::value fields = json::parse(text, broken);
  if (broken || !fields.is_object()) throw BadRequest("invalid sd_cpp_extra_args");
  take_native_fields(fields.as_object(), request);
}

void settle(PictureRequest& request) {
  static std::atomic<std::int64_t> random_seeds{0};
  if (request.seed < 0) request.seed = (std::time(nullptr) + 7919 * ++random_seeds) & 0x7fffffff;
  request.count = std::clamp(request.count, 1, 8);
  request.steps = std::clamp(request.steps, 1, 100);
  if (request.width <= 0) request.width = 512;
  if (request.height <= 0) request.height = 512;
}

void check_output_format(const json::object& body) {
  if (text_field(body, "output_format", "png") != "png") {
    throw BadRequest("invalid output_format, must be one of [png]");
  }
}

json::array sampler_names() {
  return {
      "euler",         "euler_a",        "heun",    "dpm2",         "dpm++2s_a",      "dpm++2m",
      "dpm++2mv2",     "ipndm",          "ipndm_v", "lcm",          "ddim_trailing",  "tcd",
      "res_multistep", "res_2s",         "er_sde",  "euler_cfg_pp", "euler_a_cfg_pp", "euler_ge",
      "dpm++2m_sde",   "dpm++2m_sde_bt", "lms"};
}

json::array scheduler_names() {
  return {"discrete",    "normal",       "karras",     "exponential", "ays", "gits",
          "sgm_uniform", "simple",       "smoothstep", "kl_optimal",  "lcm", "bong_tangent",
          "ltx2",        "logit_normal", "flux2",      "flux",        "beta"};
}

json::object capabilities(const Options& options) {
  const std::filesystem::path model(options.model);
  json::array upscalers;
  for (const char* name : {"None", "Lanczos", "Nearest", "Latent"})
    upscalers.push_back(json::object{{"name", name}});
  return {{"model",
           {{"name", model.filename().string()},
            {"stem", model.stem().string()},
            {"path", model.string()}}},
          {"current_mode", "img_gen"},
          {"supported_modes", json::array{"img_gen"}},
          {"defaults", picture_defaults(options)},
          {"defaults_by_mode", {{"img_gen", picture_defaults(options)}}},
          {"limits",
           {{"min_width", 64},
            {"max_width", 4096},
            {"min_height", 64},
            {"max_height", 4096},
            {"max_batch_count", 8},
            {"max_queue_size", Jobs::kPendingMax}}},
          {"samplers", sampler_names()},
          {"schedulers", scheduler_names()},
          {"output_formats", json::array{"png"}},
          {"output_formats_by_mode", {{"img_gen", json::array{"png"}}}},
          {"features", features()},
          {"features_by_mode", {{"img_gen", features()}}},
          {"loras", json::array()},
          {"upscalers", upscalers}};
}

std::string_view status_name(JobStatus status) {
  switch (status) {
    case JobStatus::queued:
      return "queued";
    case JobStatus::generating:
      return "generating";
    case JobStatus::completed:
      return "completed";
    case JobStatus::failed:
      return "failed";
    case JobStatus::cancelled:
      return "cancelled";
  }
  return "failed";
}

json::object job_json(const Job& job) {
  const auto time = [](std::int64_t seconds) {
    return seconds == 0 ? json::value(nullptr) : json::value(seconds);
  };
  json::object reply{{"id", job.id},
                     {"kind", "img_gen"},
                     {"status", status_name(job.status)},
                     {"created", job.created},
                     {"started", time(job.started)},
                     {"completed", time(job.completed)},
                     {"queue_position", job.queue_position},
                     {"result", nullptr},
                     {"error", nullptr}};
  if (job.status == JobStatus::completed) {
    json::array images;
    for (const std::string& picture : job.pictures) {
      images.push_back(json::object{{"index", images.size()}, {"b64_json", base64(picture)}});
    }
    reply["result"] = {{"output_format", "png"}, {"images", images}};
  } else if (job.status == JobStatus::failed) {
    reply["error"] = {{"code", "generation_failed"},
                      {"message", "generate_image returned no results"}};
  } else if (job.status == JobStatus::cancelled) {
    reply["error"] = {{"code", "cancelled"}, {"message", "job cancelled by client"}};
  }
  return reply;
}

}  // namespace berth::standin
