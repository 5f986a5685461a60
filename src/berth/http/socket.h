// SPDX-License-Identifier: Apache-2.0
// Private to stream.cc and listener.cc: what both know about Asio's sockets.
#pragma once

#include <array>
#include <memory>

#include <boost/asio.hpp>

#include "berth/http/stream.h"

namespace berth::http {

using Socket = boost::asio::generic::stream_protocol::socket;

struct Stream::Impl {
  explicit Impl(Socket connected) : socket(std::move(connected)) {}

  Socket socket;
  std::array<char, 64 << 10> arrived{};
};

/// Returns why the path cannot be the address of a unix socket, if so.
Status check_unix_path(const std::string& path);

/// No delay for small chunks; keep-alive finds peers that vanished. Unix sockets have neither.
void set_tcp_options(Socket& socket);

}  // namespace berth::http
