// SPDX-License-Identifier: Apache-2.0
#include "sd_engine.h"

#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "sd_log.h"
#include "sd_painter.h"

namespace berth::standin {
namespace {

using Clock = std::chrono::steady_clock;
constexpr const char* kMain = "stable-diffusion.cpp";
constexpr int kLoadSteps = 10;
// Shares of the weights, in percent, of an SD 1.5 checkpoint (fp16): CLIP 246 MB, UNet 1719, VAE
// 168.
constexpr int kPercent[] = {12, 80, 8};
constexpr int kSideMax = 4096;  // the limit that /sdcpp/v1/capabilities names

void wait_ms(int milliseconds) {
  poll(nullptr, 0, milliseconds);
}

int aligned(int side) {
  return (side + 7) / 8 * 8;
}

bool names_disk(const std::string& assignments, std::initializer_list<std::string_view> modules) {
  bool disk = false;
  for (std::size_t at = 0; at <= assignments.size();) {
    const std::size_t comma = std::min(assignments.find(',', at), assignments.size());
    const std::string_view word = std::string_view(assignments).substr(at, comma - at);
    const auto equals = word.find('=');
    const std::string_view module = equals == word.npos ? "*" : word.substr(0, equals);
    const bool meant =
        module == "*" || std::find(modules.begin(), modules.end(), module) != modules.end();
    if (meant) disk = (equals == word.npos ? word : word.substr(equals + 1)) == "disk";
    at = comma + 1;
  }
  return disk;
}

}  // namespace

Engine::Engine(const Options& options) : options_(options) {
  on_disk_ = {names_disk(options.params_backend, {"te", "clip", "llm", "t5xxl"}),
              names_disk(options.params_backend, {"diffusion", "unet", "dit", "model"}),
              names_disk(options.params_backend, {"vae", "first_stage"})};
}

bool Engine::load(Part part) {
  if (loaded_[part]) return true;
  const auto started = Clock::now();
  const Bytes size{options_.weights.count / 100 * kPercent[part]};
  auto memory = TouchedMemory::reserve(size);
  if (!memory || options_.faults.strikes("no_memory")) {
    // On a CPU every failed allocation ends in an assertion.
    log(Level::error, "ggml_extend.hpp", 72,
        fmt::format("ggml_aligned_malloc: insufficient memory (attempted to allocate {:6.2f} MB)",
                    static_cast<double>(size.count) / 1024 / 1024));
    fmt::print(stderr, "ggml/src/ggml.c:1647: GGML_ASSERT(ctx->mem_buffer != NULL) failed\n");
    std::abort();
  }
  if (part == kDiffusion && options_.faults.strikes("out_of_memory")) {
    // stable-diffusion.cpp pull request 1621, with another backend's name
    log(Level::error, "ggml_extend.hpp", 70, "CUDA error: out of memory");
    log(Level::error, "ggml_extend.hpp", 70,
        "  current device: 0, in function alloc at ggml/src/ggml-cuda/ggml-cuda.cu:449");
    std::abort();
  }
  const std::string slow = options_.faults.value("slow_load").value_or("");
  const int slow_ms =
      slow.empty() ? 0 : static_cast<int>(std::stod(slow) * 1000) * kPercent[part] / 100;
  for (int step = 0; step < kLoadSteps; ++step) {
    memory->touch(step, kLoadSteps);
    wait_ms(slow_ms / kLoadSteps);
    const std::chrono::duration<double> elapsed = Clock::now() - started;
    draw_loading(step + 1, kLoadSteps,
                 static_cast<double>(size.count) * (step + 1) / kLoadSteps /
                     std::max(elapsed.count(), 1e-6));
  }
  const std::string took = seconds_text(Clock::now() - started);
  log(Level::info, "model_loader.cpp", 1304,
      fmt::format("loading tensors completed, taking {} (read: {}, memcpy: 0.00s, convert: 0.00s, "
                  "copy_to_backend: 0.00s)",
                  took, took));
  loaded_[part] = std::move(memory);
  return true;
}

bool Engine::load_all() {
  return load(kTextEncoder) && load(kDiffusion) && load(kVae);
}

void Engine::release_if_on_disk(Part part) {
  if (on_disk_[part]) loaded_[part].reset();
}

std::vector<std::string> Engine::generate(PictureRequest request) {
  const std::lock_guard lock(drawing_);
  const auto started = Clock::now();
  const int width = aligned(request.width);
  const int height = aligned(request.height);
  if (width != request.width || height != request.height) {
    log(Level::warn, kMain, 4154,
        fmt::format("align generation request up {}x{} to {}x{} (multiple=8)", request.width,
                    request.height, width, height));
  }
  request.width = width;
  request.height = height;
  log(Level::info, kMain, 5628, fmt::format("generate_image {}x{}", width, height));
  if (width > kSideMax || height > kSideMax) return {};
  log(Level::info, kMain, 4380, "sampling using Euler A method");
  if (!load(kTextEncoder)) return {};
  log(Level::info, kMain, 5296,
      fmt::format("get_learned_condition completed, taking {}",
                  seconds_text(Clock::now() - started)));
  release_if_on_disk(kTextEncoder);
  if (!sample_all(request)) return {};
  auto pictures = decode(request);
  if (pictures.empty()) return {};
  log(Level::info, kMain, 5861,
      fmt::format("generate_image completed in {}", seconds_text(Clock::now() - started)));
  return pictures;
}

bool Engine::sample_all(const PictureRequest& request) {
  const auto started = Clock::now();
  for (int index = 0; index < request.count; ++index) {
    const auto sampling = Clock::now();
    log(Level::info, kMain, 5679,
        fmt::format("generating image: {}/{} - seed {}", index + 1, request.count,
                    request.seed + index));
    const bool done = load(kDiffusion) && sample(request, index);
    const std::string took = seconds_text(Clock::now() - sampling);
    if (!done) {
      log(Level::error, kMain, 5716,
          fmt::format("sampling for image {}/{} failed after {}", index + 1, request.count, took));
      return false;
    }
    log(Level::info, kMain, 5711, "sampling completed, taking " + took);
  }
  release_if_on_disk(kDiffusion);
  log(Level::info, kMain, 5723,
      fmt::format("generating {} latent images completed, taking {}", request.count,
                  seconds_text(Clock::now() - started)));
  return true;
}

// Draws the steps. A scripted fault strikes in the middle of the first picture.
bool Engine::sample(const PictureRequest& request, int index) {
  for (int step = 1; step <= request.steps; ++step) {
    const auto started = Clock::now();
    wait_ms(options_.step_ms);
    const bool is_middle = index == 0 && step == (request.steps + 1) / 2;
    if (is_middle && options_.faults.strikes("die_image")) std::abort();
    if (is_middle && options_.faults.strikes("fail_image")) return false;
    while (is_middle && options_.faults.strikes("hang_image"))
      pause();
    draw_steps(step, request.steps, Clock::now() - started);
  }
  return true;
}

std::vector<std::string> Engine::decode(const PictureRequest& request) {
  const auto started = Clock::now();
  log(Level::info, kMain, 5321, fmt::format("decoding {} latents", request.count));
  if (!load(kVae)) return {};
  std::vector<std::string> pictures;
  for (int index = 0; index < request.count; ++index) {
    const auto begun = Clock::now();
    pictures.push_back(paint_png({.prompt = request.prompt,
                                  .seed = request.seed + index,
                                  .width = request.width,
                                  .height = request.height,
                                  .steps = request.steps,
                                  .tells_prompt = request.embeds_prompt}));
    log(Level::info, kMain, 5387,
        fmt::format("latent {} decoded, taking {}", index + 1, seconds_text(Clock::now() - begun)));
  }
  log(Level::info, kMain, 5391,
      fmt::format("decode_first_stage completed, taking {}", seconds_text(Clock::now() - started)));
  release_if_on_disk(kVae);
  return pictures;
}

}  // namespace berth::standin
