// SPDX-License-Identifier: Apache-2.0
// A stand-in for stable-diffusion.cpp's sd-server (97d2990): its flags, routes, log lines, memory
// over time and exits, with test pictures instead of a model. See README.md beside this file.
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <thread>

#include "helper_process.h"
#include "http_listener.h"
#include "sd_engine.h"
#include "sd_jobs.h"
#include "sd_log.h"
#include "sd_options.h"
#include "sd_routes.h"

namespace berth::standin {
namespace {

bool open_model(const Options& options) {
  log(Level::info, "stable-diffusion.cpp", 713,
      fmt::format("loading model from '{}'", options.model));
  std::error_code missing;
  const bool is_usable = std::filesystem::is_regular_file(options.model, missing) &&
                         std::filesystem::file_size(options.model, missing) > 0;
  if (!is_usable || options.faults.strikes("die_start")) {
    log(Level::error, "stable-diffusion.cpp", 715,
        fmt::format("init model loader from file failed: '{}'", options.model));
    log(Level::error, "stable-diffusion.cpp", 905,
        fmt::format("get sd version from file failed: '{}'", options.model));
    return false;
  }
  log(Level::info, "stable-diffusion.cpp", 908, "Version: SD 1.x ");
  return true;
}

int run(const Options& options) {
  if (options.faults.strikes("die_start_silent")) return 1;
  const auto helper = options.faults.value("helper");
  if (helper && !start_helper(*helper, "sd-helper")) {
    log(Level::error, "standin.cc", 1, "error: helper needs SECONDS:BYTES");
    return 1;
  }
  if (options.faults.strikes("ignore_term")) std::signal(SIGTERM, SIG_IGN);
  log(Level::info, "standin.cc", 1,
      "this is a stand-in for sd-server, part of Berth: it draws test pictures");
  Engine engine(options);
  const bool is_open = open_model(options);
  if (is_open && options.faults.strikes("never_ready")) {
    while (true)
      pause();
  }
  if (!is_open || (options.eager_load && !engine.load_all())) {
    if (is_open) log(Level::error, "stable-diffusion.cpp", 1699, "model params eager load failed");
    log(Level::error, "main.cpp", 92, "new_sd_ctx_t failed");
    return 1;
  }
  log(Level::info, "stable-diffusion.cpp", 1849, "running in eps-prediction mode");
  Jobs jobs(engine);
  Routes routes(options, engine, jobs);
  HttpListener listener([&routes](const HttpRequest& request) { return routes.answer(request); },
                        {.server = "berth-sd-server-standin",
                         .workers = std::max(8U, std::thread::hardware_concurrency() - 1)});
  // Before the bind, as in the real program, which ends with 0 and no further word if that fails.
  log(Level::info, "main.cpp", 148,
      fmt::format("listening on: http://{}:{}", options.listen_ip, options.listen_port));
  if (listener.listen_tcp(options.listen_ip, options.listen_port)) listener.serve();
  return 0;
}

}  // namespace
}  // namespace berth::standin

int main(int argc, char** argv) {
  return berth::standin::run(berth::standin::read_options(argc, argv));
}
