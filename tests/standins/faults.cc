// SPDX-License-Identifier: Apache-2.0
#include "faults.h"

#include <unistd.h>

#include <algorithm>
#include <array>

namespace berth::standin {
namespace {

constexpr auto kCommon = std::to_array<std::string_view>(
    {"die_start", "die_start_silent", "helper", "never_ready", "ignore_term", "slow_load"});

bool contains(std::span<const std::string_view> names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

}  // namespace

Result<Faults::Fault> Faults::parse_one(std::string_view word,
                                        std::span<const std::string_view> own) {
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
  if (!contains(kCommon, fault.name) && !contains(own, fault.name)) {
    return fail(ErrorCode::bad_request, "'" + fault.name + "' is not a fault of the stand-in");
  }
  return fault;
}

Result<Faults> Faults::parse(std::string_view list, std::span<const std::string_view> own) {
  Faults faults;
  while (!list.empty()) {
    const auto comma = std::min(list.find(','), list.size());
    if (comma > 0) {
      auto fault = parse_one(list.substr(0, comma), own);
      if (!fault) return fail(fault.error());
      faults.faults_.push_back(std::move(*fault));
    }
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return faults;
}

bool Faults::happens(const Fault& fault) {
  return fault.armed_by.empty() || unlink(fault.armed_by.c_str()) == 0;
}

std::optional<std::string> Faults::value(std::string_view name) const {
  for (const Fault& fault : faults_) {
    if (fault.name == name && happens(fault)) return fault.value;
  }
  return std::nullopt;
}

bool Faults::strikes_at(std::string_view name, int n) const {
  return std::any_of(faults_.begin(), faults_.end(), [&](const Fault& fault) {
    return fault.name == name && std::stoi(fault.value) == n && happens(fault);
  });
}

double Faults::seconds(std::string_view name) const {
  const auto text = value(name);
  return text ? std::stod(*text) : 0;
}

}  // namespace berth::standin
