// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/door.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <netinet/in.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>

#include <fmt/format.h>

#include "berth/gateway/token.h"

namespace berth::gateway {
namespace {

constexpr std::uint16_t kHttpPort = 80;
constexpr std::string_view kScheme = "http://";
constexpr std::string_view kBearer = "Bearer ";
/// Of what a client said, in a message. Units: bytes.
constexpr std::size_t kQuotedMax = 100;

bool is_one_of(const std::vector<std::string>& names, std::string_view text) {
  return std::any_of(names.begin(), names.end(), [text](const std::string& name) {
    return http::equal_ignoring_case(name, text);
  });
}

/// "localhost.:8700" is how a browser writes a name that is complete.
std::string without_root_dot(std::string_view host) {
  const std::size_t dot = host.find(".:");
  const bool is_at_the_port = dot != std::string_view::npos && host.find(':') == dot + 1;
  std::string plain(host);
  if (is_at_the_port) plain.erase(dot, 1);
  return plain;
}

Status check_host(const Door& door, const http::Request& request) {
  const std::string_view host = request.headers.get("Host").value_or("");
  const bool is_single = request.headers.count("Host") == 1;
  if (is_single && is_one_of(door.hosts, without_root_dot(host))) return {};
  return fail(
      ErrorCode::forbidden,
      fmt::format("the Host header says \"{}\", which is not this address; ask for "
                  "http://{} itself",
                  host.substr(0, kQuotedMax), door.hosts.empty() ? "" : door.hosts.front()));
}

tl::unexpected<Error> refused_page(std::string_view whose) {
  return fail(ErrorCode::forbidden,
              fmt::format("web pages of {} may not ask this; ask from a program, or from a page "
                          "of Berth itself",
                          whose.substr(0, kQuotedMax)));
}

/// A page is known by its Origin; where browsers leave that out (pictures, links, plain forms of
/// the same site) by Sec-Fetch-Site, which no page can set.
Status check_page(const Door& door, const http::Request& request) {
  bool is_our_page = false;
  for (const http::Header& field : request.headers.fields) {
    if (!http::equal_ignoring_case(field.name, "Origin")) continue;
    const std::string_view origin = field.value;
    is_our_page =
        origin.starts_with(kScheme) && is_one_of(door.pages, origin.substr(kScheme.size()));
    if (!is_our_page) return refused_page(origin);
  }
  const std::string_view site = request.headers.get("Sec-Fetch-Site").value_or("none");
  if (is_our_page || site == "none" || site == "same-origin") return {};
  return refused_page("another site");
}

/// Returns the media type in lower case, without parameters.
std::string media_type(const http::Request& request) {
  const std::string_view text = request.headers.get("Content-Type").value_or("");
  std::string type(text.substr(0, text.find(';')));
  while (type.ends_with(' ') || type.ends_with('\t'))
    type.pop_back();
  std::transform(type.begin(), type.end(), type.begin(), [](char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  });
  return type;
}

/// What a form sends needs no permission of ours in any browser. `curl -d` says urlencoded without
/// being asked; a form cannot write JSON in it, since it escapes the braces, so only the control
/// API refuses it.
Status check_type(const http::Request& request) {
  if (request.method == "GET" || request.method == "HEAD") return {};
  const std::string type = media_type(request);
  const bool is_form =
      type == "text/plain" || type == "multipart/form-data" ||
      (type == "application/x-www-form-urlencoded" && request.path().starts_with("/api/"));
  if (!is_form) return {};
  return fail(ErrorCode::unsupported_type,
              fmt::format("a body of the type {} is what web forms send, and is not taken; say "
                          "Content-Type: application/json",
                          type));
}

/// Returns the secret that the client offers, "" if it offers none.
/// Errors: bad_request if it offers two: which of them counts would depend on who reads them.
Result<std::string> offered_token(const http::Request& request) {
  const http::Headers& headers = request.headers;
  const std::string_view authorization = headers.get("Authorization").value_or("");
  const bool is_bearer =
      authorization.size() > kBearer.size() &&
      http::equal_ignoring_case(authorization.substr(0, kBearer.size()), kBearer);
  const std::string bearer(is_bearer ? authorization.substr(kBearer.size()) : "");
  const std::string key(headers.get("X-Api-Key").value_or(""));
  const bool is_twice = headers.count("Authorization") > 1 || headers.count("X-Api-Key") > 1;
  const bool differs = !bearer.empty() && !key.empty() && bearer != key;
  if (is_twice || differs) {
    return fail(ErrorCode::bad_request,
                "the request offers two tokens; send one Authorization: Bearer TOKEN");
  }
  return bearer.empty() ? key : bearer;
}

/// One answer for no token and for a wrong one.
Status check_token(const Door& door, const http::Request& request) {
  const Result<std::string> offered = offered_token(request);
  if (!offered) return fail(offered.error());
  if (is_same_secret(door.token, *offered)) return {};
  return fail(ErrorCode::unauthorized,
              "this needs Berth's token; send Authorization: Bearer with what the file `token` in "
              "the state directory says, or use the command `berth` or the socket control.sock "
              "there");
}

std::string numeric(const sockaddr& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = nullptr;
  if (address.sa_family == AF_INET) {
    bytes = &reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  } else if (address.sa_family == AF_INET6) {
    bytes = &reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  }
  if (bytes == nullptr) return "";
  const char* made = ::inet_ntop(address.sa_family, bytes, text.data(), text.size());
  return made == nullptr ? "" : made;
}

std::vector<std::string> machine_addresses() {
  ifaddrs* all = nullptr;
  if (::getifaddrs(&all) != 0) return {};
  const std::unique_ptr<ifaddrs, void (*)(ifaddrs*)> owner(all, ::freeifaddrs);
  std::vector<std::string> addresses;
  for (const ifaddrs* at = all; at != nullptr; at = at->ifa_next) {
    std::string text = at->ifa_addr == nullptr ? "" : numeric(*at->ifa_addr);
    if (!text.empty()) addresses.push_back(std::move(text));
  }
  return addresses;
}

bool stands_for_all(const config::Address& address) {
  return address.host == "0.0.0.0" || address.host == "::";
}

}  // namespace

bool is_loopback(const config::Address& address) {
  in_addr ipv4{};
  if (::inet_pton(AF_INET, address.host.c_str(), &ipv4) == 1) {
    return (ntohl(ipv4.s_addr) >> 24) == 127;
  }
  return address.host == "localhost" || address.host == "::1";
}

std::vector<std::string> own_hosts(const config::Address& bound,
                                   const std::vector<std::string>& machine) {
  std::vector<std::string> addresses;
  if (stands_for_all(bound)) {
    addresses = machine;
  } else {
    addresses.push_back(bound.host);
  }
  std::vector<std::string> names;
  const auto add = [&names](const std::string& name) {
    if (!is_one_of(names, name)) names.push_back(name);
  };
  for (const std::string& address : addresses)
    add(address.find(':') == std::string::npos ? address : "[" + address + "]");
  for (const std::string_view loopback : {"127.0.0.1", "localhost", "[::1]"})
    add(std::string(loopback));
  std::vector<std::string> hosts;
  for (const std::string& name : names)
    hosts.push_back(fmt::format("{}:{}", name, bound.port));
  if (bound.port == kHttpPort) hosts.insert(hosts.end(), names.begin(), names.end());
  return hosts;
}

std::vector<std::string> own_hosts(const config::Address& bound) {
  return own_hosts(bound, stands_for_all(bound) ? machine_addresses() : std::vector<std::string>{});
}

Status admit(const Door& door, const http::Request& request) {
  if (door.entrance == Entrance::control) return {};
  Status admitted = check_host(door, request);
  if (admitted) admitted = check_page(door, request);
  if (admitted) admitted = check_type(request);
  if (!admitted) return admitted;
  if (door.is_open &&
      !changes_state({door.entrance, Serves::any, request.method, request.path()})) {
    return {};
  }
  return check_token(door, request);
}

}  // namespace berth::gateway
