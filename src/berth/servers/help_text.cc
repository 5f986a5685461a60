// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/help_text.h"

#include <sys/stat.h>

#include <cctype>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "berth/servers/capture.h"

namespace berth::servers {
namespace {

constexpr Duration kHelpDeadline = 20s;
constexpr Duration kListDevicesDeadline = 10s;
constexpr std::size_t kIndentMax = 2;

bool is_option_start(std::string_view text) {
  return text.size() >= 2 && text[0] == '-' &&
         std::isdigit(static_cast<unsigned char>(text[1])) == 0;
}

/// Adds the names at the head of a row: "-ngl,  --gpu-layers, --n-gpu-layers N   text".
void add_names(std::string_view row, std::set<std::string>& names) {
  while (is_option_start(row)) {
    const std::size_t end = row.find_first_of(" ,=\t");
    names.emplace(row.substr(0, end));
    if (end == std::string_view::npos || row[end] != ',') return;
    row.remove_prefix(end + 1);
    row.remove_prefix(std::min(row.find_first_not_of(" \t"), row.size()));
  }
}

}  // namespace

std::set<std::string> options_in_help(std::string_view help) {
  std::set<std::string> known;
  std::set<std::string> row_names;
  const auto end_row = [&](bool removed) {
    if (!removed) known.insert(row_names.begin(), row_names.end());
    row_names.clear();
  };
  bool removed = false;
  while (!help.empty()) {
    const std::string_view line = help.substr(0, help.find('\n'));
    help.remove_prefix(std::min(help.size(), line.size() + 1));
    const std::size_t indent = std::min(line.find_first_not_of(' '), line.size());
    const std::string_view text = line.substr(indent);
    if (indent <= kIndentMax && is_option_start(text)) {
      end_row(removed);
      removed = false;
      add_names(text, row_names);
    }
    removed = removed || text.find("argument has been removed") != std::string_view::npos;
  }
  end_row(removed);
  return known;
}

Result<HelpCache::Key> HelpCache::key_of(const std::string& binary) {
  struct stat info {};
  if (::stat(binary.c_str(), &info) != 0) {
    return fail(ErrorCode::binary_missing,
                fmt::format("\"{}\" cannot be run: {}", binary, strerror(errno)));
  }
  return Key{binary, info.st_size, info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec};
}

Task<std::string> HelpCache::devices_of(std::string binary) {
  const Result<Key> key = key_of(binary);
  if (!key) co_return "";
  const auto found = devices_.find(*key);
  if (found != devices_.end()) co_return found->second;
  std::vector<std::string> argv = words(binary, "--list-devices");
  auto devices = co_await capture(std::move(argv), server_environment(), kListDevicesDeadline);
  if (devices) devices_[*key] = *devices;
  co_return devices.value_or("");
}

Task<Result<std::set<std::string>>> HelpCache::options_of(std::string binary) {
  const Result<Key> key = key_of(binary);
  if (!key) co_return fail(key.error());
  const auto found = known_.find(*key);
  if (found != known_.end()) co_return found->second;
  std::vector<std::string> argv = words(binary, "--help");
  auto help = co_await capture(std::move(argv), server_environment(), kHelpDeadline);
  if (!help) co_return fail(help.error());
  std::set<std::string> options = options_in_help(*help);
  if (options.empty()) {
    co_return fail(ErrorCode::binary_missing,
                   fmt::format("`{} --help` lists no options; is it the right program?", binary));
  }
  known_[*key] = options;
  co_return options;
}

Status check_options(const std::set<std::string>& known, const std::vector<std::string>& argv) {
  for (const std::string& word : argv) {
    const std::string name = word.substr(0, word.find('='));
    if (!is_option_start(word) || known.contains(name)) continue;
    return fail(ErrorCode::option_unknown,
                fmt::format("\"{}\" does not know the option {}; use another version of it or take "
                            "the option out of the configuration",
                            argv.front(), name));
  }
  return {};
}

}  // namespace berth::servers
