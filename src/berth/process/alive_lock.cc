// SPDX-License-Identifier: Apache-2.0
#include "berth/process/alive_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <optional>

#include "berth/process/proc_stat.h"
#include "berth/process/system_error.h"

namespace berth::process {
namespace {

/// The owner as it stands in the file: "pid start_time\n". Empty: nobody has it.
std::string own_record() {
  const ProcStat own = read_proc_stat(::getpid()).value_or(ProcStat{});
  return fmt::format("{} {}\n", own.pid, own.start_time);
}

/// Returns the process that wrote the file, if it still lives.
std::optional<ProcStat> living_owner(int file) {
  char text[64] = {};
  const ssize_t count = ::pread(file, text, sizeof text, 0);
  if (count <= 0) return std::nullopt;
  const char* const end = text + count;
  ProcStat owner;
  const auto pid = std::from_chars(text, end, owner.pid);
  if (pid.ec != std::errc() || pid.ptr == end) return std::nullopt;
  if (std::from_chars(pid.ptr + 1, end, owner.start_time).ec != std::errc()) return std::nullopt;
  const std::optional<ProcStat> now = read_proc_stat(owner.pid);
  if (!now || !now->is_live() || now->start_time != owner.start_time) return std::nullopt;
  return owner;
}

tl::unexpected<Error> refusal(const std::string& owner, const std::string& what) {
  return fail(ErrorCode::already_running, fmt::format("{} owns {}", owner, what));
}

bool write_owner(int file) {
  const std::string record = own_record();
  if (::ftruncate(file, 0) != 0) return false;
  return ::pwrite(file, record.data(), record.size(), 0) == static_cast<ssize_t>(record.size());
}

}  // namespace

UniqueFd open_lock_owner(const std::string& path) {
  const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!file) return UniqueFd();
  const std::optional<ProcStat> owner = living_owner(file.get());
  return UniqueFd(owner ? open_same_process(owner->pid, owner->start_time) : -1);
}

std::string runtime_directory() {
  const char* given = std::getenv("XDG_RUNTIME_DIR");
  if (given != nullptr && *given != '\0') return std::string(given) + "/berth";
  std::error_code error;
  const std::filesystem::path temporary = std::filesystem::temp_directory_path(error);
  return fmt::format("{}/berth-{}", error ? "/tmp" : temporary.string(), ::getuid());
}

Result<AliveLock> AliveLock::acquire(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return acquire(
      path, fmt::format("the state directory {}; stop it, or use another state directory", folder));
}

Result<AliveLock> AliveLock::acquire_device(const std::string& runtime_dir,
                                            const std::string& device, const std::string& pool) {
  if (::mkdir(runtime_dir.c_str(), 0700) != 0 && errno != EEXIST) {
    return io_failure("cannot make " + runtime_dir, errno);
  }
  struct stat info {};
  if (::lstat(runtime_dir.c_str(), &info) != 0) return io_failure("stat of " + runtime_dir, errno);
  if (!S_ISDIR(info.st_mode) || info.st_uid != ::getuid()) {
    return fail(ErrorCode::forbidden,
                fmt::format("{} belongs to somebody else; set XDG_RUNTIME_DIR", runtime_dir));
  }
  return acquire(fmt::format("{}/{}.lock", runtime_dir, device),
                 fmt::format("the memory \"{}\" of this machine; stop it, or take the pool "
                             "\"{}\" out of the configuration",
                             device, pool));
}

Result<AliveLock> AliveLock::acquire(const std::string& path, const std::string& what) {
  // Keepers wait for the lock and hold it for some microseconds when its owner has died. So a lock
  // without a living owner is tried again, for a tenth of a second.
  constexpr int kTriesMax = 100;
  constexpr timespec kPause{.tv_sec = 0, .tv_nsec = 1'000'000};
  UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file) return io_failure("cannot open the lock " + path, errno);
  for (int tries = 0; tries < kTriesMax; ++tries) {
    if (::flock(file.get(), LOCK_EX | LOCK_NB) == 0) {
      if (!write_owner(file.get())) return io_failure("cannot write the lock " + path, errno);
      return AliveLock(std::move(file));
    }
    if (errno != EWOULDBLOCK) return io_failure("cannot lock " + path, errno);
    if (const std::optional<ProcStat> owner = living_owner(file.get())) {
      return refusal(fmt::format("another Berth (pid {})", owner->pid), what);
    }
    ::nanosleep(&kPause, nullptr);
  }
  return refusal("another program, which did not write its pid,", what);
}

AliveLock& AliveLock::operator=(AliveLock&& other) noexcept {
  if (this != &other) {
    release();
    file_ = std::move(other.file_);
  }
  return *this;
}

AliveLock::~AliveLock() {
  release();
}

void AliveLock::release() {
  if (!file_) return;
  // Emptied first: whoever finds the lock taken for a moment must not take us for its owner.
  if (::ftruncate(file_.get(), 0) != 0) ::flock(file_.get(), LOCK_UN);
  file_.reset();
}

}  // namespace berth::process
