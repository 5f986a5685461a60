// SPDX-License-Identifier: Apache-2.0
#include "console.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/base/plain_text.h"
#include "berth/config/config.h"
#include "files.h"

namespace berth::cli {
namespace {

namespace fs = std::filesystem;

bool exists(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

/// The errno of the first thing that could not be said; 0 = none.
int output_failure = 0;

/// Returns ~/.config/berth/berth.toml, "" without a home.
std::string user_config() {
  const auto home = config::Environment::of_process().home;
  return home ? *home + "/.config/berth/berth.toml" : "";
}

std::string_view escape_of(Colour colour) {
  switch (colour) {
    case Colour::none:
      return "";
    case Colour::green:
      return "\x1b[32m";
    case Colour::yellow:
      return "\x1b[33m";
    case Colour::red:
      return "\x1b[31m";
    case Colour::grey:
      return "\x1b[90m";
  }
  return "";
}

std::string envelope(const Error& error) {
  boost::json::object details;
  details["code"] = std::string(name(error.code));
  details["message"] = error.message;
  boost::json::object object;
  object["error"] = std::move(details);
  return boost::json::serialize(object);
}

}  // namespace

Result<std::string> find_config(const Common& common) {
  if (common.config) return *common.config;
  if (exists("berth.toml")) return std::string("berth.toml");
  const std::string users = user_config();
  if (!users.empty() && exists(users)) return users;
  return fail(ErrorCode::not_found,
              fmt::format("there is no configuration: neither ./berth.toml nor {}; write one, or "
                          "name it with --config FILE",
                          users.empty() ? "one in ~/.config/berth" : users));
}

Result<std::string> find_state_dir(const Common& common) {
  const config::Environment environment = config::Environment::of_process();
  if (environment.state) return fs::absolute(*environment.state).lexically_normal().string();
  const Result<std::string> file = find_config(common);
  if (file) {
    const Result<config::Config> config = config::load(*file, environment);
    if (!config) return fail(config.error());
    return config->state_dir;
  }
  if (environment.home) return *environment.home + "/.local/state/berth";
  return fail(ErrorCode::not_found,
              "there is no state directory without HOME; set BERTH_STATE, or name a configuration "
              "with --config FILE");
}

int report(const Error& error, bool json) {
  if (json) say(envelope(error) + "\n");
  const std::string text = fmt::format("berth: {}\n", printable(error.message));
  std::fwrite(text.data(), 1, text.size(), stderr);
  return exit_status(error.code);
}

bool is_terminal(int descriptor) {
  return ::isatty(descriptor) == 1;
}

std::string painted(std::string_view text, Colour colour) {
  const char* no_colour = std::getenv("NO_COLOR");
  const bool is_plain = no_colour != nullptr && *no_colour != '\0';
  if (colour == Colour::none || is_plain || !is_terminal(STDOUT_FILENO)) return std::string(text);
  return fmt::format("{}{}\x1b[0m", escape_of(colour), text);
}

std::string printable(std::string_view text) {
  return escaped_text(text, "\t\n");
}

std::string printable_line(std::string_view text) {
  return escaped_text(text);
}

void keep_standard_descriptors() {
  // The lowest free number is taken. Nothing can be written to what is open for reading.
  while (true) {
    const int taken = ::open("/dev/null", O_RDONLY);
    if (taken > STDERR_FILENO) ::close(taken);
    if (taken < 0 || taken > STDERR_FILENO) return;
  }
}

bool say(std::string_view text) {
  if (output_failure == 0) output_failure = write_whole(STDOUT_FILENO, text);
  return is_all_said();
}

bool is_all_said() {
  return output_failure == 0;
}

void mention(std::string_view text) {
  static_cast<void>(write_whole(STDOUT_FILENO, text));
}

int with_output(int status) {
  if (output_failure == 0) return status;
  const Error error{ErrorCode::io,
                    fmt::format("cannot write to standard output: {}", strerror(output_failure))};
  if (output_failure != EPIPE) report(error, false);
  return status != 0 ? status : exit_status(error.code);
}

std::string time_of_day(WallTime at) {
  const std::time_t seconds = at.unix_ms / 1000;
  std::tm local{};
  ::localtime_r(&seconds, &local);
  return fmt::format("{:02}:{:02}:{:02}.{:03}", local.tm_hour, local.tm_min, local.tm_sec,
                     at.unix_ms % 1000);
}

void identify(http::Request& request, std::string_view command) {
  request.headers.set("X-Berth-Client", fmt::format("berth {}, pid {}", command, ::getpid()));
  const char* hold = std::getenv("BERTH_HOLD");
  if (hold != nullptr && *hold != '\0') request.headers.set("X-Berth-Hold", hold);
}

int converse(const Common& common, const Conversation& conversation) {
  const Result<std::string> state_dir = find_state_dir(common);
  if (!state_dir) return report(state_dir.error(), common.json);
  IoLoop loop;
  client::Client client(loop.executor(), *state_dir);
  return run_on(loop, conversation(&client));
}

}  // namespace berth::cli
