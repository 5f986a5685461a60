// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>

#include "berth/base/bytes.h"
#include "faults.h"

namespace berth::standin {

/// What the command line says; the defaults are those of sd-server.
struct Options {
  std::string listen_ip = "127.0.0.1";
  int listen_port = 1234;
  std::string model;
  std::string params_backend;
  std::string lora_model_dir = ".";
  bool eager_load = false;
  std::int64_t seed = 42;
  int steps = 20;
  int width = -1;
  int height = -1;

  Bytes weights;  ///< how much memory the weights take once they are loaded
  int step_ms = 20;
  Faults faults;
};

std::string version_text();

/// Reads the command line and the stand-in's environment variables. Prints and exits as sd-server
/// does: 0 after --help and --version; 1, with the usage on stdout and the cause on stderr, for
/// what it does not know. A number that is none throws out of main, as there.
Options read_options(int argc, char** argv);

}  // namespace berth::standin
