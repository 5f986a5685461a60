// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>

namespace berth::standin {

struct HttpRequest {
  std::string method;
  std::string path;  ///< without the query
  std::string version;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;

  std::string header(const std::string& name) const;
};

struct HttpReply {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
};

/// A small HTTP/1.1 server with the habits of the one inside sd-server (cpp-httplib 0.28): eight
/// workers (or cores - 1), each bound to one connection until it closes, so that eight connections
/// that wait for pictures block every other request; kept-alive connections close after 5 s or 100
/// replies; replies of 400 and above close; SO_REUSEPORT, so that a second one can share the port.
class HttpListener {
 public:
  using Handler = std::function<HttpReply(const HttpRequest&)>;

  explicit HttpListener(Handler handler) : handler_(std::move(handler)) {}

  /// Listens and serves until the process ends. Returns only if the address cannot be had.
  void serve(const std::string& ip, int port);

 private:
  void work();
  void serve_connection(int socket);

  Handler handler_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<int> accepted_;
};

}  // namespace berth::standin
