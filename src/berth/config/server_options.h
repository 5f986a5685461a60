// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "berth/base/bytes.h"

namespace berth::config {

/// Value of LlamaOptions::gpu_layers: every layer, the output layer too.
inline constexpr std::int32_t kAllLayers = -1;

/// How to run one llama-server. Options that are absent are not passed.
struct LlamaOptions {
  std::optional<std::string> binary;       ///< absolute path, or a bare name that PATH finds
  std::string model;                       ///< absolute path of a GGUF file
  std::int32_t context = 4096;             ///< tokens over all slots together
  std::int32_t parallel = 1;               ///< slots
  std::optional<std::int32_t> gpu_layers;  ///< on the GPU; kAllLayers = all
  std::optional<std::int32_t> layers;      ///< of the model, where its header cannot say
  std::optional<std::int32_t> threads;
  std::optional<std::int32_t> batch_size;      ///< tokens
  std::optional<std::string> flash_attention;  ///< "auto", "on" or "off"
  std::optional<std::string> cache_type_k;     ///< llama.cpp's name of the type: "f16", "q8_0"
  std::optional<std::string> cache_type_v;
  Bytes cache_ram;      ///< prompt cache in RAM; whole MiB
  bool keep_kv = true;  ///< save the slots before a stop and restore them after the start
  std::vector<std::string> extra_args;

  bool operator==(const LlamaOptions&) const = default;
};

/// How to run one sd-server (stable-diffusion.cpp).
struct SdOptions {
  std::optional<std::string> binary;  ///< absolute path, or a bare name that PATH finds
  std::string model;                  ///< absolute path of a checkpoint
  std::optional<std::int32_t> threads;
  std::optional<std::string> cancel;  ///< of a picture that is drawn: "await" its end, or "restart"
  bool weights_on_demand = false;     ///< read for each picture and given back after it
  std::vector<std::string> extra_args;

  bool operator==(const SdOptions&) const = default;
};

/// What the shell must know of a server beyond core::ServerConfig.
struct ServerOptions {
  std::string name;
  std::variant<LlamaOptions, SdOptions> kind;
  std::optional<std::uint16_t> front_port;  ///< the port that clients know; 0: any free one
  /// False: the file names no `memory` and the footprint of core::ServerConfig is empty. The host
  /// fills it from the size of the model before the core sees it.
  bool memory_declared = false;

  bool operator==(const ServerOptions&) const = default;
};

/// Returns the kind's name in the configuration: "llama-server", "sd-server".
std::string kind_name(const ServerOptions& options);

}  // namespace berth::config
