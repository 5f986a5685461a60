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
  if (auto full = reading.paths.resolve("~/.local/state/berth")) {
    state = std::move(*full);
  } else {
    reading.problems.add({},
                         "the variable HOME is not set, so there is no place for the state; "
                         "write for example state = \"/var/lib/berth\"");
  }
}

void read_root(const Node::Table& root, const Environment& environment, Reading& reading) {
  Config& config = reading.config;
  // Pools come before servers, whose memory names them; listen before the servers' ports.
  const auto section = [&reading](void (*read)(const Entry&, Reading&)) {
    return [&reading, read](const Entry& entry, Problems&) { read(entry, reading); };
  };
  read_section({"the file", {}, root},
               {{"listen", address(config.listen)},
                {"state", path(config.state_dir, reading.paths)},
                {"pool", section(read_pools), "a section [pool.ram]"},
                {"server", section(read_servers), "a section [server.chat]"},
                {"models", section(read_models)},
                {"policy", section(read_policy)}},
               reading.problems);
  find_state(root, environment, reading);
  const Entry* servers = find(root, "server");
  const auto* table = servers == nullptr ? nullptr : servers->node.as<Node::Table>();
  if (table != nullptr) resolve_fallbacks(*table, reading);
}

}  // namespace

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
