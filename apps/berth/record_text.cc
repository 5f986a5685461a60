// SPDX-License-Identifier: Apache-2.0
#include "record_text.h"

#include <fmt/format.h>

#include "console.h"

namespace berth::cli {

std::string line_of(const host::Record& record, bool json) {
  if (json) return record.json + "\n";
  const bool is_decision = record.kind == "decision";
  const std::string_view gap = record.text.empty() ? "" : ": ";
  const std::string text =
      is_decision ? record.text : fmt::format("  {}{}{}", record.name, gap, record.text);
  return fmt::format("{}  {:<8} {}\n", time_of_day(record.wall), record.server,
                     printable_line(text));
}

}  // namespace berth::cli
