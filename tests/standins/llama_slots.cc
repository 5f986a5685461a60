// SPDX-License-Identifier: Apache-2.0
#include "llama_slots.h"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <fstream>
#include <iterator>

#include "llama_log.h"

namespace berth::standin {
namespace {

constexpr std::int64_t kTokenBytes = 4;
/// A request that waits for a slot looks this often whether its client is still there.
constexpr auto kClientCheck = std::chrono::milliseconds(50);
constexpr std::string_view kMagic = "berth llama-server stand-in, slot of ";

std::int64_t common_tokens(std::string_view a, std::string_view b) {
  const auto [end, other] = std::mismatch(a.begin(), a.end(), b.begin(), b.end());
  return (end - a.begin()) / kTokenBytes;
}

std::string slot_line(int slot, int task, std::string_view text) {
  return fmt::format("id {:2} | task {} | {}", slot, task, text);
}

}  // namespace

std::int64_t token_count(std::string_view text) {
  return (static_cast<std::int64_t>(text.size()) + kTokenBytes - 1) / kTokenBytes;
}

LlamaSlots::LlamaSlots(const LlamaOptions& options)
    : options_(options), slots_(static_cast<std::size_t>(options.slots)) {}

LlamaSlots::Slot* LlamaSlots::choose(const std::string& prompt) {
  constexpr int kSimilarOneIn = 10;
  Slot* similar = nullptr;
  Slot* oldest = nullptr;
  std::int64_t most = token_count(prompt) / kSimilarOneIn;
  for (Slot& slot : slots_) {
    if (slot.task != 0) continue;
    const std::int64_t common = common_tokens(slot.text, prompt);
    if (common > most) {
      most = common;
      similar = &slot;
    }
    if (oldest == nullptr || slot.last_used <= oldest->last_used) oldest = &slot;
  }
  return similar != nullptr ? similar : oldest;
}

std::optional<LlamaSlots::Taken> LlamaSlots::take(const std::string& prompt,
                                                  const std::function<bool()>& client_left) {
  std::unique_lock lock(mutex_);
  const std::uint64_t ticket = ++next_ticket_;
  waiting_.push_back(ticket);
  Slot* slot = nullptr;
  bool has_left = false;
  while (slot == nullptr && !has_left) {
    if (waiting_.front() == ticket) slot = choose(prompt);
    if (slot != nullptr) break;
    freed_.wait_for(lock, kClientCheck);
    has_left = client_left();
  }
  std::erase(waiting_, ticket);
  freed_.notify_all();
  if (slot == nullptr) return std::nullopt;
  slot->task = ++tasks_;
  const Taken taken{.slot = static_cast<int>(slot - slots_.data()),
                    .task = slot->task,
                    .cached = common_tokens(slot->text, prompt)};
  llama_log('I', "slot launch_slot_:",
            slot_line(taken.slot, taken.task, "processing task, is_child = 0"));
  return taken;
}

void LlamaSlots::release(const Taken& taken, std::string text) {
  const std::lock_guard lock(mutex_);
  Slot& slot = slots_[static_cast<std::size_t>(taken.slot)];
  slot.text = std::move(text);
  slot.task = 0;
  slot.last_used = ++uses_;
  llama_log('I', "slot      release:",
            slot_line(taken.slot, taken.task,
                      fmt::format("stop processing: n_tokens = {}, truncated = 0",
                                  token_count(slot.text))));
  freed_.notify_all();
}

LlamaSlots::Slot& LlamaSlots::wait_free(std::unique_lock<std::mutex>& lock, int number) {
  Slot& slot = slots_[static_cast<std::size_t>(number) % slots_.size()];
  freed_.wait(lock, [&slot] { return slot.task == 0; });
  return slot;
}

std::string LlamaSlots::path(const std::string& file_name) const {
  return options_.slot_save_path + "/" + file_name;
}

std::optional<SlotFile> LlamaSlots::save(int number, const std::string& file_name) {
  std::unique_lock lock(mutex_);
  const Slot& slot = wait_free(lock, number);
  const std::string content = fmt::format("{}{}\n{}", kMagic, slot.text.size(), slot.text);
  std::ofstream file(path(file_name), std::ios::binary | std::ios::trunc);
  file << content;
  file.close();
  if (!file || options_.faults.strikes("fail_save")) return std::nullopt;
  return SlotFile{token_count(slot.text), static_cast<std::int64_t>(content.size())};
}

// As in the real program, any failure empties the slot, and a file that is short is fatal.
std::optional<SlotFile> LlamaSlots::restore(int number, const std::string& file_name) {
  std::unique_lock lock(mutex_);
  Slot& slot = wait_free(lock, number);
  slot.text.clear();
  std::ifstream file(path(file_name), std::ios::binary);
  const std::string content{std::istreambuf_iterator<char>(file), {}};
  const auto line_end = content.find('\n');
  if (!content.starts_with(kMagic) || line_end == std::string::npos ||
      options_.faults.strikes("fail_restore")) {
    return std::nullopt;
  }
  const std::size_t size = std::stoul(content.substr(kMagic.size(), line_end - kMagic.size()));
  if (content.size() - line_end - 1 < size) {
    llama_log('E', "standin:", "GGML_ASSERT(nread <= state_size) failed");
    std::abort();
  }
  slot.text = content.substr(line_end + 1, size);
  return SlotFile{token_count(slot.text), static_cast<std::int64_t>(content.size())};
}

std::vector<LlamaSlots::View> LlamaSlots::view() {
  const std::lock_guard lock(mutex_);
  std::vector<View> view;
  for (const Slot& slot : slots_)
    view.push_back({slot.task != 0, slot.task, token_count(slot.text)});
  return view;
}

bool LlamaSlots::idle() {
  const std::lock_guard lock(mutex_);
  return waiting_.empty() &&
         std::all_of(slots_.begin(), slots_.end(), [](const Slot& slot) { return slot.task == 0; });
}

}  // namespace berth::standin
