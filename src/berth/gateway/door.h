// SPDX-License-Identifier: Apache-2.0
// Who may come in: protection against web pages that know our ports, and against strangers.
#pragma once

#include <string>
#include <vector>

#include "berth/base/result.h"
#include "berth/config/config.h"
#include "berth/gateway/routes.h"
#include "berth/http/message.h"

namespace berth::gateway {

/// True if only programs of this machine can reach the address.
bool is_loopback(const config::Address& address);

/// The names under which a listening address may be asked: loopback's, and the address itself,
/// each with the port: "localhost:8700". An address that stands for all (0.0.0.0, ::) has the names
/// of `machine`: the addresses that this machine has.
std::vector<std::string> own_hosts(const config::Address& bound,
                                   const std::vector<std::string>& machine);
/// The same with the addresses that this machine has now.
std::vector<std::string> own_hosts(const config::Address& bound);

/// What one listening socket lets in.
struct Door {
  Entrance entrance = Entrance::main;
  std::vector<std::string> hosts;  ///< allowed values of Host; the control socket has none
  std::vector<std::string> pages;  ///< hosts of all our addresses: allowed values of Origin
  std::string token;               ///< of network addresses
  bool is_open = true;             ///< false: every request needs the token (not loopback)
};

/// Lets the request in, or says why not; only its head is looked at. The control socket lets all
/// in. On a network address
/// - the Host must be one of ours, so a foreign name that resolves to this machine gets nothing
///   (DNS rebinding);
/// - what a browser sends for a page that is not ours is refused, whatever it asks;
/// - a body of a type that web forms can send is refused where it could be understood;
/// - what a route that changes the state asks, and everything if the door is not open, needs the
///   token: `Authorization: Bearer TOKEN`, or X-Api-Key as Anthropic's clients say it.
/// Errors: forbidden, unsupported_type, unauthorized, bad_request, with the next step.
Status admit(const Door& door, const http::Request& request);

}  // namespace berth::gateway
