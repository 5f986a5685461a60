// SPDX-License-Identifier: Apache-2.0
#include "berth/config/config.h"

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include <fmt/format.h>

#include "berth/config/fallbacks.h"
#include "berth/config/sections.h"

namespace berth::config {
namespace {

/// Far more than any configuration; a model or a log that is named by mistake is not read.
constexpr std::size_t kFileBytesMax = std::size_t{1} << 20;

constexpr std::string_view kDefaultState = "~/.local/state/berth";

std::optional<std::string> variable(const char* name) {
  const char* value = std::getenv(name);
  if (value == nullptr || *value == '\0') return std::nullopt;
  return value;
}

/// BERTH_STATE, the key, or the default, in this order.
void find_state(const Node::Table& root, const Environment& environment, Reading& reading) {
  std::string& state = reading.config.state_dir;
  if (environment.state) {
    state = plain_path(std::filesystem::absolute(*environment.state));
    return;
  }
  if (find(root, "state") != nullptr) return;
  if (auto full = reading.paths.resolve(kDefaultState)) {
    state = std::move(*full);
  } else {
    reading.problems.add({},
                         "the variable HOME is not set, so there is no place for the state; "
                         "write for example state = \"/var/lib/berth\"");
  }
}

/// Source: unix(7), sun_path with its closing 0. Units: bytes.
constexpr std::size_t kSocketPathMax = 107;

/// The longest path of a socket in the state directory, without the directory's own.
std::string longest_socket(const Config& config) {
  std::string longest = "/control.sock";
  for (const ServerOptions& server : config.servers) {
    if (!std::holds_alternative<LlamaOptions>(server.kind)) continue;
    std::string own = fmt::format("/run/{}.sock", server.name);
    if (own.size() > longest.size()) longest = std::move(own);
  }
  return longest;
}

void check_sockets(const Node::Table& root, const Environment& environment, Reading& reading) {
  const std::string& state = reading.config.state_dir;
  const std::string longest = longest_socket(reading.config);
  if (state.size() + longest.size() <= kSocketPathMax) return;
  const Entry* entry = find(root, "state");
  const bool is_written = entry != nullptr && !environment.state;
  reading.problems.add(
      is_written ? entry->node.at : Position{},
      fmt::format("the state directory {} is too long: {} in it would be the path of a socket, "
                  "which may have {} bytes; {}",
                  state, longest.substr(1), kSocketPathMax,
                  environment.state ? "set the variable BERTH_STATE to a shorter one"
                                    : "write for example state = \"/var/lib/berth\""));
}

void read_root(const Node::Table& root, const Environment& environment, Reading& reading) {
  read_section({"the file", {}, root}, root_keys(reading), reading.problems);
  find_state(root, environment, reading);
  check_sockets(root, environment, reading);
  const Entry* servers = find(root, "server");
  const auto* table = servers == nullptr ? nullptr : servers->node.as<Node::Table>();
  if (table != nullptr) resolve_fallbacks(*table, reading);
}

}  // namespace

std::vector<Key> root_keys(Reading& reading) {
  Config& config = reading.config;
  // Pools come before servers, whose memory names them; listen before the servers' ports.
  const auto section = [&reading](const char* type, void (*read)(const Entry&, Reading&)) {
    return Reader{[&reading, read](const Entry& entry, Problems&) { read(entry, reading); }, type};
  };
  return {
      {"listen", address(config.listen),
       "IP address and port of the one address for all clients; port 0: any free port. The front "
       "ports of the servers use the same IP address. If it is not loopback, every request needs "
       "the token of `<state>/token`"},
      {"state",
       falling_back(fmt::format("\"{}\"", kDefaultState), path(config.state_dir, reading.paths)),
       "where Berth keeps its database, sockets, logs and saved states; mode 0700. The variable "
       "BERTH_STATE goes before it"},
      {"pool", section("sections", read_pools), "the memories, one `[pool.<name>]` each",
       "a section [pool.ram]"},
      {"server", section("sections", read_servers),
       "the servers, one `[server.<name>]` each. Their order is the last word of the home order",
       "a section [server.chat]"},
      {"models", section("section", read_models), "where models are, for `berth models`"},
      {"policy", section("section", read_policy), "how to decide; every key has a default"},
  };
}

Environment Environment::of_process() {
  return {.home = variable("HOME"), .state = variable("BERTH_STATE")};
}

Result<Config> parse(std::string_view text, const std::string& file_name,
                     const Environment& environment) {
  Problems problems(file_name);
  if (text.size() > kFileBytesMax) {
    problems.add({}, "the file is larger than 1 MiB; name a configuration, or write a shorter one");
    return fail(problems.error());
  }
  const Node::Table root = read_document(text, problems);
  if (!problems.empty()) return fail(problems.error());
  Config config;
  config.file = file_name;
  const Paths paths{.folder = std::filesystem::absolute(file_name).parent_path().string(),
                    .home = environment.home};
  Reading reading{config, paths, problems};
  read_root(root, environment, reading);
  if (!problems.empty()) return fail(problems.error());
  return config;
}

Result<Config> load(const std::string& path, const Environment& environment) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  std::string text(kFileBytesMax + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (!file.is_open() || file.bad() || (file.fail() && !file.eof())) {
    const int cause = errno;
    return fail(
        cause == ENOENT ? ErrorCode::not_found : ErrorCode::io,
        fmt::format("cannot read the configuration {}: {}; write one there, or name another "
                    "file",
                    path, strerror(cause)));
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  return parse(text, path, environment);
}

}  // namespace berth::config
