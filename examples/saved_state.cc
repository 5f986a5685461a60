// SPDX-License-Identifier: Apache-2.0
// What is kept of the LLM while it is away.
#include "seed.h"

namespace {

void show(const berth::ResourceOrchestrator& orchestrator) {
  const std::optional<berth::SavedState> saved_state = must(orchestrator.saved_state());
  if (saved_state) {
    std::cout << "LLM was offloaded at: " << saved_state->saved_at.unix_ms << "\n"
              << "Original model: " << saved_state->config.model_id << "\n"
              << "Original port: " << saved_state->config.port.value_or(0) << "\n"
              << "GPU layers: " << saved_state->config.gpu_layers.value_or(0) << "\n"
              << "Was running: " << std::boolalpha << saved_state->was_running << "\n";
  } else {
    std::cout << "No LLM state saved (not offloaded)\n";
  }
}

}  // namespace

int main(int argc, char** argv) {
  const berth::Berth berth = open(argc, argv);
  berth::LlamaServer llama(berth);
  berth::DiffusionServer diffusion(berth);
  start(llama, diffusion);
  berth::ResourceOrchestrator orchestrator(llama, diffusion);

  show(orchestrator);  // not offloaded

  // The picture is drawn, so the LLM is away.
  bool shown = false;
  const auto on_progress = [&](int, int, berth::ImageStage, double) {
    if (!shown) show(orchestrator);
    shown = true;
  };
  must(orchestrator.orchestrate_image_generation({.prompt = "A landscape painting",
                                                  .width = 256,
                                                  .height = 256,
                                                  .steps = 30,
                                                  .on_progress = on_progress}));

  must(orchestrator.wait_for_reload());
  show(orchestrator);  // it is back
}
