// SPDX-License-Identifier: Apache-2.0
#include "log_writer.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <string>

#include "berth/process/keeper_files.h"

namespace berth::keeper {
namespace {

/// A limit that is forgotten or absurd must not make a rename of every line.
constexpr std::uint64_t kLimitMin = 4096;

process::UniqueFd open_log() {
  return process::UniqueFd(
      ::open(process::kLogFile, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600));
}

}  // namespace

int LogWriter::open(std::uint64_t limit_bytes) {
  limit_ = std::max(limit_bytes, kLimitMin);
  file_ = open_log();
  if (!file_) return errno;
  struct stat status {};
  if (::fstat(file_.get(), &status) != 0) return errno;
  size_ = static_cast<std::uint64_t>(status.st_size);
  return 0;
}

void LogWriter::append(std::string_view bytes) {
  if (dropped_ > 0) {
    const std::string note = "\n[berth-keeper: " + std::to_string(dropped_) +
                             " bytes of the log could not be written]\n";
    dropped_ = 0;
    write(note);
  }
  write(bytes);
}

void LogWriter::write(std::string_view bytes) {
  while (!bytes.empty()) {
    if (size_ >= limit_) rotate();
    const std::size_t room = static_cast<std::size_t>(limit_ - size_);
    const ssize_t count = ::write(file_.get(), bytes.data(), std::min(bytes.size(), room));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) {
      dropped_ += bytes.size();
      return;
    }
    size_ += static_cast<std::uint64_t>(count);
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

void LogWriter::rotate() {
  // If the new file cannot be made, the old one is emptied: the limit holds in any case.
  if (::rename(process::kLogFile, process::kOldLogFile) == 0) {
    if (process::UniqueFd fresh = open_log()) {
      file_ = std::move(fresh);
      size_ = 0;
      return;
    }
  }
  if (::ftruncate(file_.get(), 0) == 0) size_ = 0;
  if (size_ != 0) limit_ = size_ + kLimitMin;  // neither works: go on rather than stop
}

}  // namespace berth::keeper
