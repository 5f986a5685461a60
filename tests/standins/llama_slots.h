// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "llama_options.h"

namespace berth::standin {

/// A token of the stand-in is four bytes of text.
std::int64_t token_count(std::string_view text);

/// What a slot file did when it was written or read.
struct SlotFile {
  std::int64_t tokens = 0;
  std::int64_t bytes = 0;
};

/// The slots of the server: which one works for which task, and the text whose KV each holds.
class LlamaSlots {
 public:
  explicit LlamaSlots(const LlamaOptions& options);

  struct Taken {
    int slot = 0;
    int task = 0;             ///< counts the requests that were given a slot, from 1
    std::int64_t cached = 0;  ///< tokens of the prompt that the slot holds already
  };
  struct View {
    bool is_processing = false;
    int task = 0;
    std::int64_t tokens = 0;
  };

  /// Waits for a slot, first come first served, and gives it to the request: the slot whose text
  /// shares more than a tenth of the prompt, else the one that was used longest ago; among equals
  /// the highest. Returns nothing if the client left before.
  std::optional<Taken> take(const std::string& prompt, const std::function<bool()>& client_left);
  /// The request is over; the slot holds `text` now.
  void release(const Taken& taken, std::string text);

  /// Waits until the slot is free; the ids wrap around. Nothing if it failed.
  std::optional<SlotFile> save(int slot, const std::string& file_name);
  std::optional<SlotFile> restore(int slot, const std::string& file_name);

  std::vector<View> view();
  bool idle();

 private:
  struct Slot {
    std::string text;
    int task = 0;  ///< 0: free
    std::uint64_t last_used = 0;
  };

  Slot* choose(const std::string& prompt);
  Slot& wait_free(std::unique_lock<std::mutex>& lock, int slot);
  std::string path(const std::string& file_name) const;

  const LlamaOptions& options_;
  std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<Slot> slots_;
  std::uint64_t next_ticket_ = 0;
  std::vector<std::uint64_t> waiting_;  ///< tickets, first come first
  std::uint64_t uses_ = 0;
  int tasks_ = 0;
};

}  // namespace berth::standin
