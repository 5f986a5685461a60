// SPDX-License-Identifier: Apache-2.0
// A picture with a progress bar, written to a file.
#include <cmath>

#include "seed.h"

int main(int argc, char** argv) {
  const berth::Berth berth = open(argc, argv);
  berth::LlamaServer llama(berth);
  berth::DiffusionServer diffusion(berth);
  start(llama, diffusion);
  berth::ResourceOrchestrator orchestrator(llama, diffusion);

  // Called on this thread while the call below waits.
  const auto on_progress = [](int current_step, int total_steps, berth::ImageStage stage,
                              double percentage) {
    std::cout << berth::name(stage) << ": " << std::lround(percentage) << "% (" << current_step
              << "/" << total_steps << ")\n";
  };
  const berth::ImageResult result =
      must(orchestrator.orchestrate_image_generation({.prompt = "A futuristic city at night",
                                                      .negative_prompt = "blurry, low quality",
                                                      .width = 256,
                                                      .height = 256,
                                                      .steps = 50,
                                                      .on_progress = on_progress}));

  const std::string file = std::string(argc > 2 ? argv[2] : ".") + "/city.png";
  std::ofstream(file, std::ios::binary) << result.image;
  std::cout << "written: " << file << "\n";
}
