// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <string_view>

namespace berth::standin {

struct HttpRequest {
  std::string method;
  std::string path;   ///< without the query
  std::string query;  ///< behind the `?`
  std::string version;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;
  int socket = -1;

  std::string header(const std::string& name) const;
  /// Returns whether the client has closed its side, which ends its interest in the reply.
  bool client_is_gone() const;
};

/// Sends one chunk of a streamed reply. Returns false if the client is gone.
using ChunkSink = std::function<bool(std::string_view)>;

struct HttpReply {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  /// If set, the reply is chunked, `body` its first part, and this sends the rest.
  std::function<void(const ChunkSink&)> stream;
  /// The process aborts after the head and half of `body`.
  bool dies = false;
};

/// In what servers differ.
struct HttpHabits {
  std::string server;    ///< what the reply's `Server` says
  unsigned workers = 0;  ///< connections served at the same time; 0: as many as come
};

/// A small HTTP/1.1 server with the habits of the one inside sd-server and llama-server
/// (cpp-httplib): each worker is bound to one connection until it closes, so that as many
/// connections that wait for pictures block every other request; kept-alive connections close after
/// 5 s or 100 replies; replies of 400 and above close; SO_REUSEPORT, so that a second one can share
/// the port.
class HttpListener {
 public:
  using Handler = std::function<HttpReply(const HttpRequest&)>;

  HttpListener(Handler handler, HttpHabits habits)
      : handler_(std::move(handler)), habits_(std::move(habits)) {}

  /// Take the address. Return false if it cannot be had.
  bool listen_tcp(const std::string& ip, int port);
  bool listen_unix(const std::string& path);
  /// Serves until the process ends.
  [[noreturn]] void serve();

 private:
  void work();
  void serve_connection(int socket);
  void finish_connection(int socket);
  std::string head(const HttpRequest& request, const HttpReply& reply, bool closes) const;
  bool send_reply(const HttpRequest& request, const HttpReply& reply, bool closes) const;

  Handler handler_;
  HttpHabits habits_;
  int listener_ = -1;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<int> accepted_;
};

}  // namespace berth::standin
