// SPDX-License-Identifier: Apache-2.0
// What the configuration file may hold, made from the tables that read it.
#pragma once

#include <string>
#include <vector>

namespace berth::config {

/// One key, for a person who writes the file.
struct KeyInfo {
  std::string name;
  std::string type;      ///< what may be written: "1 to 1000", "time"
  std::string fallback;  ///< what holds without it, as in the file; "" = nothing does
  bool required = false;
  std::string meaning;  ///< a sentence
};

struct SectionInfo {
  std::string title;  ///< "[policy]"
  std::vector<KeyInfo> keys;
};

/// Returns every section with every key, in the order of the page docs/reference/configuration.md.
std::vector<SectionInfo> reference();

}  // namespace berth::config
