// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/http/async.h"
#include "berth/http/message.h"

namespace berth::http {

/// A connected TCP or unix socket: bytes only, no HTTP.
///
/// At most one read and one write may be under way. Both end with `cancelled` when close() is
/// called meanwhile, or when the stream is destroyed.
class Stream {
 public:
  struct Impl;

  Stream() = default;
  /// Takes over an open socket; made by connect() and Listener::accept().
  explicit Stream(std::shared_ptr<Impl> impl);
  Stream(Stream&&) noexcept = default;
  Stream& operator=(Stream&& other) noexcept;
  ~Stream();

  /// Connects; TCP_NODELAY is on. A unix socket whose queue is full is tried again until the limit.
  /// Errors: `server_gone` if nobody listens, `deadline` if it takes too long.
  static Task<Result<Stream>> connect(Endpoint endpoint, Duration limit);

  /// Returns what has arrived (at most 64 KiB), waiting for the first byte; "" = the peer closed
  /// or half-closed. Errors: `io`, `cancelled`.
  Task<Result<std::string>> read_some();
  /// Writes all of it. Errors: `io` (the peer is gone), `cancelled`.
  Task<Status> write(std::string bytes);
  /// The same, but resets the connection if the peer has not taken it all within the limit.
  Task<Status> write(std::string bytes, Duration limit);

  /// Says that no more will be written; reading goes on.
  void close_write();
  void close();
  /// Closes so that the peer sees an error and not an end (TCP only; a unix socket just closes).
  void reset();
  bool is_open() const;

 private:
  // Shared with the frames of reads and writes, which end after the stream was closed.
  std::shared_ptr<Impl> impl_;
};

/// A listening TCP socket between two listeners: who connects meanwhile waits in its queue.
class ParkedSocket {
 public:
  ParkedSocket() = default;
  /// Takes over an open descriptor.
  explicit ParkedSocket(int descriptor) : descriptor_(descriptor) {}
  ParkedSocket(ParkedSocket&& other) noexcept : descriptor_(other.release()) {}
  ParkedSocket& operator=(ParkedSocket&& other) noexcept;
  ~ParkedSocket();

  explicit operator bool() const { return descriptor_ >= 0; }
  int release() { return std::exchange(descriptor_, -1); }

 private:
  int descriptor_ = -1;
};

struct ListenOptions {
  Endpoint endpoint;
  /// The socket of a listener before this one, bound to the same endpoint.
  ParkedSocket parked = {};
  /// The next step in the message for a taken port: "set servers.chat.port or stop the other
  /// program".
  std::string taken_hint = "choose another one or stop the other program";
};

/// A listening socket.
class Listener {
 public:
  struct Impl;

  explicit Listener(std::shared_ptr<Impl> impl);
  Listener(Listener&&) noexcept = default;
  Listener& operator=(Listener&& other) noexcept;
  ~Listener();

  /// Port 0 takes a free port. The file of a unix socket gets mode 0600; an old file is removed
  /// first, but only if nobody answers on it.
  /// Errors: `port_taken` naming the endpoint and `taken_hint`; `bad_config` if the address or path
  /// cannot be used; `io`.
  static Result<Listener> listen(const Executor& executor, ListenOptions options);

  /// Errors: `cancelled` after close(); `io` (for example out of descriptors: wait and try again).
  Task<Result<Stream>> accept();
  /// Returns the TCP port, 0 for a unix socket.
  std::uint16_t port() const;
  /// Also removes the file of a unix socket.
  void close();
  /// Closes, but for the TCP socket itself; empty for a unix socket.
  ParkedSocket park();

 private:
  // Shared with the frame of accept(), which ends after close().
  std::shared_ptr<Impl> impl_;
};

}  // namespace berth::http
