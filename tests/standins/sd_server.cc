// SPDX-License-Identifier: Apache-2.0
// A stand-in for stable-diffusion.cpp's sd-server (97d2990): its flags, routes, log lines, memory
// over time and exits, with test pictures instead of a model. See README.md beside this file.
#include <fmt/core.h>
#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>

#include "http_listener.h"
#include "sd_engine.h"
#include "sd_jobs.h"
#include "sd_log.h"
#include "sd_options.h"
#include "sd_routes.h"

namespace berth::standin {
namespace {

// The helper's life: hold the memory, see the parent go by the end of its pipe, stay on, leave.
[[noreturn]] void live_as_helper(int parent_lives, int ready, Bytes size,
                                 const std::string& seconds) {
  prctl(PR_SET_NAME, "sd-helper");
  setpgid(0, 0);  // a signal to the server's group does not reach it; it stays in the session
  for (const int number : {SIGTERM, SIGINT, SIGHUP})
    std::signal(number, SIG_IGN);
  auto memory = TouchedMemory::reserve(size);
  if (memory) memory->touch(0, 1);
  close(ready);
  pollfd pipe_end{.fd = parent_lives, .events = 0, .revents = 0};
  while ((pipe_end.revents & POLLHUP) == 0)
    poll(&pipe_end, 1, -1);
  while (seconds == "forever")
    pause();
  poll(nullptr, 0, static_cast<int>(std::stod(seconds) * 1000));
  _exit(0);
}

// Must run before the first thread. Returns when the helper's memory is touched.
void start_helper(const std::string& setting) {
  const auto colon = setting.find(':');
  const auto size =
      colon == setting.npos ? parse_bytes("") : parse_bytes(setting.substr(colon + 1));
  if (!size) {
    log(Level::error, "standin.cc", 1, "error: helper needs SECONDS:BYTES");
    std::exit(1);
  }
  int life[2];
  int ready[2];
  if (pipe(life) != 0 || pipe(ready) != 0) std::exit(1);
  if (fork() == 0) {
    close(life[1]);
    close(ready[0]);
    live_as_helper(life[0], ready[1], *size, setting.substr(0, colon));
  }
  close(life[0]);
  close(ready[1]);
  char nothing;
  while (read(ready[0], &nothing, 1) > 0)
    continue;
  close(ready[0]);  // life[1] stays open until this process is gone
}

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
  if (const auto helper = options.faults.value("helper")) start_helper(*helper);
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
  HttpListener listener([&routes](const HttpRequest& request) { return routes.answer(request); });
  // Before the bind, as in the real program, which ends with 0 and no further word if that fails.
  log(Level::info, "main.cpp", 148,
      fmt::format("listening on: http://{}:{}", options.listen_ip, options.listen_port));
  listener.serve(options.listen_ip, options.listen_port);
  return 0;
}

}  // namespace
}  // namespace berth::standin

int main(int argc, char** argv) {
  return berth::standin::run(berth::standin::read_options(argc, argv));
}
