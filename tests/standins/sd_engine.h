// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "sd_options.h"
#include "touched_memory.h"

namespace berth::standin {

/// One request for `count` pictures that differ by their seed.
struct PictureRequest {
  std::string prompt;
  std::string negative_prompt;
  std::int64_t seed = 0;
  int width = 0;
  int height = 0;
  int steps = 0;
  int count = 1;
  bool embeds_prompt = true;
};

/// Draws pictures, one request at a time, and holds the weights as sd-server does: each of the
/// three parts is loaded when the first picture comes to it (or at start with --eager-load), and
/// given back after its use with `--params-backend disk`.
class Engine {
 public:
  explicit Engine(const Options& options);

  /// Loads everything now. Returns false, with a line on stderr, if the memory cannot be had.
  bool load_all();

  /// Returns PNG files; none if it failed. Blocks while another request is being drawn. Nothing can
  /// stop it, as in the real program: not even a client that leaves.
  std::vector<std::string> generate(PictureRequest request);

 private:
  enum Part { kTextEncoder, kDiffusion, kVae, kParts };

  bool load(Part part);
  void release_if_on_disk(Part part);
  bool sample_all(const PictureRequest& request);
  bool sample(const PictureRequest& request, int index);
  std::vector<std::string> decode(const PictureRequest& request);

  const Options& options_;
  std::array<bool, kParts> on_disk_{};
  std::array<std::optional<TouchedMemory>, kParts> loaded_;
  std::mutex drawing_;
};

}  // namespace berth::standin
