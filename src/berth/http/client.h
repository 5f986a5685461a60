// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/http/async.h"
#include "berth/http/message.h"

namespace berth::http {

/// One request to a server, on a connection of its own (`Connection: close`). Connections are never
/// opened ahead or reused: llama-server gives each silent one a thread.
///
/// Our side stays open until close(), since llama-server takes a half-close for a client that left.
class Call {
 public:
  ~Call();
  Call(const Call&) = delete;
  Call& operator=(const Call&) = delete;

  /// Connects and starts to write the request. Hop-by-hop headers, Expect and framing of the given
  /// request are replaced by our own; Host is set if it is missing.
  /// Errors: `server_gone` (nobody listens) or `deadline`, and then no byte of the request was
  /// sent. A failure to write the request is reported by head().
  static Task<Result<std::unique_ptr<Call>>> open(Executor executor, Endpoint endpoint,
                                                  Request request, Duration connect_limit);

  /// Waits for the head of the reply, however long it takes; 1xx replies are skipped.
  /// Errors: `server_gone` if the connection ends first, `upstream` if it is not HTTP, `cancelled`.
  Task<Result<ResponseHead>> head();

  /// Returns the next piece of the body, nothing at its clean end. Call it after head().
  ///
  /// A chunked reply gives exactly one piece for each chunk, however it was cut into segments.
  /// Others give what has arrived.
  /// Units:  a chunk has at most 16 MiB, another piece at most 64 KiB.
  /// Errors: `server_gone` if the connection ended before the body, `upstream` if the framing is
  /// broken, `cancelled` after close().
  Task<Result<std::optional<std::string>>> read();

  /// Closes the connection; a head() or read() under way ends with `cancelled`. Idempotent.
  void close();

  struct Impl;

 private:
  explicit Call(std::shared_ptr<Impl> impl);
  // Shared with the frames of reads and the writer, which end after close().
  std::shared_ptr<Impl> impl_;
};

/// Sends a request and returns the whole reply; for small ones.
///
/// Units:  `limit` is for all of it, `body_limit` is in bytes.
/// Errors: as Call, `deadline`, and `too_large` for a body over the limit.
Task<Result<Response>> fetch(Executor executor, Endpoint endpoint, Request request, Duration limit,
                             std::size_t body_limit = 64 << 20);

}  // namespace berth::http
