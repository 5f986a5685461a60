// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <exception>

#include "arguments.h"
#include "console.h"

int main(int count, char** arguments) {
  berth::cli::keep_standard_descriptors();
  // A reader that goes away is seen by the failing write.
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return berth::cli::with_output(berth::cli::run_command_line(count, arguments));
  } catch (const std::exception& error) {
    return berth::cli::report({berth::ErrorCode::internal, error.what()}, false);
  }
}
