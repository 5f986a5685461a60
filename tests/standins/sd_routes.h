// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "http_listener.h"
#include "sd_engine.h"
#include "sd_jobs.h"
#include "sd_options.h"

namespace berth::standin {

/// Answers the requests of sd-server's three APIs (OpenAI's, sdapi, sdcpp), without its picture
/// editing routes (/v1/images/edits, /sdapi/v1/img2img) and without video.
class Routes {
 public:
  Routes(const Options& options, Engine& engine, Jobs& jobs)
      : options_(options), engine_(engine), jobs_(jobs) {}

  HttpReply answer(const HttpRequest& request);

 private:
  HttpReply get(const std::string& path);
  HttpReply post(const HttpRequest& request);
  HttpReply openai_picture(const std::string& body);
  HttpReply sdapi_picture(const std::string& body);
  HttpReply submit_job(const std::string& body);
  HttpReply job(const std::string& id, bool cancels);
  PictureRequest defaults() const;

  const Options& options_;
  Engine& engine_;
  Jobs& jobs_;
};

}  // namespace berth::standin
