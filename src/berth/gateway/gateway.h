// SPDX-License-Identifier: Apache-2.0
// Berth's doors: one address for every client, a front port for each server, the control socket.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "berth/base/result.h"
#include "berth/host/host.h"
#include "berth/http/async.h"
#include "berth/http/server.h"

namespace berth::gateway {

struct Context;

/// The network sockets of a gateway, by port. Who connects waits for the next gateway.
using ParkedDoors = std::map<std::uint16_t, http::ParkedSocket>;

struct GatewayOptions {
  /// Of the gateway before this one in the same process.
  ParkedDoors parked;
  /// What X-Berth-Progress counts in. Tests make it shorter.
  Duration progress_unit{1s};
  /// Called when a client of the control socket asks Berth to go down; it was answered already.
  std::function<void()> on_shut_down;
};

/// Listens, and answers every request: relays jobs to servers through the host, answers reads by
/// itself, serves the control API.
///
/// Ownership: the host outlives it. Await stop() before destroying either.
/// Threads: the strand of the executor.
class Gateway {
 public:
  /// Opens all doors, or none.
  /// Makes the token of the state directory if there is none.
  /// Errors: port_taken naming the port and the key of the configuration; bad_config; io.
  static Task<Result<std::unique_ptr<Gateway>>> start(Executor executor, host::Host& host,
                                                      GatewayOptions options = {});
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  /// Returns the address for every client: "http://127.0.0.1:8700".
  [[nodiscard]] const std::string& address() const;
  [[nodiscard]] std::uint16_t port() const;

  /// Takes no more from the network, and waits until who has asked is answered; event streams are
  /// cut. stop() must follow.
  Task<ParkedDoors> park();

  /// Closes every connection and waits until the last job is over. Call it after the host was shut
  /// down: jobs end when their servers stop working for them.
  Task<void> stop();

 private:
  explicit Gateway(std::shared_ptr<Context> context);
  Status make_private_folder();
  Status open_doors(ParkedDoors parked);
  Status open_control();
  void cut_endless();

  // Shared with the frames of requests.
  std::shared_ptr<Context> context_;
  std::vector<std::unique_ptr<http::Server>> doors_;
};

/// Returns where the control socket of a state directory is.
std::string control_socket(const std::string& state_dir);

}  // namespace berth::gateway
