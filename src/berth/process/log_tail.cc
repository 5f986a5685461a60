// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "berth/process/directories.h"
#include "berth/process/keeper_files.h"
#include "berth/process/unique_fd.h"

namespace berth::process {
namespace {

/// How much of one file is looked at; a hundred lines of a server take 10 KiB.
constexpr off_t kTailMax = 1 << 20;

/// Returns the end of a file, and nothing of one that cannot be read.
std::string read_end(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  struct stat status {};
  if (!file || ::fstat(file.get(), &status) != 0) return "";
  const off_t length = std::min(status.st_size, kTailMax);
  std::string text(static_cast<std::size_t>(length), '\0');
  const ssize_t count = ::pread(file.get(), text.data(), text.size(), status.st_size - length);
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  return text;
}

}  // namespace

std::vector<std::string> log_tail(const std::string& directory, int lines) {
  const std::size_t wanted = static_cast<std::size_t>(std::max(lines, 0));
  std::string text = read_end(directory + "/" + kLogFile);
  if (static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) <= wanted) {
    text.insert(0, read_end(directory + "/" + kOldLogFile));
  }
  if (!text.empty() && text.back() == '\n') text.pop_back();
  std::vector<std::string> tail;
  std::size_t end = text.size();
  while (tail.size() < wanted && !text.empty()) {
    const std::size_t newline = end == 0 ? std::string::npos : text.rfind('\n', end - 1);
    const std::size_t begin = newline == std::string::npos ? 0 : newline + 1;
    tail.push_back(text.substr(begin, end - begin));
    if (newline == std::string::npos) break;
    end = newline;
  }
  std::reverse(tail.begin(), tail.end());
  return tail;
}

}  // namespace berth::process
