// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace berth::servers {

/// What a llama-server says of itself in its log. `/slots` would tell the same, but polling it
/// blinds the server to clients that leave (reference/llama-server-observed.md 2).
class LlamaLog {
 public:
  enum class News : std::uint8_t { none, loaded, slot_taken, slot_released };

  /// Takes one line:
  ///   "... llama_server: model loaded"
  ///   "... slot launch_slot_: id  0 | task 7 | processing task, is_child = 0"
  ///   "... slot      release: id  0 | task 7 | stop processing: n_tokens = 48, truncated = 0"
  News take(std::string_view line);

  /// How many slots work now, for whomever.
  [[nodiscard]] std::size_t busy_slots() const { return busy_.size(); }
  /// Returns the slots 0 to `slots` - 1, the one that was used last first. Slots that were not used
  /// yet follow by number: what a restore has filled lies from 0 upwards, newest first.
  [[nodiscard]] std::vector<int> by_last_use(int slots) const;
  void reset();

 private:
  void used(std::string_view slot);

  std::set<std::string, std::less<>> busy_;  // slot ids as they are written
  std::vector<int> last_used_;               // newest last
};

}  // namespace berth::servers
