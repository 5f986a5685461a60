// SPDX-License-Identifier: Apache-2.0
#include "llama_options.h"

#include <fmt/core.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <string_view>

namespace berth::standin {
namespace {

/// One row of the help: names as they stand there, the last one is the key of the value.
struct LlamaFlag {
  std::string_view names;
  std::string_view hint;  ///< empty: the flag has no value
  std::string_view sentence = "accepted; the stand-in does not use it";
};

// Rows of llama-server's --help (b10434): what Berth passes, and what users often add.
constexpr LlamaFlag kFlags[] = {
    {"-h,    --help, --usage", "", "print usage and exit"},
    {"--version", "", "show version and build info"},
    {"--list-devices", "", "print list of available devices and exit"},
    {"-t,    --threads", "N"},
    {"-c,    --ctx-size", "N", "size of the prompt context (default: 4096)"},
    {"-b,    --batch-size", "N"},
    {"-ub,   --ubatch-size", "N"},
    {"-fa,   --flash-attn", "[on|off|auto]"},
    {"--rope-freq-base", "N"},
    {"-ctk,  --cache-type-k", "TYPE"},
    {"-ctv,  --cache-type-v", "TYPE"},
    {"-fit,  --fit", "[on|off]"},
    {"-ngl,  --gpu-layers, --n-gpu-layers", "N"},
    {"-dev,  --device", "<dev1,dev2,..>"},
    {"--lora", "FNAME"},
    {"-m,    --model", "FNAME", "model path to load"},
    {"--warmup", ""},
    {"--no-warmup", ""},
    {"--mlock", ""},
    {"--jinja", ""},
    {"--chat-template", "JINJA_TEMPLATE"},
    {"-cram, --cache-ram", "N"},
    {"-kvu,  --kv-unified", ""},
    {"--cache-idle-slots", ""},
    {"--no-cache-idle-slots", ""},
    {"-np,   --parallel", "N", "number of server slots (default: 1)"},
    {"-a,    --alias", "STRING", "set model name alias (to be used by API)"},
    {"--host", "HOST",
     "ip address to listen, or bind to an UNIX socket if the address ends with .sock"},
    {"--port", "PORT", "port to listen (default: 8080)"},
    {"--sse-ping-interval", "N"},
    {"--metrics", ""},
    {"--slots", ""},
    {"--slot-save-path", "PATH", "path to save slot kv cache (default: disabled)"},
    {"--standin-memory", "BYTES",
     "how much weights and KV cache take (default: the model file's size, 64MiB if that is below "
     "1 MiB); also BERTH_STANDIN_MEMORY"},
    {"--standin-token-ms", "N", "how long a token takes (default: 5); also BERTH_STANDIN_TOKEN_MS"},
    {"--standin-faults", "LIST", "what to do wrong, see faults.h; also BERTH_STANDIN_FAULTS"},
};

constexpr std::string_view kFaults[] = {"die_loading",    "out_of_memory", "slow_stop",
                                        "slow_prompt",    "die_request",   "die_reply",
                                        "killed_request", "fail_save",     "fail_restore"};

constexpr std::string_view kAbout =
    "a stand-in for llama-server, part of Berth: it makes up its replies";

using Values = std::map<std::string, std::string, std::less<>>;

/// Calls `each` with every name of a row.
template <class Each>
void for_names(const LlamaFlag& flag, Each each) {
  std::string_view rest = flag.names;
  while (!rest.empty()) {
    const auto end = std::min(rest.find_first_of(", "), rest.size());
    if (end > 0) each(rest.substr(0, end));
    rest.remove_prefix(std::min(rest.find_first_not_of(", ", end), rest.size()));
  }
}

std::string_view key_of(const LlamaFlag& flag) {
  std::string_view last;
  for_names(flag, [&](std::string_view name) { last = name; });
  return last;
}

const LlamaFlag* find_flag(std::string_view wanted) {
  for (const LlamaFlag& flag : kFlags) {
    bool is_meant = false;
    for_names(flag, [&](std::string_view name) { is_meant = is_meant || name == wanted; });
    if (is_meant) return &flag;
  }
  return nullptr;
}

void print_help() {
  constexpr int kColumn = 40;
  fmt::print("----- {} -----\n\n", kAbout);
  for (const LlamaFlag& flag : kFlags) {
    const std::string row =
        fmt::format("{}{}{}", flag.names, flag.hint.empty() ? "" : " ", flag.hint);
    const bool is_wide = row.size() >= kColumn;
    fmt::print("{:<{}}{}{}\n", row, kColumn,
               is_wide ? "\n" + std::string(kColumn, ' ') : std::string(), flag.sentence);
  }
}

[[noreturn]] void refuse(const std::string& cause) {
  fmt::print(stderr, "{}\n", cause);
  std::exit(1);
}

Values parse(int argc, char** argv) {
  Values values;
  for (int at = 1; at < argc; ++at) {
    const std::string name = argv[at];
    const LlamaFlag* flag = find_flag(name);
    if (flag == nullptr) refuse("error: invalid argument: " + name);
    if (!flag->hint.empty() && at + 1 == argc) {
      refuse(
          fmt::format("error while handling argument \"{}\": expected value for argument", name));
    }
    values[std::string(key_of(*flag))] = flag->hint.empty() ? "" : argv[++at];
  }
  return values;
}

std::string setting(const Values& values, std::string_view flag, const char* variable) {
  const auto found = values.find(flag);
  if (found != values.end()) return found->second;
  const char* from_environment = std::getenv(variable);
  return from_environment == nullptr ? "" : from_environment;
}

void take(const Values& values, std::string_view flag, std::string& target) {
  if (const auto found = values.find(flag); found != values.end()) target = found->second;
}

void take(const Values& values, std::string_view flag, int& target) {
  const auto found = values.find(flag);
  if (found == values.end()) return;
  char* end = nullptr;
  target = static_cast<int>(std::strtol(found->second.c_str(), &end, 10));
  if (found->second.empty() || *end != '\0') {
    refuse(fmt::format("error while handling argument \"{}\": stoi", flag));
  }
}

Bytes memory_of(const std::string& model, const std::string& told) {
  if (!told.empty()) {
    const auto size = parse_bytes(told);
    if (!size) refuse("error: --standin-memory: " + size.error().message);
    return *size;
  }
  std::error_code missing;
  const auto file_size = std::filesystem::file_size(model, missing);
  const Bytes size{missing ? 0 : static_cast<std::int64_t>(file_size)};
  return size < 1_MiB ? 64_MiB : size;
}

void answer_questions(const Values& values) {
  if (values.contains("--usage")) {
    print_help();
    std::exit(0);
  }
  if (values.contains("--version")) {
    fmt::print(stderr, "version: 0-standin ({})\n", kAbout);
    std::exit(0);
  }
  if (values.contains("--list-devices")) {
    fmt::print("Available devices:\n  (none)\n");
    std::exit(0);
  }
}

}  // namespace

LlamaOptions read_llama_options(int argc, char** argv) {
  const Values values = parse(argc, argv);
  answer_questions(values);
  LlamaOptions options;
  take(values, "--host", options.host);
  take(values, "--port", options.port);
  take(values, "--model", options.model);
  options.alias = options.model;
  take(values, "--alias", options.alias);
  take(values, "--ctx-size", options.context);
  take(values, "--parallel", options.slots);
  take(values, "--slot-save-path", options.slot_save_path);
  if (options.slots < 1 || options.context < options.slots) refuse("error: bad -c or -np");
  std::error_code missing;
  if (!options.slot_save_path.empty() &&
      !std::filesystem::is_directory(options.slot_save_path, missing)) {
    refuse(fmt::format("error while handling argument \"--slot-save-path\": not a directory: {}",
                       options.slot_save_path));
  }
  options.memory =
      memory_of(options.model, setting(values, "--standin-memory", "BERTH_STANDIN_MEMORY"));
  const std::string token_ms = setting(values, "--standin-token-ms", "BERTH_STANDIN_TOKEN_MS");
  if (!token_ms.empty()) options.token_ms = std::stoi(token_ms);
  auto faults = Faults::parse(setting(values, "--standin-faults", "BERTH_STANDIN_FAULTS"), kFaults);
  if (!faults) refuse("error: --standin-faults: " + faults.error().message);
  options.faults = std::move(*faults);
  return options;
}

}  // namespace berth::standin
