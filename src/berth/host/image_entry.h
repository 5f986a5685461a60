// SPDX-License-Identifier: Apache-2.0
// For image_jobs.cc and image_drawing.cc: an image job with what only they need.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "berth/host/image_jobs.h"

namespace berth::host {

struct ImageJobs::Entry : ImageJob {
  ImageWish wish;  ///< forgotten when it is over, and unknown after a restart
  JobRequest request;
  std::vector<std::string> at_server;  ///< what the server calls the pictures behind `kept`
  std::size_t kept = 0;                ///< pictures that were there before this server was asked
  Generation generation;               ///< of that server
  Event cancel_asked;
  Event over;
  bool adopted = false;

  [[nodiscard]] bool can_be_asked_again() const { return !wish.picture.prompt.empty(); }
};

/// How the attempt of one job of the core ended.
struct ImageJobs::Outcome {
  std::optional<Error> error;  ///< nothing: every picture is there
  bool server_died = false;
};

store::ImageJobRow to_row(const ImageJob& job, const std::vector<std::string>& at_server,
                          Generation generation);
/// Errors: io if the row is none that Berth writes.
Status read_row(const store::ImageJobRow& row, ImageJob& job, std::vector<std::string>& at_server);

WallTime wall_now();

/// Returns why the job, which is not over, will have no picture: Berth ended.
Error interruption(const ImageJob& job);

}  // namespace berth::host
