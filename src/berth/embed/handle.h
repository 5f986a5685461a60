// SPDX-License-Identifier: Apache-2.0
// Private to the folder: what all copies of a server's handle know together.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "berth/berth.h"
#include "berth/embed/runtime.h"

namespace berth {

/// Threads: any.
struct AnyServer::Shared {
  using Verb = Task<Result<std::string>> (client::Client::*)(std::string);

  [[nodiscard]] Result<std::string> server_name() const;
  [[nodiscard]] Result<client::ServerInfo> status() const;
  [[nodiscard]] Result<client::ServerInfo> ask(Verb verb) const;
  /// From here on this is the handle of the server that was wished for.
  Status provide(const embed::ServerWish& wanted);
  [[nodiscard]] std::optional<embed::ServerWish> last_wish() const;

  std::shared_ptr<embed::Runtime> runtime;
  std::string kind;
  mutable std::mutex mutex;
  std::string name;                       // under mutex; "": not known yet
  std::optional<embed::ServerWish> wish;  // under mutex
};

}  // namespace berth
