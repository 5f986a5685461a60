// SPDX-License-Identifier: Apache-2.0
// A server for the tests: does what its first argument says. Prints with write(2), so that nothing
// waits in a buffer.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <string>
#include <string_view>

namespace {

void print(std::string_view text) {
  if (::write(STDOUT_FILENO, text.data(), text.size()) < 0) ::_exit(9);
}

std::string in_hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

void print_arguments(int argc, char** argv) {
  for (int i = 0; i < argc; ++i)
    print("[" + in_hex(argv[i]) + "]\n");
}

void print_environment() {
  for (char** entry = environ; *entry != nullptr; ++entry)
    print(std::string(*entry) + "\n");
}

/// "number target" of each open file but the one that lists them.
void print_files() {
  DIR* directory = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(directory)) {
    char target[256];
    const ssize_t length = ::readlinkat(::dirfd(directory), entry->d_name, target, sizeof target);
    if (length < 0 || std::atoi(entry->d_name) == ::dirfd(directory)) continue;
    print(std::string(entry->d_name) + " " + std::string(target, static_cast<std::size_t>(length)) +
          "\n");
  }
}

void print_session() {
  print(std::to_string(::getpid()) + " " + std::to_string(::getsid(0)) + " " +
        std::to_string(::getppid()) + "\n");
}

/// "line 0", "line 1", ... and the last one without its newline.
void print_lines(int count) {
  for (int i = 0; i < count; ++i) {
    print("line " + std::to_string(i) + (i + 1 < count ? "\n" : ""));
  }
}

[[noreturn]] void wait_for_signal() {
  print("ready\n");
  while (true)
    ::pause();
}

/// Leaves a helper in the session and ends.
void leave_helper() {
  const pid_t helper = ::fork();
  if (helper == 0) wait_for_signal();
  print("helper " + std::to_string(helper) + "\n");
}

/// Ignores TERM, like its helper and like its daemon, which has left the session.
[[noreturn]] void be_stubborn() {
  ::signal(SIGTERM, SIG_IGN);
  if (::fork() == 0) wait_for_signal();
  if (::fork() == 0) {
    ::setsid();
    wait_for_signal();
  }
  wait_for_signal();
}

}  // namespace

int main(int argc, char** argv) {
  const std::string_view what = argc > 1 ? argv[1] : "";
  if (what == "arguments") print_arguments(argc, argv);
  if (what == "environment") print_environment();
  if (what == "files") print_files();
  if (what == "session") print_session();
  if (what == "lines") print_lines(std::atoi(argv[2]));
  if (what == "wait") wait_for_signal();
  if (what == "ignore-term") {
    ::signal(SIGTERM, SIG_IGN);
    wait_for_signal();
  }
  if (what == "leave-helper") leave_helper();
  if (what == "stubborn") be_stubborn();
  // Not exit(): a sanitizer would look for leaks, which takes longer than all of the above.
  ::_exit(what == "exit" ? std::atoi(argv[2]) : 0);
}
