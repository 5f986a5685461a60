// SPDX-License-Identifier: Apache-2.0
#include "arguments.h"

#include <algorithm>
#include <functional>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "commands.h"

namespace berth::cli {
namespace {

/// Everything that can stand on the command line.
struct Arguments {
  Common common;
  UpOptions up;
  std::string server;
  int decisions = 10;
  bool forget = false;
  int lines = 50;
  std::string journal;
  std::string model;
  std::string key;
  SimulateOptions simulate;
  plan::Options plan{.prefix = "--"};
  ChatOptions chat;
  ImageOptions image;
  LeaseOptions lease;
  HoldOptions hold;
  bool watch = false;
  std::function<int()> chosen;
};

CLI::App* add(CLI::App& app, const char* name, const char* what, Arguments& arguments,
              std::function<int()> run) {
  CLI::App* command = app.add_subcommand(name, what);
  command->fallthrough();
  command->callback([&arguments, run = std::move(run)] { arguments.chosen = run; });
  return command;
}

/// A name that a script left empty means no server, least of all every one.
const CLI::Validator kNamed(
    [](std::string& text) {
      return text.empty() ? std::string("the name is empty; `berth status` shows the servers") : "";
    },
    "");

void add_daemon_commands(CLI::App& app, Arguments& arguments) {
  CLI::App* up_command = add(app, "up", "Run Berth in the foreground", arguments,
                             [&] { return up(arguments.common, arguments.up); });
  up_command->add_flag("-d,--detach", arguments.up.detach,
                       "Run in the background; return once it is ready");
  add(app, "down", "End Berth and every server it started", arguments,
      [&] { return down(arguments.common); });
  CLI::App* status_command = add(app, "status", "Show servers and memory", arguments,
                                 [&] { return status(arguments.common, arguments.watch); });
  status_command->add_flag("-w,--watch", arguments.watch,
                           "Each second, until Ctrl-C; --json: one line each");
  CLI::App* explain_command =
      add(app, "explain", "Show the newest decisions with their numbers", arguments,
          [&] { return explain(arguments.common, arguments.decisions); });
  explain_command->add_option("-n,--number", arguments.decisions, "How many decisions")
      ->check(CLI::Range(1, 10'000))
      ->capture_default_str();
}

void add_server_commands(CLI::App& app, Arguments& arguments) {
  const auto with_name = [&](const char* name, const char* what, auto command) {
    CLI::App* added = add(app, name, what, arguments, [&arguments, command] {
      return command(arguments.common, arguments.server);
    });
    added->add_option("server", arguments.server, "Name of a server")->required()->check(kNamed);
    return added;
  };
  with_name("start", "Start a server and keep it", start);
  with_name("stop", "Stop a server until it is started again", stop);
  with_name("clear", "Do not bring a server back unasked", clear);
  with_name("pin", "Keep a server where it is, whatever others want", pin);
  with_name("unpin", "Let a pinned server leave again", unpin);
  CLI::App* logs_command = with_name("logs", "Show the newest lines of a server's log",
                                     [&arguments](const Common& common, const std::string& server) {
                                       return logs(common, server, arguments.lines);
                                     });
  logs_command->add_option("-n,--number", arguments.lines, "How many lines")
      ->check(CLI::Range(0, 10'000))
      ->capture_default_str();
}

void add_replay(CLI::App& app, Arguments& arguments) {
  CLI::App* command = add(app, "replay", "Compare a journal's decisions with this Berth's",
                          arguments, [&] { return replay(arguments.common, arguments.journal); });
  command->add_option("file", arguments.journal, "A journal.jsonl")->required();
}

void add_plan(CLI::App& app, Arguments& arguments) {
  plan::Options& options = arguments.plan;
  CLI::App* command = add(app, "plan", "Show what fits together in memory, and what would",
                          arguments, [&] { return plan(arguments.common, options); });
  const auto each = [&](const char* name, std::vector<std::string>& values, const char* what) {
    command->add_option(name, values, what)->allow_extra_args(false);
  };
  each("--vram", options.vram, "A GPU of the machine: 8GB");
  command->add_option("--ram", options.ram, "Of the machine: 32GB");
  each("--foreign", options.foreign, "Of other programs: vram=1GB");
  each("--llm", options.llms, "Size and layers: 3.5GB:32/32");
  each("--diffusion", options.diffusions, "Size of the model: 6.9GB");
  each("--component", options.components, "\"WAN I2V:vram=21GB,ram=2GB,cpu=16%\"");
  command->footer("Without a machine: the running Berth, or the configuration.");
}

void add_simulate(CLI::App& app, Arguments& arguments) {
  SimulateOptions& options = arguments.simulate;
  CLI::App* command = add(app, "simulate", "Play a workload under several policies", arguments,
                          [&] { return simulate(arguments.common, options); });
  command->add_option("trace", options.traces, "Public traces: CSV or JSON lines");
  command->add_option("--workload", options.workload, "A workload, one JSON object a line");
  command->add_option("--journal", options.journal, "A journal.jsonl: its newest run");
  command->add_option("--policy", options.policies, "berth, fifo, affinity, broker")
      ->delimiter(',')
      ->capture_default_str();
  constexpr int kServersMax = 100;
  constexpr std::int64_t kRowsMax = 1'000'000;
  TraceMapping& mapping = options.mapping;
  command->add_option("--servers", mapping.servers, "Servers that a trace's models are dealt to")
      ->check(CLI::Range(1, kServersMax))
      ->capture_default_str();
  command->add_option("--swap", mapping.swap_seconds, "Seconds that a swap takes with a trace")
      ->check(CLI::Range(0.0, 1e6))
      ->capture_default_str();
  command->add_option("--load", mapping.load, "Share of a trace's time that is work")
      ->check(CLI::Range(0.01, 10.0))
      ->capture_default_str();
  command->add_option("--rows", mapping.rows, "Rows of each trace, 0 = all")
      ->check(CLI::Range(std::int64_t{0}, kRowsMax))
      ->capture_default_str();
  command
      ->add_option("--believe", options.swap_percent,
                   "Percent of a measured swap time that Berth believes")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_option("--svg", options.svg, "Write a timeline to this file");
  command->add_option("--window", options.window, "Seconds of the timeline: from, to")
      ->expected(2)
      ->check(CLI::Range(0.0, 1e9));
}

void add_chat(CLI::App& app, Arguments& arguments) {
  ChatOptions& options = arguments.chat;
  CLI::App* command = add(app, "chat", "Ask the LLM; the answer is streamed", arguments,
                          [&] { return chat(arguments.common, options); });
  command->add_option("-m,--model", options.model, "Name of the server; needed if there are more");
  command->add_option("--max-tokens", options.max_tokens, "Most tokens of the answer");
  command->add_option("--temperature", options.temperature, "0 = always the likeliest token");
  command->add_option("prompt", options.prompt, "What to say; default: standard input");
}

void add_image(CLI::App& app, Arguments& arguments) {
  constexpr std::int32_t kSideMax = 4096;  // as everywhere else in Berth
  constexpr std::int64_t kStepsMax = 100;
  ImageOptions& options = arguments.image;
  CLI::App* command = add(app, "image", "Draw a picture", arguments,
                          [&] { return image(arguments.common, options); });
  command->add_option("-m,--model", options.model, "Name of the server; needed if there are more");
  command->add_option("--width", options.width, "Pixels")
      ->check(CLI::Range(1, kSideMax))
      ->capture_default_str();
  command->add_option("--height", options.height, "Pixels")
      ->check(CLI::Range(1, kSideMax))
      ->capture_default_str();
  command->add_option("--steps", options.steps, "Sampling steps; default: the server's")
      ->check(CLI::Range(std::int64_t{1}, kStepsMax));
  command->add_option("--seed", options.seed, "The same seed draws the same picture");
  command->add_option("--negative-prompt", options.negative_prompt, "What not to draw");
  command->add_option("-o,--output", options.output, "The PNG file to write; -: standard output")
      ->required();
  command->add_option("prompt", options.prompt, "What to draw")->required();
}

CLI::App* add_limit(CLI::App* command, std::string& max, std::string& name, const char* otherwise) {
  command->add_option("--max", max,
                      std::string("Longest time: 30m, 2h, none; default: ") + otherwise);
  command->add_option("--name", name, "Who it is, for people; default: the command's name");
  command->footer("The command stands behind --, for example: -- python3 train.py");
  return command;
}

void add_lease(CLI::App& app, Arguments& arguments) {
  LeaseOptions& options = arguments.lease;
  CLI::App* lease = app.add_subcommand("lease", "Memory for a program that Berth does not run");
  lease->fallthrough()->require_subcommand(1);
  CLI::App* command = add(*lease, "run", "Run a command while it has the memory", arguments,
                          [&] { return lease_run(arguments.common, options); });
  command->add_option("--vram", options.vram, "Of pool gpu0.vram: 20GiB");
  command->add_option("--device", options.device, "Of pool gpuN.vram");
  command->add_option("--ram", options.ram, "Of pool ram: 8GiB");
  command->add_option("--bytes", options.bytes, "Of any pool: POOL=8GiB")->allow_extra_args(false);
  command->add_option("--class", options.job_class, "video, image, chat or batch; default: video");
  add_limit(command, options.max, options.name, "30m");
  add(*lease, "status", "Show leases and holds", arguments,
      [&] { return lease_status(arguments.common); });
}

void add_hold(CLI::App& app, Arguments& arguments) {
  HoldOptions& options = arguments.hold;
  CLI::App* command = add(app, "hold", "Run a command while servers stay and rivals wait",
                          arguments, [&] { return hold(arguments.common, options); });
  command->add_option("server", options.servers, "Names of servers")->required()->check(kNamed);
  command->add_flag("--exclusive", options.exclusive, "Every other server that may leave is out");
  add_limit(command, options.max, options.name, "none");
}

void add_models(CLI::App& app, Arguments& arguments) {
  CLI::App* models = app.add_subcommand("models", "Show models and what their headers say");
  models->fallthrough()->require_subcommand(0, 1);
  CLI::App* show = add(*models, "show", "Show one model, and what its servers will take", arguments,
                       [&] { return models_show(arguments.common, arguments.model); });
  show->add_option("id", arguments.model, "As `berth models` has it")->required();
  CLI::App* seen =
      add(*models, "footprint", "Show what servers were measured to take", arguments,
          [&] { return footprints(arguments.common, arguments.server, arguments.forget); });
  seen->add_option("server", arguments.server, "Only this one")->check(kNamed);
  seen->add_flag("--forget", arguments.forget, "Believe it no more; it is measured anew");
  models->callback([&arguments, models] {  // CLI11 calls it behind that of `show`
    if (models->get_subcommands().empty()) {
      arguments.chosen = [&arguments] { return models_list(arguments.common); };
    }
  });
}

void add_config(CLI::App& app, Arguments& arguments) {
  CLI::App* config = app.add_subcommand("config", "Check the configuration, or show its keys");
  config->fallthrough()->require_subcommand(1);
  add(*config, "check", "Say what is wrong with the configuration", arguments,
      [&] { return config_check(arguments.common); });
  CLI::App* keys = add(*config, "keys", "Show what it may hold", arguments,
                       [&] { return config_keys(arguments.common, arguments.key); });
  keys->add_option("key", arguments.key, "Only this one");
}

/// The first word that is no option: the command.
std::string first_word(const std::vector<std::string>& words) {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == "-c" || words[i] == "--config") {
      ++i;
    } else if (!words[i].starts_with('-')) {
      return words[i];
    }
  }
  return "";
}

/// Takes the command behind "--" of `lease` and `hold` off the words: CLI11 would take it for more
/// names of servers.
std::vector<std::string> take_command(std::vector<std::string>& words) {
  const auto mark = std::find(words.begin(), words.end(), "--");
  const std::string first = first_word({words.begin(), mark});
  if (mark == words.end() || (first != "lease" && first != "hold")) return {};
  std::vector<std::string> command(mark + 1, words.end());
  words.erase(mark, words.end());
  return command;
}

/// CLI11 only says that a command is missing where an unknown one was given.
std::string complaint(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> unknown = app.remaining();
  const bool has_command = !app.get_subcommands().empty();
  if (unknown.empty() || has_command) return std::string(error.what()) + "; see `berth --help`";
  return "there is no command \"" + unknown.front() + "\"; see `berth --help`";
}

int say_help(const CLI::App& app, const CLI::ParseError& error) {
  std::ostringstream text;
  const int status = app.exit(error, text, text);
  say(text.str());
  return status;
}

}  // namespace

int run_command_line(int count, const char* const* arguments_given) {
  Arguments arguments;
  CLI::App app("Berth shares one machine's memory between local LLM and image servers.", "berth");
  app.set_version_flag("--version", BERTH_VERSION);
  app.require_subcommand(1);
  app.add_option("-c,--config", arguments.common.config, "Configuration (./berth.toml)");
  app.add_flag("--json", arguments.common.json, "Print JSON");
  add_daemon_commands(app, arguments);
  add_server_commands(app, arguments);
  add_replay(app, arguments);
  add_plan(app, arguments);
  add_simulate(app, arguments);
  add_chat(app, arguments);
  add_image(app, arguments);
  add_lease(app, arguments);
  add_hold(app, arguments);
  add_models(app, arguments);
  add_config(app, arguments);
  std::vector<std::string> words(arguments_given + 1, arguments_given + count);
  arguments.lease.command = take_command(words);
  arguments.hold.command = arguments.lease.command;
  try {
    std::reverse(words.begin(), words.end());  // as CLI11 wants them
    app.parse(std::move(words));
  } catch (const CLI::ParseError& error) {
    // Help and version are "errors" of status 0.
    if (error.get_exit_code() == 0) return say_help(app, error);
    return report({ErrorCode::bad_request, complaint(app, error)}, arguments.common.json);
  }
  return arguments.chosen();
}

}  // namespace berth::cli
