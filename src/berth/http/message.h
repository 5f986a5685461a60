// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/result.h"

namespace berth::http {

/// True if the two are equal apart from the case of ASCII letters.
bool equal_ignoring_case(std::string_view a, std::string_view b);

struct Header {
  std::string name;
  std::string value;

  bool operator==(const Header&) const = default;
};

/// The header fields of a message, in order. Names are compared without regard to case.
struct Headers {
  std::vector<Header> fields;

  bool operator==(const Headers&) const = default;
  /// Returns the first value of that name.
  std::optional<std::string_view> get(std::string_view name) const;
  bool contains(std::string_view name) const { return get(name).has_value(); }
  std::size_t count(std::string_view name) const;
  /// Replaces all fields of that name by one.
  void set(std::string_view name, std::string value);
  void add(std::string_view name, std::string value);
  void remove(std::string_view name);
};

/// Removes what belongs to one connection and not to the message (RFC 9110 section 7.6.1):
/// Connection and the fields it names, Keep-Alive, Proxy-*, TE, Trailer, Transfer-Encoding,
/// Upgrade. Content-Length stays.
void remove_hop_by_hop(Headers& headers);

/// Decodes %XX; a broken escape stays as it is. '+' becomes a space if `plus_is_space`.
std::string percent_decode(std::string_view text, bool plus_is_space = false);

/// A message that is given to a coroutine must have a name: `co_await respond({...})` compiles, but
/// GCC 12 copies a braced temporary byte by byte there, and its strings are freed twice.
struct Request {
  std::string method = "GET";
  /// As it stood on the request line, in origin form: "/v1/models?limit=3".
  std::string target = "/";
  Headers headers;
  std::string body;

  /// Returns the target up to the '?', percent-decoded.
  std::string path() const;
  /// Returns the first value of a query parameter, percent-decoded; "" if it has no '='.
  std::optional<std::string> query(std::string_view name) const;
};

struct ResponseHead {
  int status = 200;
  Headers headers;
};

struct Response {
  int status = 200;
  Headers headers;
  std::string body;
};

/// Where a server listens.
struct Endpoint {
  /// Not empty: a unix socket, and host and port mean nothing.
  std::string unix_path;
  std::string host;
  std::uint16_t port = 0;

  bool operator==(const Endpoint&) const = default;
  bool is_unix() const { return !unix_path.empty(); }
  static Endpoint tcp(std::string host, std::uint16_t port);
  static Endpoint unix_socket(std::string path);
  /// Reads "127.0.0.1:8080", "[::1]:8080", "localhost:8080" or "unix:/run/berth/chat.sock".
  /// Errors: bad_request with the text and the forms that are understood.
  static Result<Endpoint> parse(std::string_view text);
};

/// Returns the form that Endpoint::parse() reads.
std::string to_text(const Endpoint& endpoint);

}  // namespace berth::http
