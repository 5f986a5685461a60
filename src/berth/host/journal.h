// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/core/actions.h"
#include "berth/core/events.h"
#include "berth/host/host.h"
#include "berth/servers/adapter.h"

namespace berth::host {

/// Every event, action, decision and step, one JSON object a line, in `<state>/journal.jsonl`
/// (mode 0600; as much again in journal.jsonl.1). Events and actions are complete, with the time
/// that the core was given, so that the file can be replayed (replay.h); "n" counts the lines of a
/// run. No prompt and no reply text ever stands in it. Lines are handed to the kernel as they
/// happen (they survive a crash of Berth) and are not synced: the durable truth is the store.
class Journal {
 public:
  /// Errors: io, naming the file.
  static Result<std::unique_ptr<Journal>> open(const std::string& path);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  struct Stamp {
    Instant at;
    WallTime wall;
  };
  void write(Stamp stamp, const core::Event& event, const core::Config& config);
  void write(Stamp stamp, const core::Action& action, const core::Config& config);
  /// Returns the record of a decision, already written.
  Record decision(Stamp stamp, const core::Announce& announce, const core::Config& config);
  Record step(Stamp stamp, std::string_view name, const std::string& server, std::string text);
  Record progress(Stamp stamp, const std::string& server, const servers::Progress& progress);
  void memory(Stamp stamp, const core::Measured& sample, const core::Config& config);

 private:
  class Line;
  explicit Journal(std::string path, int fd, std::int64_t size);
  void append(std::string line);
  Record finish(Line& line, Stamp stamp, std::string kind, std::string name, std::string server,
                std::string text);

  std::string path_;
  int fd_;
  std::int64_t size_;
  bool torn_ = false;  ///< the file ends within a line
  std::uint64_t next_ = 1;
};

}  // namespace berth::host
