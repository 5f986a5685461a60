// SPDX-License-Identifier: Apache-2.0
// For the tests of this folder only: raw peers and a folder for sockets.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <stdlib.h>

#include "berth/http/async.h"
#include "berth/http/stream.h"

namespace berth::http {

/// A folder that is gone after the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "berth-http-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

/// A peer that sends and reads exact bytes.
class Peer {
 public:
  explicit Peer(Stream stream) : stream_(std::move(stream)) {}

  static Task<std::unique_ptr<Peer>> connect(Endpoint endpoint) {
    Result<Stream> stream = co_await Stream::connect(endpoint, 2s);
    if (!stream) co_return nullptr;
    co_return std::make_unique<Peer>(std::move(*stream));
  }
  static Task<std::unique_ptr<Peer>> accept(Listener* listener) {
    Result<Stream> stream = co_await listener->accept();
    if (!stream) co_return nullptr;
    co_return std::make_unique<Peer>(std::move(*stream));
  }

  Task<bool> send(std::string bytes) {
    const Status sent = co_await stream_.write(std::move(bytes));
    co_return sent.has_value();
  }
  /// Returns everything up to and with the mark, or up to the connection's end.
  Task<std::string> read_until(std::string mark) {
    while (true) {
      const std::size_t at = bytes_.find(mark);
      if (at != std::string::npos) {
        std::string taken = bytes_.substr(0, at + mark.size());
        bytes_.erase(0, taken.size());
        co_return taken;
      }
      const Result<std::string> more = co_await stream_.read_some();
      if (!more || more->empty()) co_return std::exchange(bytes_, "");
      bytes_.append(*more);
    }
  }
  Task<std::string> read_rest() { return read_until("\x01 never sent \x01"); }
  /// Returns what has arrived, "" at the connection's end.
  Task<std::string> read_some() {
    if (!bytes_.empty()) co_return std::exchange(bytes_, "");
    const Result<std::string> more = co_await stream_.read_some();
    co_return more.value_or("");
  }
  void close() { stream_.close(); }
  void close_write() { stream_.close_write(); }

 private:
  Stream stream_;
  std::string bytes_;
};

/// Sends the bytes on a new connection and returns all that comes back until the server closes it.
inline Task<std::string> send_and_read_all(Endpoint endpoint, std::string bytes) {
  const std::unique_ptr<Peer> peer = co_await Peer::connect(endpoint);
  if (!peer) co_return "no connection";
  const bool sent = co_await peer->send(std::move(bytes));
  std::string reply = co_await peer->read_rest();
  co_return sent ? reply : "not sent; " + reply;
}

}  // namespace berth::http
