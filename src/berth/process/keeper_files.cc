// SPDX-License-Identifier: Apache-2.0
#include "berth/process/keeper_files.h"

#include <fcntl.h>

#include <cerrno>
#include <charconv>

#include "berth/process/unique_fd.h"

namespace berth::process {
namespace {

void append_record(std::string& text, std::string_view name, std::string_view bytes) {
  text.append(name).append(" ").append(std::to_string(bytes.size())).append("\n");
  text.append(bytes).append("\n");
}

bool parse_number(std::string_view text, std::uint64_t& number) {
  const auto end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  return result.ec == std::errc() && result.ptr == end;
}

struct Record {
  std::string_view name;
  std::string_view bytes;
};

/// Takes one record off the front of `text`.
std::optional<Record> take_record(std::string_view& text) {
  const std::size_t space = text.find(' ');
  const std::size_t newline = text.find('\n');
  if (newline == std::string_view::npos || space >= newline) return std::nullopt;
  std::uint64_t length = 0;
  if (!parse_number(text.substr(space + 1, newline - space - 1), length)) return std::nullopt;
  const std::string_view rest = text.substr(newline + 1);
  if (length >= rest.size() || rest[length] != '\n') return std::nullopt;
  const Record record{text.substr(0, space), rest.substr(0, length)};
  text = rest.substr(length + 1);
  return record;
}

bool store_record(const Record& record, KeeperSpec& spec) {
  const std::string value(record.bytes);
  if (record.name == "argument") return spec.argv.push_back(value), true;
  if (record.name == "environment") return spec.environment.push_back(value), true;
  if (record.name == "working_directory") return spec.working_directory = value, true;
  if (record.name == "alive_lock") return spec.alive_lock = value, true;
  if (record.name == "token") return spec.token = value, true;
  if (record.name == "orphan_timeout_ms") return parse_number(value, spec.orphan_timeout_ms);
  if (record.name == "stop_grace_ms") return parse_number(value, spec.stop_grace_ms);
  if (record.name == "log_limit_bytes") return parse_number(value, spec.log_limit_bytes);
  return false;
}

}  // namespace

std::string to_text(const KeeperSpec& spec) {
  std::string text;
  append_record(text, "format", std::to_string(kFormat));
  append_record(text, "token", spec.token);
  append_record(text, "working_directory", spec.working_directory);
  append_record(text, "alive_lock", spec.alive_lock);
  append_record(text, "orphan_timeout_ms", std::to_string(spec.orphan_timeout_ms));
  append_record(text, "stop_grace_ms", std::to_string(spec.stop_grace_ms));
  append_record(text, "log_limit_bytes", std::to_string(spec.log_limit_bytes));
  for (const std::string& argument : spec.argv)
    append_record(text, "argument", argument);
  for (const std::string& entry : spec.environment)
    append_record(text, "environment", entry);
  return text;
}

std::optional<KeeperSpec> parse_keeper_spec(std::string_view text) {
  KeeperSpec spec;
  const std::optional<Record> format = take_record(text);
  if (!format || format->name != "format" || format->bytes != std::to_string(kFormat)) {
    return std::nullopt;
  }
  while (!text.empty()) {
    const std::optional<Record> record = take_record(text);
    if (!record || !store_record(*record, spec)) return std::nullopt;
  }
  if (spec.argv.empty()) return std::nullopt;
  return spec;
}

std::optional<std::string> read_file(const char* path) {
  const UniqueFd file(::open(path, O_RDONLY | O_CLOEXEC));
  if (!file) return std::nullopt;
  std::string text;
  char block[4096];
  while (true) {
    const ssize_t count = ::read(file.get(), block, sizeof block);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return std::nullopt;
    if (count == 0) return text;
    text.append(block, static_cast<std::size_t>(count));
  }
}

}  // namespace berth::process
