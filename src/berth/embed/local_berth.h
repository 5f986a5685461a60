// SPDX-License-Identifier: Apache-2.0
// Private to the folder: a Berth within this process.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>

#include "berth/base/result.h"
#include "berth/config/config.h"
#include "berth/gateway/gateway.h"

namespace berth::embed {

/// Host and gateway on a thread of their own, which is named "berth" and takes no signals.
class LocalBerth {
 public:
  /// What becomes of the servers at the end.
  enum class Servers { stop, leave };

  /// Returns when all doors are open. Servers that run already are taken over.
  /// `parked`: the doors of the one before, if there was one.
  /// `on_failure`: what becomes of them if a door cannot be opened.
  /// Errors: as host::Host::start() and gateway::Gateway::start().
  static Result<std::unique_ptr<LocalBerth>> start(config::Config config, Servers on_failure,
                                                   gateway::ParkedDoors parked = {});
  /// Ends it, with its servers unless end() was called.
  ~LocalBerth();
  LocalBerth(const LocalBerth&) = delete;
  LocalBerth& operator=(const LocalBerth&) = delete;

  /// Returns the ports that it listens on: by the name of the server, and "" for the main address.
  [[nodiscard]] const std::map<std::string, std::uint16_t>& ports() const;

  /// Returns when the state directory is free for the next one. With `leave` who has asked is
  /// answered first, and who asks from now on is answered by whom the doors are given to.
  gateway::ParkedDoors end(Servers servers);

 private:
  struct Shared;
  LocalBerth();

  std::unique_ptr<Shared> shared_;
  std::thread thread_;
};

}  // namespace berth::embed
