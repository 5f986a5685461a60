// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/questions.h"

#include <charconv>
#include <chrono>
#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/gateway/reads.h"

namespace berth::gateway {
namespace {

namespace json = boost::json;

/// What our own command line says for "every layer" (llama_arguments), and the seed's word for it.
constexpr std::int64_t kAllLayersArgument = 999;
constexpr std::int64_t kAllLayers = -1;

std::string quoted(const std::string& name) {
  return "\"" + name + "\"";
}

std::string sentence(const core::OffloadAnswer& answer, const std::string& server,
                     const std::vector<std::string>& victims, const std::string& stays) {
  if (!victims.empty()) {
    std::string names;
    for (const std::string& name : victims)
      names += (names.empty() ? "" : ", ") + quoted(name);
    return fmt::format("a request for {} would put out {} for a while", quoted(server), names);
  }
  if (answer.stays) {
    return fmt::format("a request for {} would wait for {}, which is pinned, held or leased",
                       quoted(server), quoted(stays));
  }
  if (answer.refused) {
    return fmt::format("a request for {} would be refused, and nobody put out: {}", quoted(server),
                       answer.refused->message);
  }
  if (!answer.runs) return fmt::format("a request for {} would wait as things are", quoted(server));
  return fmt::format("a request for {} would put nobody out", quoted(server));
}

/// Returns what stands behind the last of `flags` in a command line; null without one.
json::value argument(const std::vector<std::string>& argv,
                     std::initializer_list<std::string_view> flags) {
  json::value found = nullptr;
  for (std::size_t i = 0; i + 1 < argv.size(); ++i) {
    for (const std::string_view flag : flags) {
      if (argv[i] == flag) found = json::string(argv[i + 1]);
    }
  }
  return found;
}

/// The same, a number where it is one.
json::value number(const std::vector<std::string>& argv,
                   std::initializer_list<std::string_view> flags) {
  json::value found = argument(argv, flags);
  if (!found.is_string()) return found;
  const json::string& text = found.get_string();
  std::int64_t value = 0;
  const auto parsed = std::from_chars(text.begin(), text.end(), value);
  if (parsed.ec == std::errc() && parsed.ptr == text.end()) return value;
  return found;
}

json::value layers(const std::vector<std::string>& argv) {
  json::value found = number(argv, {"-ngl", "--gpu-layers", "--n-gpu-layers"});
  if (found == json::value(kAllLayersArgument)) found = kAllLayers;
  return found;
}

/// Values that nobody needs to see: those of flags that carry a secret.
json::array shown(const std::vector<std::string>& argv) {
  constexpr std::string_view kSecrets[] = {"--api-key", "--hf-token", "-hft"};
  json::array array;
  bool hide = false;
  for (const std::string& each : argv) {
    std::string text = hide ? "***" : each;
    hide = false;
    for (const std::string_view flag : kSecrets) {
      if (each == flag) hide = true;
      if (each.starts_with(std::string(flag) + "=")) text = std::string(flag) + "=***";
    }
    array.emplace_back(text);
  }
  return array;
}

std::string iso_time(WallTime time) {
  const std::chrono::sys_time<std::chrono::milliseconds> at{
      std::chrono::milliseconds(time.unix_ms)};
  const auto seconds = std::chrono::floor<std::chrono::seconds>(at);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z",
                     fmt::gmtime(std::chrono::system_clock::to_time_t(seconds)),
                     (at - seconds).count());
}

json::object saved_config(const std::vector<std::string>& argv, std::uint16_t port) {
  json::object config;
  config["model"] = argument(argv, {"-m", "--model"});
  config["port"] = nullptr;
  if (port != 0) config["port"] = port;
  config["argv"] = shown(argv);
  config["threads"] = number(argv, {"-t", "--threads"});
  config["gpu_layers"] = layers(argv);
  config["context_size"] = number(argv, {"-c", "--ctx-size"});
  config["parallel"] = number(argv, {"-np", "--parallel"});
  return config;
}

}  // namespace

http::Response offload_reply(const Call& call, ServerId server) {
  const core::OffloadAnswer answer = call.host().would_need_offload(server);
  const auto& servers = call.host().config().servers;
  std::vector<std::string> victims;
  for (const ServerId victim : answer.victims)
    victims.push_back(servers.at(victim.value).name);
  std::string stays = "a lease or hold";
  if (answer.stays && answer.stays->value < servers.size())
    stays = servers[answer.stays->value].name;
  json::object object;
  object["would_need_offload"] = !victims.empty();
  object["server"] = call.match.name;
  object["victims"] = json::array(victims.begin(), victims.end());
  object["text"] = sentence(answer, call.match.name, victims, stays);
  return json_reply(json::serialize(object));
}

http::Response saved_state_reply(const Call& call, ServerId server) {
  json::object object;
  object["saved_state"] = nullptr;
  if (const std::optional<host::SavedState> saved = call.host().saved_state(server)) {
    const host::HostStatus status = call.host().status();
    json::object state;
    state["config"] = saved_config(saved->argv, status.servers.at(server.value).front_port);
    state["was_running"] = true;  // a server that was not in memory is never displaced
    state["saved_at"] = iso_time(saved->since);
    state["displaced_by"] = saved->displaced_by;
    state["after"] = saved->after == core::After::restore ? "restore" : "on_request";
    object["saved_state"] = std::move(state);
  }
  return json_reply(json::serialize(object));
}

}  // namespace berth::gateway
