// SPDX-License-Identifier: Apache-2.0
#include "files.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include <fmt/format.h>

#include "console.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;

/// As many as Linux follows in one name.
constexpr int kLinksMax = 40;

tl::unexpected<Error> cannot_write(const std::string& path, int why) {
  const ErrorCode code = why == ENOSPC ? ErrorCode::disk_full : ErrorCode::io;
  return fail(code, fmt::format("cannot write {}: {}", path, strerror(why)));
}

/// Returns the name behind all symbolic links, whether there is such a file or not.
fs::path behind_links(fs::path path) {
  std::error_code no_link;
  for (int i = 0; i < kLinksMax; ++i) {
    const fs::path target = fs::read_symlink(path, no_link);
    if (no_link) break;
    path = path.parent_path() / target;
  }
  return path;
}

bool is_the_same(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

}  // namespace

Result<std::ifstream> open_input(const std::string& path) {
  struct stat found {};
  int why = ::stat(path.c_str(), &found) == 0 ? 0 : errno;
  if (why == 0 && S_ISDIR(found.st_mode)) why = EISDIR;
  std::ifstream in;
  if (why == 0) {
    in.open(path, std::ios::binary);
    why = in ? 0 : errno;
  }
  if (why == 0) return in;
  return fail(ErrorCode::not_found, fmt::format("cannot read {}: {}", path, strerror(why)));
}

int write_whole(int descriptor, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::write(descriptor, bytes.data(), bytes.size());
    if (count < 0 && errno == EAGAIN) {
      pollfd room{.fd = descriptor, .events = POLLOUT, .revents = 0};
      ::poll(&room, 1, -1);
    } else if (count < 0 && errno != EINTR) {
      return errno;
    }
    bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(count, 0)));
  }
  return 0;
}

Result<OutputFile> OutputFile::open(const std::string& path) {
  OutputFile output;
  output.path_ = path;
  struct stat found {};
  struct stat standard_output {};
  const bool exists = ::stat(path.c_str(), &found) == 0;
  const bool can_say = ::fstat(STDOUT_FILENO, &standard_output) == 0;
  output.is_standard_output_ =
      path == "-" || (exists && can_say && is_the_same(found, standard_output));
  if (output.is_standard_output_) return output;
  if (!exists && errno != ENOENT) return cannot_write(path, errno);
  if (exists && S_ISDIR(found.st_mode)) return cannot_write(path, EISDIR);
  if (exists && !S_ISREG(found.st_mode)) {
    output.through_.reset(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOCTTY));
    if (!output.through_) return cannot_write(path, errno);
    return output;
  }
  const fs::path target = behind_links(path);
  if (target.filename().empty()) return cannot_write(path, ENOENT);
  const fs::path folder = target.has_parent_path() ? target.parent_path() : ".";
  if (::access(folder.c_str(), W_OK | X_OK) != 0) return cannot_write(path, errno);
  output.target_ = target.string();
  return output;
}

Status OutputFile::write(std::string_view bytes) {
  if (is_standard_output_) {
    say(bytes);
    return {};
  }
  if (!through_) return replace(bytes);
  const int why = write_whole(through_.get(), bytes);
  if (why != 0) return cannot_write(path_, why);
  return {};
}

/// The file has the whole content or its old one, whatever happens.
Status OutputFile::replace(std::string_view bytes) {
  const std::string part = fmt::format("{}.part-{}", target_, ::getpid());
  const process::UniqueFd file(
      ::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
  if (!file) return cannot_write(path_, errno);
  int why = write_whole(file.get(), bytes);
  if (why == 0 && ::fsync(file.get()) != 0) why = errno;
  if (why == 0 && std::rename(part.c_str(), target_.c_str()) != 0) why = errno;
  if (why == 0) return {};
  ::unlink(part.c_str());
  return cannot_write(path_, why);
}

}  // namespace berth::cli
