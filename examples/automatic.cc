// SPDX-License-Identifier: Apache-2.0
// The automatic way: the diffusion server orchestrates by itself.
#include "seed.h"

int main(int argc, char** argv) {
  const berth::Berth berth = open(argc, argv);
  berth::LlamaServer llama(berth);
  berth::DiffusionServer diffusion(berth);

  // Start both servers
  start(llama, diffusion);
  std::cout << "LLM before: " << state_of(llama) << "\n";

  // Generate image - automatic resource management included
  const berth::ImageResult result = must(diffusion.generate_image(
      {.prompt = "A beautiful sunset over mountains", .width = 256, .height = 256, .steps = 30}));
  std::cout << "Image generated: " << result.width << "x" << result.height << " " << result.format
            << ", " << result.image.size() << " bytes\n";

  // LLM server automatically offloaded if needed, then reloaded
  must(berth::ResourceOrchestrator(llama, diffusion).wait_for_reload());
  std::cout << "LLM still running: " << state_of(llama) << "\n";
}
