// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "berth/client/client.h"
#include "berth/http/async.h"

namespace berth::cli {

/// Tells a person at a terminal, once and in one line, why a request is not answered yet.
///
/// Ownership: the client must outlive the event loop's run.
class WaitingNote {
 public:
  /// `model`: the server that was asked, "" if the request named none.
  static std::shared_ptr<WaitingNote> begin(client::Client& berth, std::string model);
  WaitingNote(client::Client& berth, std::string model) : berth_(berth), model_(std::move(model)) {}
  /// The answer has begun.
  void end() { answered_.set(); }

 private:
  static Task<void> watch(std::shared_ptr<WaitingNote> self);

  client::Client& berth_;
  std::string model_;
  Event answered_;
};

}  // namespace berth::cli
