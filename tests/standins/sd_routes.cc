// SPDX-License-Identifier: Apache-2.0
#include "sd_routes.h"

#include <boost/json.hpp>

#include <ctime>
#include <filesystem>

#include "sd_json.h"
#include "sd_painter.h"

namespace berth::standin {
namespace {

namespace json = boost::json;
constexpr std::string_view kJobs = "/sdcpp/v1/jobs/";
constexpr std::string_view kCancel = "/cancel";

HttpReply reply_json(int status, const json::value& body) {
  return {.status = status, .body = json::serialize(body)};
}

HttpReply error(int status, std::string_view text) {
  return reply_json(status, {{"error", text}});
}

json::object parse_body(const std::string& body) {
  if (body.empty()) throw BadRequest("empty body");
  return json::parse(body).as_object();
}

json::array named(const json::array& names, const char* second) {
  json::array list;
  for (const auto& name : names)
    list.push_back(json::object{{"name", name}, {second, name}});
  return list;
}

// The real program looks at everything below the folder, and its library answers 500 without a body
// to what throws there.
bool can_search(const std::string& folder) {
  namespace fs = std::filesystem;
  std::error_code missing;
  if (!fs::is_directory(folder, missing)) return true;
  try {
    constexpr auto kSkip = fs::directory_options::skip_permission_denied;
    for (const auto& entry : fs::recursive_directory_iterator(folder, kSkip))
      static_cast<void>(entry.is_regular_file());
  } catch (const fs::filesystem_error&) {
    return false;
  }
  return true;
}

// "512x768" -> both sides; anything else is passed over, as in the real program.
void take_size(const std::string& size, PictureRequest& request) {
  const auto cross = size.find('x');
  if (cross == std::string::npos) return;
  try {
    request.width = std::stoi(size.substr(0, cross));
    request.height = std::stoi(size.substr(cross + 1));
  } catch (const std::exception&) {
    return;
  }
}

}  // namespace

HttpReply Routes::answer(const HttpRequest& request) {
  if (request.method == "OPTIONS") return {.status = 204, .body = {}};
  if (request.method == "GET" || request.method == "HEAD") return get(request.path);
  if (request.method != "POST") return {.status = 404, .body = {}};
  try {
    return post(request);
  } catch (const BadRequest& problem) {
    return error(400, problem.what());
  } catch (const std::exception& problem) {
    return reply_json(500, {{"error", "server_error"}, {"message", problem.what()}});
  }
}

HttpReply Routes::get(const std::string& path) {
  const std::string stem = std::filesystem::path(options_.model).stem().string();
  if (path == "/")
    return {.body = "Berth's stand-in for sd-server is running", .content_type = "text/html"};
  if (path == "/v1/models") {
    return reply_json(
        200, {{"data",
               json::array{{{"id", "sd-cpp-local"}, {"object", "model"}, {"owned_by", "local"}}}}});
  }
  if (path == "/sdcpp/v1/capabilities") {
    if (!can_search(options_.lora_model_dir)) return {.status = 500, .body = {}};
    return reply_json(200, capabilities(options_));
  }
  if (path == "/sdapi/v1/samplers") return reply_json(200, named(sampler_names(), "label"));
  if (path == "/sdapi/v1/schedulers") return reply_json(200, named(scheduler_names(), "label"));
  if (path == "/sdapi/v1/loras") return reply_json(200, json::array());
  if (path == "/sdapi/v1/sd-models") {
    const std::string file = std::filesystem::path(options_.model).filename().string();
    return reply_json(200,
                      json::array{{{"title", stem}, {"model_name", stem}, {"filename", file}}});
  }
  if (path == "/sdapi/v1/options") {
    return reply_json(200, {{"samples_format", "png"}, {"sd_model_checkpoint", stem}});
  }
  if (path.starts_with(kJobs)) return job(path.substr(kJobs.size()), false);
  return {.status = 404, .body = {}};
}

HttpReply Routes::post(const HttpRequest& request) {
  const std::string& path = request.path;
  if (path == "/v1/images/generations") return openai_picture(request.body);
  if (path == "/sdapi/v1/txt2img") return sdapi_picture(request.body);
  if (path == "/sdcpp/v1/img_gen") return submit_job(request.body);
  if (path == "/sdcpp/v1/vid_gen") return error(400, "loaded model does not support vid_gen");
  if (path.starts_with(kJobs) && path.ends_with(kCancel)) {
    return job(path.substr(kJobs.size(), path.size() - kJobs.size() - kCancel.size()), true);
  }
  return {.status = 404, .body = {}};
}

PictureRequest Routes::defaults() const {
  return {.prompt = {},
          .negative_prompt = {},
          .seed = options_.seed,
          .width = options_.width,
          .height = options_.height,
          .steps = options_.steps};
}

// Size and count are fields; seed and steps are those of the command line unless the prompt carries
// extra arguments.
HttpReply Routes::openai_picture(const std::string& text) {
  const json::object body = parse_body(text);
  PictureRequest request = defaults();
  request.prompt = text_field(body, "prompt", "");
  request.count = static_cast<int>(number_field(body, "n", 1));
  take_size(text_field(body, "size", ""), request);
  if (request.prompt.empty()) throw BadRequest("prompt required");
  check_output_format(body);
  take_extra_args(request);
  settle(request);
  const auto pictures = engine_.generate(request);
  if (pictures.empty()) return error(500, "generate_image returned no results");
  json::array data;
  for (const std::string& picture : pictures)
    data.push_back(json::object{{"b64_json", base64(picture)}});
  return reply_json(200,
                    {{"created", std::time(nullptr)}, {"data", data}, {"output_format", "png"}});
}

HttpReply Routes::sdapi_picture(const std::string& text) {
  const json::object body = parse_body(text);
  PictureRequest request = defaults();
  request.prompt = text_field(body, "prompt", "");
  request.negative_prompt = text_field(body, "negative_prompt", "");
  request.width = static_cast<int>(number_field(body, "width", 512));
  request.height = static_cast<int>(number_field(body, "height", 512));
  request.steps = static_cast<int>(number_field(body, "steps", options_.steps));
  request.seed = number_field(body, "seed", -1);
  request.count = static_cast<int>(number_field(body, "batch_size", 1));
  if (request.width <= 0 || request.height <= 0)
    throw BadRequest("width and height must be positive");
  if (request.prompt.empty()) throw BadRequest("prompt required");
  take_extra_args(request);
  settle(request);
  const auto pictures = engine_.generate(request);
  if (pictures.empty()) return error(500, "generate_image returned no results");
  json::array images, seeds;
  for (const std::string& picture : pictures) {
    seeds.push_back(request.seed + static_cast<std::int64_t>(images.size()));
    images.push_back(json::string(base64(picture)));
  }
  const json::object info{{"prompt", request.prompt},         {"seed", request.seed},
                          {"steps", request.steps},           {"width", request.width},
                          {"height", request.height},         {"all_seeds", seeds},
                          {"version", "stable-diffusion.cpp"}};
  return reply_json(200,
                    {{"images", images}, {"parameters", body}, {"info", json::serialize(info)}});
}

HttpReply Routes::submit_job(const std::string& text) {
  if (text.empty()) throw BadRequest("empty body");
  boost::system::error_code broken;
  const json::value body = json::parse(text, broken);
  if (broken) return reply_json(400, {{"error", "invalid json"}, {"message", broken.message()}});
  PictureRequest request = defaults();
  take_native_fields(body.as_object(), request);
  check_output_format(body.as_object());
  settle(request);
  Job accepted;
  if (!jobs_.submit(request, accepted)) return error(429, "job queue is full");
  return reply_json(202, {{"id", accepted.id},
                          {"kind", "img_gen"},
                          {"status", "queued"},
                          {"created", accepted.created},
                          {"poll_url", std::string(kJobs) + accepted.id}});
}

HttpReply Routes::job(const std::string& id, bool cancels) {
  Job found;
  switch (cancels ? jobs_.cancel(id, found) : jobs_.find(id, found)) {
    case Lookup::unknown:
      return error(404, "job not found");
    case Lookup::expired:
      return error(410, "job expired");
    case Lookup::found:
      break;
  }
  if (cancels && found.status == JobStatus::generating) {
    return error(409, "job is currently generating and cannot be interrupted yet");
  }
  return reply_json(200, job_json(found));
}

}  // namespace berth::standin
