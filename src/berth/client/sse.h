// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::client {

/// One server-sent event.
struct SseEvent {
  std::string id;
  std::string type = "message";
  std::string data;  ///< of several `data:` lines, joined by newlines

  bool operator==(const SseEvent&) const = default;
};

/// Takes a stream of server-sent events apart, however its bytes are cut into pieces.
///
/// Source: WHATWG HTML, section 9.2.6. `retry:` and the byte order mark are not needed here.
class SseReader {
 public:
  /// Returns the events that this piece completes. Comments and events without data are left out.
  std::vector<SseEvent> feed(std::string_view piece);

 private:
  void take_line(std::string_view line, std::vector<SseEvent>& out);

  std::string rest_;  ///< a line that is not complete
  SseEvent event_;
  bool has_data_ = false;
};

}  // namespace berth::client
