// SPDX-License-Identifier: Apache-2.0
#include "berth/client/sse.h"

#include <utility>

namespace berth::client {

std::vector<SseEvent> SseReader::feed(std::string_view piece) {
  std::vector<SseEvent> out;
  rest_ += piece;
  std::size_t begin = 0;
  while (true) {
    const std::size_t end = rest_.find('\n', begin);
    if (end == std::string::npos) break;
    std::string_view line = std::string_view(rest_).substr(begin, end - begin);
    if (line.ends_with('\r')) line.remove_suffix(1);
    take_line(line, out);
    begin = end + 1;
  }
  rest_.erase(0, begin);
  return out;
}

void SseReader::take_line(std::string_view line, std::vector<SseEvent>& out) {
  if (line.empty()) {
    if (has_data_) out.push_back(event_);
    event_ = SseEvent{.id = event_.id};
    has_data_ = false;
    return;
  }
  const std::size_t colon = line.find(':');
  const std::string_view field = line.substr(0, colon);
  std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
  if (value.starts_with(' ')) value.remove_prefix(1);
  if (field == "id") event_.id = value;
  if (field == "event") event_.type = value;
  if (field != "data") return;
  if (has_data_) event_.data += '\n';
  event_.data += value;
  has_data_ = true;
}

}  // namespace berth::client
