// SPDX-License-Identifier: Apache-2.0
#include "sd_faults.h"

#include <unistd.h>

#include <algorithm>
#include <array>

namespace berth::standin {
namespace {

constexpr std::array<std::string_view, 9> kNames = {"fail_image",  "hang_image",       "die_image",
                                                    "die_start",   "die_start_silent", "helper",
                                                    "never_ready", "ignore_term",      "slow_load"};

}  // namespace

Result<Faults::Fault> Faults::parse_one(std::string_view word) {
  Fault fault;
  if (word.starts_with("once=")) {
    const auto colon = word.find(':');
    if (colon == word.npos) return fail(ErrorCode::bad_request, "once= needs PATH:FAULT");
    fault.armed_by = word.substr(5, colon - 5);
    word.remove_prefix(colon + 1);
  }
  const auto equals = word.find('=');
  fault.name = word.substr(0, equals);
  if (equals != word.npos) fault.value = word.substr(equals + 1);
  if (std::find(kNames.begin(), kNames.end(), fault.name) == kNames.end()) {
    return fail(ErrorCode::bad_request, "'" + fault.name + "' is not a fault of the stand-in");
  }
  return fault;
}

Result<Faults> Faults::parse(std::string_view list) {
  Faults faults;
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    if (comma > 0) {
      auto fault = parse_one(list.substr(0, comma));
      if (!fault) return fail(fault.error());
      faults.faults_.push_back(std::move(*fault));
    }
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return faults;
}

std::optional<std::string> Faults::value(std::string_view name) const {
  for (const Fault& fault : faults_) {
    if (fault.name != name) continue;
    if (fault.armed_by.empty() || unlink(fault.armed_by.c_str()) == 0) return fault.value;
  }
  return std::nullopt;
}

}  // namespace berth::standin
