// SPDX-License-Identifier: Apache-2.0
// The manual way: an orchestrator of your own, which asks first.
#include "seed.h"

int main(int argc, char** argv) {
  const berth::Berth berth = open(argc, argv);
  const berth::SystemInfo system_info;
  const berth::ModelManager models(berth);
  berth::LlamaServer llama(berth);
  berth::DiffusionServer diffusion(berth);
  start(llama, diffusion);

  berth::ResourceOrchestrator orchestrator(system_info, llama, diffusion, models);

  // Check if offload would be needed
  const bool needs_offload = must(orchestrator.would_need_offload());
  if (needs_offload) {
    std::cout << "Image generation will temporarily stop LLM\n";
  } else {
    std::cout << "Enough resources - both servers can run simultaneously\n";
  }

  // Generate with automatic management
  const berth::ImageResult result = must(orchestrator.orchestrate_image_generation(
      {.prompt = "A landscape painting", .width = 256, .height = 256, .steps = 30}));
  std::cout << "Image generated successfully: " << result.image.size() << " bytes\n";
  must(orchestrator.wait_for_reload());
  std::cout << "LLM after: " << state_of(llama) << "\n";
}
