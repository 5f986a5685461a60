// SPDX-License-Identifier: Apache-2.0
#include "berth/process/log_follower.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string_view>
#include <vector>

#include "berth/process/keeper_files.h"

namespace berth::process {
namespace {

constexpr std::size_t kLineMax = 64 * 1024;
constexpr std::size_t kBlock = 64 * 1024;
constexpr int kBlocksPerRead = 4;

/// What a progress bar writes last before it waits: erase the rest of the terminal's line.
constexpr std::string_view kErase = "\x1b[K";

struct LineEnd {
  std::size_t at = std::string_view::npos;
  std::size_t length = 0;
  bool redraws = false;
};

/// A line ends with a newline. A progress bar draws its line again and again: each drawing ends
/// with a carriage return or with the erase sequence and counts as a line of its own.
LineEnd find_line_end(std::string_view bytes) {
  const std::size_t plain = bytes.find_first_of("\r\n");
  const std::size_t erase = bytes.find(kErase);
  if (erase < plain) return {erase, kErase.size(), true};
  if (plain == std::string_view::npos) return {};
  return {plain, 1, bytes[plain] == '\r'};
}

struct FileId {
  dev_t device = 0;
  ino_t inode = 0;

  bool operator==(const FileId&) const = default;
};

std::optional<FileId> id_of(int file) {
  struct stat status {};
  if (::fstat(file, &status) != 0) return std::nullopt;
  return FileId{status.st_dev, status.st_ino};
}

std::optional<FileId> id_of(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return FileId{status.st_dev, status.st_ino};
}

UniqueFd open_log(const std::string& directory, const char* name) {
  return UniqueFd(::open((directory + "/" + name).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
}

}  // namespace

void LogFollower::skip_to_end() {
  file_ = open_log(directory_, kLogFile);
  if (file_) ::lseek(file_.get(), 0, SEEK_END);
}

bool LogFollower::read(const LineFunction& line) {
  if (!file_ && !open_first()) return false;
  std::vector<char> block(kBlock);
  bool file_is_closed = false;  // nothing is appended to it any more
  for (int round = 0; round < kBlocksPerRead; ++round) {
    const ssize_t count = ::read(file_.get(), block.data(), block.size());
    if (count < 0 && errno != EINTR) return false;
    if (count > 0) split({block.data(), static_cast<std::size_t>(count)}, line);
    if (count != 0) continue;
    if (file_is_closed) {
      if (!open_next()) return false;
      file_is_closed = false;
    } else if (was_rotated()) {
      file_is_closed = true;  // one more read: it may have grown before it was renamed
    } else {
      return false;
    }
  }
  return true;
}

void LogFollower::flush(const LineFunction& line) {
  if (partial_.empty()) return;
  const std::string last = std::exchange(partial_, {});
  line(last);
}

bool LogFollower::open_first() {
  file_ = open_log(directory_, kOldLogFile);
  if (!file_) file_ = open_log(directory_, kLogFile);
  return static_cast<bool>(file_);
}

bool LogFollower::was_rotated() {
  struct stat status {};
  const off_t position = ::lseek(file_.get(), 0, SEEK_CUR);
  if (::fstat(file_.get(), &status) == 0 && status.st_size < position) {
    ::lseek(file_.get(), 0, SEEK_SET);  // emptied in place: the keeper could not rename it
    return false;
  }
  const std::optional<FileId> named = id_of(directory_ + "/" + kLogFile);
  return named && named != id_of(file_.get());
}

bool LogFollower::open_next() {
  // The open file keeps its inode from being used again, so equal ids mean the same file.
  constexpr int kTriesMax = 3;
  const std::string old_path = directory_ + "/" + kOldLogFile;
  const std::optional<FileId> current = id_of(file_.get());
  for (int tries = 0; tries < kTriesMax; ++tries) {
    UniqueFd old = open_log(directory_, kOldLogFile);
    if (old && id_of(old.get()) != current) {  // rotated more than once: log.1 comes next
      file_ = std::move(old);
      return true;
    }
    UniqueFd next = open_log(directory_, kLogFile);
    if (next && id_of(old_path) == current) {  // no rotation between the two
      file_ = std::move(next);
      return true;
    }
  }
  return false;
}

void LogFollower::split(std::string_view bytes, const LineFunction& line) {
  while (!bytes.empty()) {
    const LineEnd end = find_line_end(bytes);
    const std::string_view piece = bytes.substr(0, end.at);
    if (end.at == std::string_view::npos) {
      partial_.append(piece);
      if (partial_.size() >= kLineMax) flush(line);
      return;
    }
    bytes.remove_prefix(end.at + end.length);
    if (end.redraws && piece.empty() && partial_.empty()) continue;
    if (partial_.empty()) {
      line(piece);
    } else {
      partial_.append(piece);
      const std::string whole = std::exchange(partial_, {});
      line(whole);
    }
  }
}

}  // namespace berth::process
