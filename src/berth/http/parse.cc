// SPDX-License-Identifier: Apache-2.0
#include "berth/http/parse.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <utility>

namespace berth::http {
namespace {

constexpr std::string_view kCrlf = "\r\n";
/// The largest integer that every JSON and JavaScript peer holds exactly.
constexpr std::uint64_t kContentLengthMax = std::uint64_t{1} << 53;
/// llama-server sends about 8; more than this is not an HTTP server of ours.
constexpr std::size_t kReplyFieldLimit = 256;

tl::unexpected<Error> refuse(std::string message) {
  return fail(ErrorCode::bad_request, std::move(message));
}

/// A character of a token (RFC 9110 section 5.6.2): method or field name.
bool is_token_char(char c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  return c != '\0' && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

bool is_token(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), is_token_char);
}

/// A character of a field value: no control character except the tab.
bool is_value_char(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return c == '\t' || (byte >= 0x20 && byte != 0x7f);
}

bool is_value(std::string_view text) {
  return std::all_of(text.begin(), text.end(), is_value_char);
}

bool is_target_char(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte > 0x20 && byte < 0x7f;
}

/// Takes the next line off the front, without its CRLF.
/// Errors: bad_request for control characters in it, among them a CR or LF that stands alone.
Result<std::string_view> take_line(std::string_view& rest) {
  const std::size_t end = rest.find(kCrlf);
  if (end == std::string_view::npos) return refuse("a line of the head does not end with CRLF");
  const std::string_view line = rest.substr(0, end);
  rest.remove_prefix(end + kCrlf.size());
  if (!is_value(line)) return refuse("the head has a control character");
  return line;
}

Status add_field(std::string_view line, Headers& headers) {
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return refuse("a header field has no colon");
  const std::string_view name = line.substr(0, colon);
  if (!is_token(name)) return refuse("a header field's name is empty or has a space");
  std::string_view value = line.substr(colon + 1);
  value.remove_prefix(std::min(value.find_first_not_of(" \t"), value.size()));
  value = value.substr(0, value.find_last_not_of(" \t") + 1);
  headers.add(name, std::string(value));
  return {};
}

/// Reads the fields up to the empty line.
Result<Headers> parse_fields(std::string_view rest, std::size_t field_limit) {
  Headers headers;
  while (true) {
    const Result<std::string_view> line = take_line(rest);
    if (!line) return fail(line.error());
    if (line->empty()) break;
    if (headers.fields.size() == field_limit) {
      return fail(ErrorCode::too_large,
                  "more than " + std::to_string(field_limit) + " header fields");
    }
    const Status added = add_field(*line, headers);
    if (!added) return fail(added.error());
  }
  if (!rest.empty()) return refuse("the head goes on after its empty line");
  return headers;
}

/// A field such as Content_Length is read as framing by some servers behind proxies.
Status check_no_disguised_framing(const Headers& headers) {
  for (const Header& field : headers.fields) {
    if (field.name.find('_') == std::string::npos) continue;
    std::string dashed = field.name;
    std::replace(dashed.begin(), dashed.end(), '_', '-');
    if (equal_ignoring_case(dashed, "Content-Length") ||
        equal_ignoring_case(dashed, "Transfer-Encoding")) {
      return refuse("a header field \"" + field.name + "\" is not accepted");
    }
  }
  return {};
}

Result<std::uint64_t> parse_content_length(std::string_view text) {
  std::uint64_t length = 0;
  const char* end = text.data() + text.size();
  const bool starts_with_digit = !text.empty() && text[0] >= '0' && text[0] <= '9';
  const auto parsed = std::from_chars(text.data(), end, length);
  if (!starts_with_digit || parsed.ec != std::errc() || parsed.ptr != end ||
      length > kContentLengthMax) {
    return refuse("Content-Length is not a number of bytes");
  }
  return length;
}

/// Errors: bad_request for everything that leaves a doubt about where the body ends.
Result<Framing> parse_framing(const Headers& headers, bool is_http_1_0, BodyKind otherwise) {
  const Status disguised = check_no_disguised_framing(headers);
  if (!disguised) return fail(disguised.error());
  const std::size_t lengths = headers.count("Content-Length");
  const std::size_t encodings = headers.count("Transfer-Encoding");
  if (lengths > 0 && encodings > 0) {
    return refuse("both Content-Length and Transfer-Encoding are given");
  }
  if (lengths > 1) return refuse("Content-Length is given twice");
  if (encodings > 1) return refuse("Transfer-Encoding is given twice");
  if (encodings == 1) {
    if (is_http_1_0) return refuse("HTTP/1.0 has no Transfer-Encoding");
    if (!equal_ignoring_case(*headers.get("Transfer-Encoding"), "chunked")) {
      return refuse("the only Transfer-Encoding that is understood is chunked");
    }
    return Framing{BodyKind::chunked, 0};
  }
  if (lengths == 0) return Framing{otherwise, 0};
  const Result<std::uint64_t> length = parse_content_length(*headers.get("Content-Length"));
  if (!length) return fail(length.error());
  return Framing{*length == 0 ? BodyKind::none : BodyKind::length, *length};
}

Result<bool> parse_is_http_1_0(std::string_view version) {
  if (version == "HTTP/1.1") return false;
  if (version == "HTTP/1.0") return true;
  return refuse("only HTTP/1.1 and HTTP/1.0 are spoken here");
}

/// "http://host:port/path" becomes "/path"; the host must be the one of the Host field.
Status make_origin_form(Request& request) {
  if (request.target.starts_with('/')) return {};
  if (request.target == "*" && request.method == "OPTIONS") return {};
  static constexpr std::string_view kScheme = "http://";
  if (!request.target.starts_with(kScheme)) return refuse("the request's target has no path");
  const std::size_t slash =
      std::min(request.target.find('/', kScheme.size()), request.target.find('?', kScheme.size()));
  const std::size_t end = std::min(slash, request.target.size());
  const std::string host = request.target.substr(kScheme.size(), end - kScheme.size());
  if (!equal_ignoring_case(host, request.headers.get("Host").value_or(""))) {
    return refuse("the request's target and its Host differ");
  }
  request.target.erase(0, end);
  if (!request.target.starts_with('/')) request.target.insert(0, "/");
  return {};
}

/// Reads "GET /path HTTP/1.1": exactly two spaces.
Result<RequestHead> parse_request_line(std::string_view line) {
  const std::size_t first = line.find(' ');
  const std::size_t last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) return refuse("the request line is broken");
  const std::string_view method = line.substr(0, first);
  const std::string_view target = line.substr(first + 1, last - first - 1);
  if (!is_token(method)) return refuse("the request's method is not a word");
  if (target.empty() || !std::all_of(target.begin(), target.end(), is_target_char)) {
    return refuse("the request's target has a character that must be escaped");
  }
  const Result<bool> is_http_1_0 = parse_is_http_1_0(line.substr(last + 1));
  if (!is_http_1_0) return fail(is_http_1_0.error());
  RequestHead head;
  head.request.method = method;
  head.request.target = target;
  head.is_http_1_0 = *is_http_1_0;
  return head;
}

Status check_host(const RequestHead& head) {
  const std::size_t hosts = head.request.headers.count("Host");
  if (hosts > 1) return refuse("Host is given twice");
  if (hosts == 0 && !head.is_http_1_0) return refuse("Host is missing");
  return {};
}

/// "HTTP/1.1 200 OK"; the phrase may be missing.
Result<int> parse_status_line(std::string_view line, bool& is_http_1_0) {
  const Result<bool> version = parse_is_http_1_0(line.substr(0, line.find(' ')));
  if (!version) return fail(version.error());
  is_http_1_0 = *version;
  static constexpr std::size_t kVersionSize = 9;  // "HTTP/1.1 "
  const std::string_view digits = line.substr(std::min(kVersionSize, line.size()), 3);
  int status = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), status);
  const bool is_number = parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size();
  const bool ends_well = line.size() <= kVersionSize + 3 || line[kVersionSize + 3] == ' ';
  if (digits.size() != 3 || !is_number || status < 100 || !ends_well) {
    return refuse("the status line is broken");
  }
  return status;
}

void append_fields(const Headers& headers, std::string& text) {
  for (const Header& field : headers.fields) {
    if (!is_token(field.name) || !is_value(field.value)) continue;
    text.append(field.name).append(": ").append(field.value).append(kCrlf);
  }
  text.append(kCrlf);
}

Result<ReplyHead> parse_reply(std::string_view head, std::string_view request_method) {
  const Result<std::string_view> line = take_line(head);
  if (!line) return fail(line.error());
  ReplyHead reply;
  bool is_http_1_0 = false;
  const Result<int> status = parse_status_line(*line, is_http_1_0);
  if (!status) return fail(status.error());
  reply.head.status = *status;
  Result<Headers> headers = parse_fields(head, kReplyFieldLimit);
  if (!headers) return fail(headers.error());
  reply.head.headers = std::move(*headers);
  const Result<Framing> framing =
      parse_framing(reply.head.headers, is_http_1_0, BodyKind::until_close);
  if (!framing) return fail(framing.error());
  reply.framing = is_bodyless(request_method, *status) ? Framing{} : *framing;
  return reply;
}

}  // namespace

Result<RequestHead> parse_request_head(std::string_view head, std::size_t field_limit) {
  const Result<std::string_view> line = take_line(head);
  if (!line) return fail(line.error());
  Result<RequestHead> parsed = parse_request_line(*line);
  if (!parsed) return parsed;
  Result<Headers> headers = parse_fields(head, field_limit);
  if (!headers) return fail(headers.error());
  parsed->request.headers = std::move(*headers);
  const Headers& fields = parsed->request.headers;
  const Result<Framing> framing = parse_framing(fields, parsed->is_http_1_0, BodyKind::none);
  if (!framing) return fail(framing.error());
  parsed->framing = *framing;
  const Status host = check_host(*parsed);
  if (!host) return fail(host.error());
  const Status origin = make_origin_form(parsed->request);
  if (!origin) return fail(origin.error());
  parsed->keep_alive = !parsed->is_http_1_0 && !has_token(fields, "Connection", "close");
  const std::optional<std::string_view> expected = fields.get("Expect");
  if (expected && !equal_ignoring_case(*expected, "100-continue")) {
    return refuse("the only Expect that is understood is 100-continue");
  }
  parsed->expects_continue = expected && !parsed->is_http_1_0;
  return parsed;
}

Result<ReplyHead> parse_reply_head(std::string_view head, std::string_view request_method) {
  Result<ReplyHead> reply = parse_reply(head, request_method);
  if (!reply) {
    return fail(ErrorCode::upstream, "the server's reply is not HTTP: " + reply.error().message);
  }
  return reply;
}

std::string request_head_text(const Request& request) {
  std::string text = request.method + " " + request.target + " HTTP/1.1\r\n";
  append_fields(request.headers, text);
  return text;
}

std::string response_head_text(const ResponseHead& head) {
  std::string text = "HTTP/1.1 " + std::to_string(head.status) + " ";
  text.append(reason_phrase(head.status)).append(kCrlf);
  append_fields(head.headers, text);
  return text;
}

bool is_bodyless(std::string_view request_method, int status) {
  return request_method == "HEAD" || status / 100 == 1 || status == 204 || status == 304;
}

}  // namespace berth::http
