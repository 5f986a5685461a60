// SPDX-License-Identifier: Apache-2.0
#include "berth/http/message.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>

namespace berth::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  const char small = static_cast<char>(c | 0x20);
  if (small >= 'a' && small <= 'f') return small - 'a' + 10;
  return -1;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return boost::beast::iequals(a, b);
}

std::optional<std::string_view> Headers::get(std::string_view name) const {
  for (const Header& field : fields) {
    if (equal_ignoring_case(field.name, name)) return field.value;
  }
  return std::nullopt;
}

std::size_t Headers::count(std::string_view name) const {
  return static_cast<std::size_t>(
      std::count_if(fields.begin(), fields.end(),
                    [name](const Header& field) { return equal_ignoring_case(field.name, name); }));
}

void Headers::set(std::string_view name, std::string value) {
  remove(name);
  add(name, std::move(value));
}

void Headers::add(std::string_view name, std::string value) {
  fields.push_back({std::string(name), std::move(value)});
}

void Headers::remove(std::string_view name) {
  std::erase_if(fields,
                [name](const Header& field) { return equal_ignoring_case(field.name, name); });
}

void remove_hop_by_hop(Headers& headers) {
  std::vector<std::string> names{"Connection",
                                 "Keep-Alive",
                                 "Proxy-Authenticate",
                                 "Proxy-Authorization",
                                 "Proxy-Connection",
                                 "TE",
                                 "Trailer",
                                 "Transfer-Encoding",
                                 "Upgrade"};
  for (const Header& field : headers.fields) {
    if (!equal_ignoring_case(field.name, "Connection")) continue;
    for (const std::string_view named : boost::beast::http::token_list(field.value)) {
      // The framing of the message is not the sender's to take away.
      if (!equal_ignoring_case(named, "Content-Length")) names.emplace_back(named);
    }
  }
  for (const std::string& name : names)
    headers.remove(name);
}

std::string percent_decode(std::string_view text, bool plus_is_space) {
  std::string decoded;
  decoded.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? hex_digit(text[i + 1]) : -1;
    const int low = high >= 0 ? hex_digit(text[i + 2]) : -1;
    if (low >= 0) {
      decoded.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      decoded.push_back(plus_is_space && text[i] == '+' ? ' ' : text[i]);
    }
  }
  return decoded;
}

std::string Request::path() const {
  return percent_decode(std::string_view(target).substr(0, target.find('?')));
}

std::optional<std::string> Request::query(std::string_view name) const {
  const std::size_t mark = target.find('?');
  if (mark == std::string::npos) return std::nullopt;
  std::string_view rest = std::string_view(target).substr(mark + 1);
  while (!rest.empty()) {
    const std::string_view pair = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(rest.size(), pair.size() + 1));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    if (percent_decode(pair.substr(0, equals), true) != name) continue;
    return percent_decode(pair.substr(std::min(equals + 1, pair.size())), true);
  }
  return std::nullopt;
}

Endpoint Endpoint::tcp(std::string host, std::uint16_t port) {
  return {.unix_path = "", .host = std::move(host), .port = port};
}

Endpoint Endpoint::unix_socket(std::string path) {
  return {.unix_path = std::move(path), .host = "", .port = 0};
}

Result<Endpoint> Endpoint::parse(std::string_view text) {
  const auto refuse = [text] {
    return fail(
        ErrorCode::bad_request,
        "\"" + std::string(text) + "\" is no endpoint; write host:port, [ipv6]:port or unix:/path");
  };
  static constexpr std::string_view kUnix = "unix:";
  if (text.starts_with(kUnix)) {
    const std::string_view path = text.substr(kUnix.size());
    if (!path.starts_with('/')) return refuse();
    return unix_socket(std::string(path));
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos) return refuse();
  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
  } else if (host.find(':') != std::string_view::npos) {
    return refuse();
  }
  std::uint16_t port = 0;
  const char* end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data() + colon + 1, end, port);
  if (host.empty() || parsed.ec != std::errc() || parsed.ptr != end) return refuse();
  return tcp(std::string(host), port);
}

std::string to_text(const Endpoint& endpoint) {
  if (endpoint.is_unix()) return "unix:" + endpoint.unix_path;
  const bool is_ipv6 = endpoint.host.find(':') != std::string::npos;
  const std::string host = is_ipv6 ? "[" + endpoint.host + "]" : endpoint.host;
  return host + ":" + std::to_string(endpoint.port);
}

}  // namespace berth::http
