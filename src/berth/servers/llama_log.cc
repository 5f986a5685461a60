// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/llama_log.h"

#include <algorithm>

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
    return News::slot_taken;
  }
  if (has(line, "| stop processing")) {
    const auto found = busy_.find(slot_id(line));
    if (found != busy_.end()) busy_.erase(found);
    return News::slot_released;
  }
  return News::none;
}

}  // namespace berth::servers
