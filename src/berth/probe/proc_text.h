// SPDX-License-Identifier: Apache-2.0
// Small texts that the kernel writes, and what stands in them. Of this folder only.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/types.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/bytes.h"
#include "berth/base/result.h"

namespace berth::probe {

/// A file of /proc as it was read, or the errno.
struct Text {
  std::string text;
  int error_number = 0;
};

inline Text read_text(const std::string& path) {
  Text result;
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return {.text = {}, .error_number = errno};
  char block[4096];
  ssize_t count = 0;
  while ((count = ::read(file, block, sizeof block)) != 0) {
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) break;
    result.text.append(block, static_cast<std::size_t>(count));
  }
  if (count < 0) result.error_number = errno;
  ::close(file);
  return result;
}

inline std::string path_of(pid_t pid, const char* file) {
  return fmt::format("/proc/{}/{}", pid, file);
}

template <class Number>
std::optional<Number> number_from(std::string_view text) {
  Number number = 0;
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return number;
}

/// Splits at blanks; at most `fields_max` fields.
inline std::vector<std::string_view> split(std::string_view text, std::size_t fields_max) {
  std::vector<std::string_view> fields;
  while (fields.size() < fields_max) {
    const std::size_t begin = text.find_first_not_of(" \t\n");
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    const std::size_t end = std::min(text.find_first_of(" \t\n"), text.size());
    fields.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return fields;
}

/// Returns the value of a line "Name:   123 kB".
inline Result<Bytes> value_of(std::string_view text, std::string_view name) {
  const std::string label = fmt::format("{}:", name);
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.starts_with(label)) continue;
    const auto fields = split(line.substr(label.size()), 2);
    const auto kib = fields.empty() ? std::nullopt : number_from<std::int64_t>(fields[0]);
    if (!kib || fields.size() < 2 || fields[1] != "kB") break;
    return Bytes{*kib * 1024};
  }
  return fail(ErrorCode::io, fmt::format("the kernel's text has no line \"{} ... kB\"", label));
}

}  // namespace berth::probe
