// SPDX-License-Identifier: Apache-2.0
#include "berth/process/alive_lock.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <time.h>

#include <cerrno>
#include <charconv>
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

/// Returns the owner's pid if the process that wrote the file still lives.
std::optional<pid_t> living_owner(int file) {
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
  return owner.pid;
}

tl::unexpected<Error> refusal(const std::string& path, const std::string& owner) {
  return fail(ErrorCode::already_running,
              fmt::format("{} owns the state directory {}; stop it, or use another state directory",
                          owner, std::filesystem::path(path).parent_path().string()));
}

bool write_owner(int file) {
  const std::string record = own_record();
  if (::ftruncate(file, 0) != 0) return false;
  return ::pwrite(file, record.data(), record.size(), 0) == static_cast<ssize_t>(record.size());
}

}  // namespace

Result<AliveLock> AliveLock::acquire(const std::string& path) {
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
    if (const std::optional<pid_t> owner = living_owner(file.get())) {
      return refusal(path, fmt::format("another Berth (pid {})", *owner));
    }
    ::nanosleep(&kPause, nullptr);
  }
  return refusal(path, "another program, which did not write its pid,");
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
