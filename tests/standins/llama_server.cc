// SPDX-License-Identifier: Apache-2.0
// A stand-in for llama.cpp's llama-server (b10434): its flags, routes, log lines, slot files,
// memory and exits, with made-up replies instead of a model. See README.md beside this file.
#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <optional>
#include <thread>

#include "helper_process.h"
#include "http_listener.h"
#include "llama_log.h"
#include "llama_options.h"
#include "llama_routes.h"
#include "llama_slots.h"
#include "touched_memory.h"

namespace berth::standin {
namespace {

constexpr const char* kServer = "srv  llama_server:";
constexpr int kLoadSteps = 10;
/// How often a server that was told to stop looks whether its work is over.
constexpr int kIdleCheckMs = 5;

int fail_loading(const std::string& cause) {
  llama_log('E', "llama_model_load:", "error loading model: " + cause);
  llama_log('E', "srv    load_model:", "failed to load model");
  llama_log('I', kServer, "exiting due to model loading error");
  return 1;
}

bool is_usable(const std::string& model) {
  std::error_code missing;
  return std::filesystem::is_regular_file(model, missing) &&
         std::filesystem::file_size(model, missing) > 0;
}

/// Brings the weights into memory. Returns nothing, after the cause in the log, if it fails.
std::optional<TouchedMemory> load(const LlamaOptions& options) {
  auto memory = TouchedMemory::reserve(options.memory);
  const int slow_ms = static_cast<int>(options.faults.seconds("slow_load") * 1000);
  for (int step = 0; memory && step < kLoadSteps; ++step) {
    memory->touch(step, kLoadSteps);
    poll(nullptr, 0, slow_ms / kLoadSteps);
    if (step == kLoadSteps / 2 && options.faults.strikes("die_loading")) return std::nullopt;
  }
  if (!memory || options.faults.strikes("out_of_memory")) {
    llama_log('E', "ggml_backend_cpu_buffer_type_alloc_buffer:",
              fmt::format("failed to allocate buffer of size {}", options.memory.count));
    llama_log('E', "llama_init_from_model:",
              "failed to initialize the context: failed to allocate buffer for kv cache");
    fail_loading("out of memory");
    return std::nullopt;
  }
  return memory;
}

bool listen(HttpListener& listener, const LlamaOptions& options) {
  const bool is_unix = options.host.ends_with(".sock");
  const bool listens = is_unix ? listener.listen_unix(options.host)
                               : listener.listen_tcp(options.host, options.port);
  if (!listens) {
    llama_log('E', "srv         start:",
              fmt::format("couldn't bind HTTP server socket, hostname: {}, port: {}", options.host,
                          options.port));
    llama_log('E', kServer, "exiting due to HTTP server error");
  }
  return listens;
}

/// Ends the process as the real one does after SIGTERM: when nobody waits for a reply any more.
[[noreturn]] void end_after_term(const LlamaOptions& options, LlamaRoutes& routes,
                                 LlamaSlots& slots, const sigset_t& signals) {
  int number = 0;
  sigwait(&signals, &number);
  llama_log('I', "srv    operator():", "operator(): cleaning up before exit...");
  routes.set_stopping();
  poll(nullptr, 0, static_cast<int>(options.faults.seconds("slow_stop") * 1000));
  while (!slots.idle())
    poll(nullptr, 0, kIdleCheckMs);
  _exit(0);
}

[[noreturn]] void wait_for_ever() {
  while (true)
    pause();
}

sigset_t ending_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  return signals;
}

int run(const LlamaOptions& options) {
  if (options.faults.strikes("die_start_silent")) return 1;
  const auto helper = options.faults.value("helper");
  if (helper && !start_helper(*helper, "llama-helper")) {
    fmt::print(stderr, "error: helper needs SECONDS:BYTES\n");
    return 1;
  }
  llama_log('I', kServer,
            "this is a stand-in for llama-server, part of Berth: it makes up its replies");
  LlamaSlots slots(options);
  LlamaRoutes routes(options, slots);
  HttpListener listener([&routes](const HttpRequest& request) { return routes.answer(request); },
                        {.server = "berth-llama-server-standin"});
  if (!listen(listener, options)) return 1;
  const bool ignores_term = options.faults.strikes("ignore_term");
  if (ignores_term) std::signal(SIGTERM, SIG_IGN);
  // While it loads, SIGTERM ends the process at once, as in the real one: this thread takes it.
  const sigset_t signals = ending_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  std::thread([&listener] { listener.serve(); }).detach();
  pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  llama_log('I', "srv    load_model:", fmt::format("loading model '{}'", options.model));
  if (!is_usable(options.model) || options.faults.strikes("die_start")) {
    _exit(fail_loading(
        fmt::format("llama_model_loader: failed to load model from {}", options.model)));
  }
  if (options.faults.strikes("never_ready")) wait_for_ever();
  const auto memory = load(options);
  if (!memory) _exit(1);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  routes.set_loaded();
  llama_log('I', kServer, "model loaded");
  llama_log('I', kServer,
            fmt::format("listening on {}{}",
                        options.host.ends_with(".sock") ? "unix://" : "http://", options.host));
  if (ignores_term) wait_for_ever();
  end_after_term(options, routes, slots, signals);
}

}  // namespace
}  // namespace berth::standin

int main(int argc, char** argv) {
  return berth::standin::run(berth::standin::read_llama_options(argc, argv));
}
