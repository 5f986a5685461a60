// SPDX-License-Identifier: Apache-2.0
// What every example begins with: a Berth, and the two servers.
//
// Usage of each: example-NAME berth.toml [folder for pictures]
#pragma once

#include <cstdlib>
#include <fstream>
#include <iostream>
#include <string>

#include "berth/berth.h"

/// Returns the value, or says what is wrong and ends the program.
template <class T>
T must(berth::Result<T> result) {
  if (result) return *std::move(result);
  std::cerr << berth::name(result.error().code) << ": " << result.error().message << "\n";
  std::exit(1);
}

inline void must(const berth::Status& status) {
  if (status) return;
  std::cerr << berth::name(status.error().code) << ": " << status.error().message << "\n";
  std::exit(1);
}

/// Opens the Berth that the first argument configures: pools, and where models are.
inline berth::Berth open(int argc, char** argv) {
  if (argc < 2) {
    std::cerr << "usage: " << argv[0] << " berth.toml [folder]\n";
    std::exit(64);
  }
  return must(berth::Berth::open({.config_file = argv[1]}));
}

/// Starts both servers. Their ports are any that are free; write `.port = 8080` for one that your
/// clients know.
inline void start(berth::LlamaServer& llama, berth::DiffusionServer& diffusion) {
  must(llama.start({.model_id = "llama-2-7b", .context_size = 2048, .parallel = 1}));
  must(diffusion.start({.model_id = "sdxl-turbo"}));
}

inline std::string state_of(const berth::LlamaServer& llama) {
  return berth::name(must(llama.health()));
}
