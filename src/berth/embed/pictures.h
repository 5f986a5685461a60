// SPDX-License-Identifier: Apache-2.0
// Private to the folder: pictures that a program asks for.
#pragma once

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "berth/berth.h"
#include "berth/embed/runtime.h"

namespace berth::embed {

/// Asks for pictures by Berth's image jobs: they have an id, by which they are followed and given
/// up.
///
/// Threads: any.
class Pictures {
 public:
  explicit Pictures(std::shared_ptr<Runtime> runtime) : runtime_(std::move(runtime)) {}

  /// Returns when all of the request's pictures are there.
  Result<std::vector<ImageResult>> draw(const std::string& server, const ImageRequest& request);
  /// Gives up every picture that draw() waits for.
  Status cancel();

 private:
  Task<Result<std::string>> follow(client::Client* berth, std::string id,
                                   const OnProgress* on_progress);

  std::shared_ptr<Runtime> runtime_;
  std::mutex mutex_;
  std::set<std::string> ids_;  ///< under mutex: what draw() waits for
};

}  // namespace berth::embed
