// SPDX-License-Identifier: Apache-2.0
#include "berth/base/error.h"

#include <array>

namespace berth {
namespace {

struct Entry {
  ErrorCode code;
  std::string_view name;
  int http;
  int exit;
};

constexpr auto kEntries = std::to_array<Entry>({
#define BERTH_ERROR(name, number, http, exit, sentence) {ErrorCode::name, #name, http, exit},
#include "berth/base/error_codes.def"
#undef BERTH_ERROR
});

const Entry& entry_of(ErrorCode code) {
  for (const Entry& entry : kEntries) {
    if (entry.code == code) return entry;
  }
  return kEntries.front();
}

}  // namespace

std::string_view name(ErrorCode code) {
  return entry_of(code).name;
}
int http_status(ErrorCode code) {
  return entry_of(code).http;
}
int exit_status(ErrorCode code) {
  return entry_of(code).exit;
}

std::optional<ErrorCode> error_code_from_name(std::string_view name) {
  for (const Entry& entry : kEntries) {
    if (entry.name == name) return entry.code;
  }
  return std::nullopt;
}

}  // namespace berth
