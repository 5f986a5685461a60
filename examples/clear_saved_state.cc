// SPDX-License-Identifier: Apache-2.0
// An LLM that shall not come back by itself.
#include "seed.h"

int main(int argc, char** argv) {
  const berth::Berth berth = open(argc, argv);
  berth::LlamaServer llama(berth);
  berth::DiffusionServer diffusion(berth);
  start(llama, diffusion);
  berth::ResourceOrchestrator orchestrator(llama, diffusion);

  // Generate image with offload
  must(orchestrator.orchestrate_image_generation(
      {.prompt = "A mountain landscape", .width = 256, .height = 256, .steps = 30}));
  must(orchestrator.wait_for_reload());
  std::cout << "LLM after the first: " << state_of(llama) << "\n";

  // Prevent automatic LLM reload for next generation
  must(orchestrator.clear_saved_state());

  // Next generation won't reload LLM
  must(orchestrator.orchestrate_image_generation(
      {.prompt = "A city skyline", .width = 256, .height = 256, .steps = 30}));
  const berth::Status reload = orchestrator.wait_for_reload();
  std::cout << "waiting for it: " << berth::name(reload.error().code) << "\n"
            << "LLM after the second: " << state_of(llama) << "\n";
}
