// SPDX-License-Identifier: Apache-2.0
#include "http_listener.h"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdlib>
#include <optional>
#include <thread>

namespace berth::standin {
namespace {

constexpr int kKeepAliveSeconds = 5;
constexpr int kRepliesMax = 100;
constexpr int kBacklog = 5;
constexpr std::size_t kHeadBytesMax = 64 << 10;
constexpr std::size_t kBodyBytesMax = 64 << 20;

// Reads a connection through a buffer; every call fails after 5 s without a byte.
class Reader {
 public:
  explicit Reader(int socket) : socket_(socket) {}

  std::optional<std::string> line() {
    std::size_t end = 0;
    while ((end = buffer_.find('\n')) == std::string::npos) {
      if (buffer_.size() > kHeadBytesMax || !more()) return std::nullopt;
    }
    std::string text = buffer_.substr(0, end);
    buffer_.erase(0, end + 1);
    if (text.ends_with('\r')) text.pop_back();
    return text;
  }

  std::optional<std::string> bytes(std::size_t count) {
    if (count > kBodyBytesMax) return std::nullopt;
    while (buffer_.size() < count) {
      if (!more()) return std::nullopt;
    }
    std::string text = buffer_.substr(0, count);
    buffer_.erase(0, count);
    return text;
  }

 private:
  bool more() {
    char piece[16 << 10];
    const ssize_t got = recv(socket_, piece, sizeof piece, 0);
    if (got <= 0) return false;
    buffer_.append(piece, static_cast<std::size_t>(got));
    return true;
  }

  int socket_;
  std::string buffer_;
};

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

bool send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

bool read_head(Reader& reader, const std::string& first_line, HttpRequest& request) {
  const auto space = first_line.find(' ');
  const auto last = first_line.rfind(' ');
  if (space == std::string::npos || last == space ||
      !first_line.substr(last + 1).starts_with("HTTP/1.")) {
    return false;
  }
  request.method = first_line.substr(0, space);
  request.path = first_line.substr(space + 1, last - space - 1);
  const auto mark = request.path.find('?');
  if (mark != std::string::npos) request.query = request.path.substr(mark + 1);
  request.path = request.path.substr(0, mark);
  request.version = first_line.substr(last + 1);
  for (auto line = reader.line(); line; line = reader.line()) {
    if (line->empty()) return true;
    const auto colon = line->find(':');
    if (colon == std::string::npos) return false;
    const auto value = line->find_first_not_of(" \t", colon + 1);
    request.headers[lower(line->substr(0, colon))] =
        value == std::string::npos ? "" : line->substr(value);
  }
  return false;
}

std::optional<std::size_t> number(std::string_view text, int base) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

std::optional<std::string> read_chunks(Reader& reader) {
  std::string body;
  while (body.size() <= kBodyBytesMax) {
    const auto size_line = reader.line();
    const auto size = size_line ? number(*size_line, 16) : std::nullopt;
    const auto chunk = size ? reader.bytes(*size) : std::nullopt;
    if (!chunk || !reader.line()) return std::nullopt;
    if (chunk->empty()) return body;
    body += *chunk;
  }
  return std::nullopt;
}

bool read_body(Reader& reader, HttpRequest& request) {
  std::optional<std::string> body;
  if (lower(request.header("transfer-encoding")) == "chunked") {
    body = read_chunks(reader);
  } else {
    const std::string length = request.header("content-length");
    const auto size = length.empty() ? 0 : number(length, 10);
    body = size ? reader.bytes(*size) : std::nullopt;
  }
  if (body) request.body = std::move(*body);
  return body.has_value();
}

const char* reason(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 202:
      return "Accepted";
    case 204:
      return "No Content";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 409:
      return "Conflict";
    case 410:
      return "Gone";
    case 429:
      return "Too Many Requests";
    case 501:
      return "Not Implemented";
    case 503:
      return "Service Unavailable";
    default:
      return "Internal Server Error";
  }
}

}  // namespace

std::string HttpRequest::header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? "" : found->second;
}

bool HttpRequest::client_is_gone() const {
  char byte;
  return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

std::string HttpListener::head(const HttpRequest& request, const HttpReply& reply,
                               bool closes) const {
  const std::string origin = request.header("origin");
  const bool has_body = !reply.body.empty() || reply.stream;
  return fmt::format(
      "HTTP/1.1 {} {}\r\nServer: {}\r\n"
      "Access-Control-Allow-Origin: {}\r\nAccess-Control-Allow-Credentials: true\r\n"
      "Access-Control-Allow-Methods: *\r\nAccess-Control-Allow-Headers: *\r\n{}{}{}\r\n\r\n",
      reply.status, reason(reply.status), habits_.server, origin.empty() ? "*" : origin,
      has_body ? "Content-Type: " + reply.content_type + "\r\n" : "",
      closes ? std::string("Connection: close\r\n")
             : fmt::format("Keep-Alive: timeout={}, max={}\r\n", kKeepAliveSeconds, kRepliesMax),
      reply.stream ? std::string("Transfer-Encoding: chunked")
                   : fmt::format("Content-Length: {}", reply.body.size()));
}

bool HttpListener::send_reply(const HttpRequest& request, const HttpReply& reply,
                              bool closes) const {
  const std::string first = head(request, reply, closes);
  if (request.method == "HEAD") return send_all(request.socket, first);
  if (reply.dies) {
    send_all(request.socket, first + reply.body.substr(0, reply.body.size() / 2));
    std::abort();
  }
  if (!reply.stream) return send_all(request.socket, first + reply.body);
  bool is_whole = send_all(request.socket, first);
  const ChunkSink send_chunk = [&](std::string_view piece) {
    is_whole = is_whole && !request.client_is_gone() &&
               send_all(request.socket, fmt::format("{:x}\r\n{}\r\n", piece.size(), piece));
    return is_whole;
  };
  reply.stream(send_chunk);
  return is_whole && send_all(request.socket, "0\r\n\r\n");
}

void HttpListener::serve_connection(int socket) {
  const timeval limit{.tv_sec = kKeepAliveSeconds, .tv_usec = 0};
  setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  setsockopt(socket, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  Reader reader(socket);
  for (int replies = 1; replies <= kRepliesMax; ++replies) {
    const auto first_line = reader.line();
    if (!first_line) return;
    HttpRequest request;
    request.socket = socket;
    HttpReply reply{.status = 400, .body = {}};
    bool is_readable = read_head(reader, *first_line, request);
    if (is_readable && request.header("expect") == "100-continue") {
      send_all(socket, "HTTP/1.1 100 Continue\r\n\r\n");
    }
    is_readable = is_readable && read_body(reader, request);
    if (is_readable) reply = handler_(request);
    const std::string connection = lower(request.header("connection"));
    const bool closes = replies == kRepliesMax || reply.status >= 400 || connection == "close" ||
                        (request.version == "HTTP/1.0" && connection != "keep-alive");
    if (!send_reply(request, reply, closes) || closes) return;
  }
}

void HttpListener::work() {
  while (true) {
    std::unique_lock lock(mutex_);
    arrived_.wait(lock, [this] { return !accepted_.empty(); });
    const int socket = accepted_.front();
    accepted_.pop_front();
    lock.unlock();
    finish_connection(socket);
  }
}

void HttpListener::finish_connection(int socket) {
  serve_connection(socket);
  shutdown(socket, SHUT_RDWR);
  close(socket);
}

bool HttpListener::listen_tcp(const std::string& ip, int port) {
  listener_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(listener_, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const std::string number_form = ip == "localhost" ? "127.0.0.1" : ip;
  return inet_pton(AF_INET, number_form.c_str(), &address.sin_addr) == 1 &&
         bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
         listen(listener_, kBacklog) == 0;
}

bool HttpListener::listen_unix(const std::string& path) {
  listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return false;
  path.copy(address.sun_path, path.size());
  return bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
         listen(listener_, kBacklog) == 0;
}

void HttpListener::serve() {
  for (unsigned i = 0; i < habits_.workers; ++i)
    std::thread([this] { work(); }).detach();
  while (true) {
    const int accepted = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (accepted < 0) continue;
    if (habits_.workers == 0) {
      std::thread([this, accepted] { finish_connection(accepted); }).detach();
      continue;
    }
    const std::lock_guard lock(mutex_);
    accepted_.push_back(accepted);
    arrived_.notify_one();
  }
}

}  // namespace berth::standin
