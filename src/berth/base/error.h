// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace berth {

/// What kind of failure it is: a stable code for programs. See error_codes.def.
enum class ErrorCode : std::uint16_t {
#define BERTH_ERROR(name, number, http, exit, sentence) name = number,
#include "berth/base/error_codes.def"
#undef BERTH_ERROR
};

/// An expected failure. The message names the object and the next step.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;

  bool operator==(const Error&) const = default;
};

/// Returns the code's name as it stands in logs and replies, for example "port_taken".
std::string_view name(ErrorCode code);
/// Returns the code with that name, or nothing.
std::optional<ErrorCode> error_code_from_name(std::string_view name);
/// Returns the HTTP status that a reply with this code carries.
int http_status(ErrorCode code);
/// Returns the exit status of a command that ends with this code (sysexits numbering).
int exit_status(ErrorCode code);

}  // namespace berth
