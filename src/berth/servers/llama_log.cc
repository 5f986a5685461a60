// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/llama_log.h"

#include <algorithm>
#include <charconv>

namespace berth::servers {
namespace {

bool has(std::string_view line, std::string_view text) {
  return line.find(text) != std::string_view::npos;
}

/// Returns the N of "id  N |".
std::string_view slot_id(std::string_view line) {
  const std::size_t at = line.find("id ");
  if (at == std::string_view::npos) return "";
  line.remove_prefix(at + 3);
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  return line.substr(0, line.find(' '));
}

}  // namespace

LlamaLog::News LlamaLog::take(std::string_view line) {
  if (has(line, "model loaded")) return News::loaded;
  if (has(line, "| processing task")) {
    busy_.emplace(slot_id(line));
    used(slot_id(line));
    return News::slot_taken;
  }
  if (has(line, "| stop processing")) {
    const auto found = busy_.find(slot_id(line));
    if (found != busy_.end()) busy_.erase(found);
    used(slot_id(line));  // the server counts from the end of the work
    return News::slot_released;
  }
  return News::none;
}

void LlamaLog::used(std::string_view slot) {
  int id = 0;
  const auto [end, errc] = std::from_chars(slot.data(), slot.data() + slot.size(), id);
  if (errc != std::errc{} || end != slot.data() + slot.size()) return;
  std::erase(last_used_, id);
  last_used_.push_back(id);
}

std::vector<int> LlamaLog::by_last_use(int slots) const {
  std::vector<int> order(last_used_.rbegin(), last_used_.rend());
  std::erase_if(order, [slots](int id) { return id < 0 || id >= slots; });
  for (int id = 0; id < slots; ++id) {
    if (std::find(order.begin(), order.end(), id) == order.end()) order.push_back(id);
  }
  return order;
}

void LlamaLog::reset() {
  busy_.clear();
  last_used_.clear();
}

}  // namespace berth::servers
