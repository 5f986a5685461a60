// SPDX-License-Identifier: Apache-2.0
// memory-holder BYTES SECONDS|forever: touches that much memory, says `holding`, and keeps it.
// Test equipment: it plays the foreign program that uses the memory Berth wants.
#include <unistd.h>

#include <cstdio>
#include <string>

#include "touched_memory.h"

int main(int argc, char** argv) {
  const std::string seconds = argc == 3 ? argv[2] : "";
  const auto size = berth::parse_bytes(argc == 3 ? argv[1] : "");
  const bool forever = seconds == "forever";
  if (!size || (!forever && seconds.find_first_not_of("0123456789") != std::string::npos) ||
      seconds.empty() || seconds.size() > 7) {
    std::fputs("usage: memory-holder BYTES SECONDS|forever   (BYTES also as 512MiB)\n", stderr);
    return 2;
  }
  auto memory = berth::standin::TouchedMemory::reserve(*size);
  if (!memory) {
    std::fputs("memory-holder: the system refuses that much memory\n", stderr);
    return 1;
  }
  memory->touch(0, 1);
  std::puts("holding");
  std::fflush(stdout);
  while (forever)
    pause();
  sleep(static_cast<unsigned>(std::stoul(seconds)));
  return 0;
}
