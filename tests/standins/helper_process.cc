// SPDX-License-Identifier: Apache-2.0
#include "helper_process.h"

#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <csignal>

#include "touched_memory.h"

namespace berth::standin {
namespace {

// The helper's life: hold the memory, see the parent go by the end of its pipe, stay on, leave.
[[noreturn]] void live_as_helper(const char* name, int parent_lives, int ready, Bytes size,
                                 const std::string& seconds) {
  prctl(PR_SET_NAME, name);
  setpgid(0, 0);  // a signal to the server's group does not reach it; it stays in the session
  for (const int number : {SIGTERM, SIGINT, SIGHUP})
    std::signal(number, SIG_IGN);
  auto memory = TouchedMemory::reserve(size);
  if (memory) memory->touch(0, 1);
  close(ready);
  pollfd pipe_end{.fd = parent_lives, .events = 0, .revents = 0};
  while ((pipe_end.revents & POLLHUP) == 0)
    poll(&pipe_end, 1, -1);
  while (seconds == "forever")
    pause();
  poll(nullptr, 0, static_cast<int>(std::stod(seconds) * 1000));
  _exit(0);
}

}  // namespace

bool start_helper(const std::string& setting, const char* name) {
  const auto colon = setting.find(':');
  const auto size =
      colon == setting.npos ? parse_bytes("") : parse_bytes(setting.substr(colon + 1));
  if (!size) return false;
  int life[2];
  int ready[2];
  if (pipe(life) != 0 || pipe(ready) != 0) return false;
  if (fork() == 0) {
    close(life[1]);
    close(ready[0]);
    live_as_helper(name, life[0], ready[1], *size, setting.substr(0, colon));
  }
  close(life[0]);
  close(ready[1]);
  char nothing;
  while (read(ready[0], &nothing, 1) > 0)
    continue;
  close(ready[0]);  // life[1] stays open until this process is gone
  return true;
}

}  // namespace berth::standin
