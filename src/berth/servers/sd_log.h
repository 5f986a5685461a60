// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string_view>

#include "berth/servers/adapter.h"

namespace berth::servers {

/// What an sd-server says of itself in its log: its JSON routes tell nothing while it draws.
class SdLog {
 public:
  /// Takes one line, progress bars included:
  ///   "[INFO ] main.cpp:108  - listening on: http://127.0.0.1:1234"
  ///   "  |====>     | 3/20 - 1.20it/s"      steps (it/s or s/it)
  ///   "  |####      | 120/686 - 1.20GB/s"   tensors that are loaded
  ///   "... decoding 1 latents", "... generate_image completed in 2.31s"
  /// Returns the progress if the line tells any.
  std::optional<Progress> take(std::string_view line);

  [[nodiscard]] bool listening() const { return listening_; }
  /// A picture is being drawn, for whomever.
  [[nodiscard]] bool drawing() const { return drawing_; }
  void reset() { *this = SdLog(); }

 private:
  bool listening_ = false;
  bool drawing_ = false;
};

}  // namespace berth::servers
