// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/door.h"

#include <algorithm>
#include <optional>
#include <string_view>

#include <fmt/format.h>

namespace berth::gateway {
namespace {

constexpr std::uint16_t kHttpPort = 80;
constexpr std::string_view kScheme = "http://";

bool is_one_of(const std::vector<std::string>& names, std::string_view text) {
  return std::any_of(names.begin(), names.end(), [text](const std::string& name) {
    return http::equal_ignoring_case(name, text);
  });
}

bool changes_state(const http::Request& request) {
  return request.method != "GET" && request.method != "HEAD";
}

Status check_host(const Door& door, const http::Request& request) {
  const std::optional<std::string_view> host = request.headers.get("Host");
  if (host && request.headers.count("Host") == 1 && is_one_of(door.hosts, *host)) return {};
  return fail(ErrorCode::forbidden,
              fmt::format("the Host header says \"{}\", which is not this address; ask for "
                          "http://{} itself",
                          host.value_or(""), door.hosts.empty() ? "" : door.hosts.front()));
}

Status check_origin(const Door& door, const http::Request& request) {
  if (!changes_state(request) && !request.path().starts_with("/api/")) return {};
  for (const http::Header& field : request.headers.fields) {
    if (!http::equal_ignoring_case(field.name, "Origin")) continue;
    const std::string_view origin = field.value;
    const bool is_ours =
        origin.starts_with(kScheme) && is_one_of(door.pages, origin.substr(kScheme.size()));
    if (is_ours) continue;
    return fail(ErrorCode::forbidden,
                fmt::format("web pages of {} may not ask this; ask from a program, or from a page "
                            "of Berth itself",
                            origin));
  }
  return {};
}

}  // namespace

std::vector<std::string> own_hosts(const config::Address& bound) {
  const bool is_ipv6 = bound.host.find(':') != std::string::npos;
  std::vector<std::string> names{is_ipv6 ? "[" + bound.host + "]" : bound.host};
  for (const std::string_view loopback : {"127.0.0.1", "localhost", "[::1]"}) {
    if (!is_one_of(names, loopback)) names.emplace_back(loopback);
  }
  std::vector<std::string> hosts;
  for (const std::string& name : names)
    hosts.push_back(fmt::format("{}:{}", name, bound.port));
  if (bound.port == kHttpPort) hosts.insert(hosts.end(), names.begin(), names.end());
  return hosts;
}

Status admit(const Door& door, const http::Request& request) {
  if (door.entrance == Entrance::control) return {};
  Status host = check_host(door, request);
  if (!host) return host;
  return check_origin(door, request);
}

}  // namespace berth::gateway
