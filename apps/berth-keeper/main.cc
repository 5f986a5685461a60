// SPDX-License-Identifier: Apache-2.0
// The small process between Berth and one server: it survives Berth, knows how the server ended,
// and keeps its output. Its interface is a directory; see berth/process/keeper_files.h.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "berth/process/keeper_files.h"
#include "berth/process/unique_fd.h"
#include "keeper.h"

namespace {

using berth::process::kSpecFd;
using berth::process::kSpecFile;
using berth::process::UniqueFd;

/// Returns the spec's file, locked: as passed on by Berth, or opened here if started by hand.
/// Nothing if there is none or another keeper holds it.
UniqueFd claim_spec() {
  struct stat passed {};
  struct stat named {};
  if (::stat(kSpecFile, &named) != 0) return UniqueFd();
  if (::fstat(kSpecFd, &passed) == 0 && passed.st_dev == named.st_dev &&
      passed.st_ino == named.st_ino) {
    ::fcntl(kSpecFd, F_SETFD, FD_CLOEXEC);
    return UniqueFd(kSpecFd);
  }
  UniqueFd file(::open(kSpecFile, O_RDONLY | O_CLOEXEC));
  if (!file || ::flock(file.get(), LOCK_EX | LOCK_NB) != 0) return UniqueFd();
  return file;
}

/// Leaves Berth's terminal, files and fate behind. `spec_file` is the only one that stays open.
void detach(int spec_file) {
  ::setsid();  // fails if posix_spawn already did it
  const int null = ::open("/dev/null", O_RDWR);
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
    ::dup2(null, fd);
  const unsigned first = static_cast<unsigned>(spec_file);
  if (first > 3) ::syscall(SYS_close_range, 3U, first - 1, 0U);
  ::syscall(SYS_close_range, first + 1, ~0U, 0U);
  ::prctl(PR_SET_CHILD_SUBREAPER, 1);
  for (const int signal_number : {SIGPIPE, SIGHUP})
    ::signal(signal_number, SIG_IGN);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fputs("usage: berth-keeper DIRECTORY\n", stderr);
    return 64;
  }
  if (::chdir(argv[1]) != 0) {
    std::perror(argv[1]);
    return 66;
  }
  UniqueFd spec_file = claim_spec();
  if (!spec_file) {
    std::fprintf(stderr, "%s: no spec, or another keeper has it\n", argv[1]);
    return 66;
  }
  detach(spec_file.get());
  static berth::keeper::Keeper keeper;
  // Not exit(): the watching thread still runs, and there is nothing to flush.
  ::_exit(keeper.run(spec_file.get()));
}
