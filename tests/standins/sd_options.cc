// SPDX-License-Identifier: Apache-2.0
#include "sd_options.h"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "sd_flags.h"
#include "sd_log.h"

namespace berth::standin {
namespace {

constexpr std::string_view kFaults[] = {"fail_image", "hang_image", "die_image", "out_of_memory",
                                        "no_memory"};

using Values = std::map<std::string, std::string, std::less<>>;

void print_section(const char* title, std::span<const Flag> flags) {
  const auto names = [](const Flag& flag) {
    const bool shows_hint = flag.hint.starts_with('<');
    return fmt::format("{}{}{}{}{}", flag.short_name, flag.short_name.empty() ? "" : ", ",
                       flag.long_name, shows_hint ? " " : "", shows_hint ? flag.hint : "");
  };
  std::size_t widest = 0;
  for (const Flag& flag : flags)
    widest = std::max(widest, names(flag).size());
  fmt::print("{}\n", title);
  for (const Flag& flag : flags) {
    fmt::print("  {:<{}}{}\n", names(flag), widest + 4, flag.sentence);
  }
}

void print_usage(const char* program) {
  fmt::print("{}\nUsage: {} [options]\n\n", version_text(), program);
  print_section("Svr Options:", server_flags());
  print_section("\nContext Options:", context_flags());
  print_section("\nDefault Generation Options:", generation_flags());
  print_section("\nOptions of the stand-in only:", standin_flags());
}

[[noreturn]] void refuse(const char* program, const char* file, int line,
                         const std::string& cause) {
  log(Level::error, file, line, cause);
  print_usage(program);
  std::exit(1);
}

const Flag* find_flag(std::string_view name) {
  for (const auto flags : {server_flags(), context_flags(), generation_flags(), standin_flags()}) {
    for (const Flag& flag : flags) {
      if (name == flag.long_name || (!flag.short_name.empty() && name == flag.short_name))
        return &flag;
    }
  }
  return nullptr;
}

// A backend assignment given twice is joined by a comma, as sd-server does.
void store(Values& values, const Flag& flag, const char* value) {
  std::string& slot = values[std::string(flag.long_name)];
  const bool joins = flag.long_name == "--backend" || flag.long_name == "--params-backend";
  slot = joins && !slot.empty() ? slot + "," + value : value;
}

Values parse(int argc, char** argv) {
  Values values;
  for (int at = 1; at < argc; ++at) {
    const Flag* flag = find_flag(argv[at]);
    if (flag == nullptr) {
      refuse(argv[0], "common.cpp", 325, fmt::format("error: unknown argument: {}", argv[at]));
    }
    if (flag->long_name == "--help") {
      print_usage(argv[0]);
      std::exit(0);
    }
    if (flag->long_name == "--list-devices") {
      fmt::print("CPU\tstand-in\n");
      std::exit(0);
    }
    const bool has_value = !flag->hint.empty();
    if (has_value && at + 1 == argc) {
      refuse(argv[0], "common.cpp", 320,
             fmt::format("error: invalid parameter for argument: {}", argv[at]));
    }
    store(values, *flag, has_value ? argv[++at] : "");
  }
  return values;
}

void take(const Values& values, std::string_view name, std::string& target) {
  if (const auto found = values.find(name); found != values.end()) target = found->second;
}

void take(const Values& values, std::string_view name, int& target) {
  if (const auto found = values.find(name); found != values.end())
    target = std::stoi(found->second);
}

std::string setting(const Values& values, std::string_view flag, const char* variable) {
  const char* from_environment = std::getenv(variable);
  std::string text = from_environment == nullptr ? "" : from_environment;
  take(values, flag, text);
  return text;
}

Bytes weights_of(const std::string& model, const std::string& told, const char* program) {
  if (!told.empty()) {
    const auto size = parse_bytes(told);
    if (!size) refuse(program, "standin.cc", 1, "error: --standin-memory: " + size.error().message);
    return *size;
  }
  std::error_code missing;
  const auto file_size = std::filesystem::file_size(model, missing);
  const Bytes size{missing ? 0 : static_cast<std::int64_t>(file_size)};
  return size < 1_MiB ? 64_MiB : size;
}

void check(const Options& options, const char* program) {
  if (options.listen_port < 0 || options.listen_port > 65535) {
    refuse(program, "runtime.cpp", 225, "error: listen_port should be in the range [0, 65535]");
  }
  if (options.model.empty()) {
    refuse(program, "common.cpp", 742,
           "error: the following arguments are required: model_path/diffusion_model");
  }
}

}  // namespace

std::string version_text() {
  return "stable-diffusion.cpp version 0-standin (a stand-in for sd-server, part of Berth; it "
         "draws "
         "test pictures), commit none";
}

Options read_options(int argc, char** argv) {
  if (argc > 1 && std::string_view(argv[1]) == "--version") {
    fmt::print("{}\n", version_text());
    std::exit(0);
  }
  const Values values = parse(argc, argv);
  Options options;
  take(values, "--listen-ip", options.listen_ip);
  take(values, "--listen-port", options.listen_port);
  take(values, "--diffusion-model", options.model);
  take(values, "--model", options.model);
  take(values, "--params-backend", options.params_backend);
  take(values, "--lora-model-dir", options.lora_model_dir);
  options.eager_load = values.contains("--eager-load");
  if (const auto seed = values.find("--seed"); seed != values.end())
    options.seed = std::stoll(seed->second);
  take(values, "--steps", options.steps);
  take(values, "--width", options.width);
  take(values, "--height", options.height);
  check(options, argv[0]);

  options.weights = weights_of(
      options.model, setting(values, "--standin-memory", "BERTH_STANDIN_MEMORY"), argv[0]);
  const std::string step_ms = setting(values, "--standin-step-ms", "BERTH_STANDIN_STEP_MS");
  if (!step_ms.empty()) options.step_ms = std::stoi(step_ms);
  auto faults = Faults::parse(setting(values, "--standin-faults", "BERTH_STANDIN_FAULTS"), kFaults);
  if (!faults)
    refuse(argv[0], "standin.cc", 1, "error: --standin-faults: " + faults.error().message);
  options.faults = std::move(*faults);
  return options;
}

}  // namespace berth::standin
