// SPDX-License-Identifier: Apache-2.0
#include <berth/berth.h>

int main(int, char** argv) {
  const auto berth = berth::Berth::open({.config_file = argv[1]});
  if (!berth) return 1;
  berth::LlamaServer llama(*berth);
  const berth::Status started = llama.start({.model_id = "llm"});
  return started && *llama.health() == berth::Health::ok ? 0 : 2;
}
