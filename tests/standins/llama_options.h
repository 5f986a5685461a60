// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "berth/base/bytes.h"
#include "faults.h"

namespace berth::standin {

/// What the command line says; the defaults are those of llama-server, but for the number of slots.
struct LlamaOptions {
  std::string host = "127.0.0.1";  ///< an address, or the path of a unix socket that ends in .sock
  int port = 8080;
  std::string model;
  std::string alias;  ///< what replies name; the model's path if it was not given
  int context = 4096;
  int slots = 1;
  std::string slot_save_path;  ///< empty: slots cannot be saved

  Bytes memory;  ///< what weights and KV cache take once the server is ready
  int token_ms = 5;
  Faults faults;

  int slot_context() const { return context / slots; }
};

/// Reads the command line and the stand-in's environment variables. Prints and exits as
/// llama-server does: 0 after --help, --version and --list-devices; 1, with the cause on stderr,
/// for what it does not know.
LlamaOptions read_llama_options(int argc, char** argv);

}  // namespace berth::standin
