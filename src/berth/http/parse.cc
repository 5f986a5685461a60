// SPDX-License-Identifier: Apache-2.0
#include "berth/http/parse.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace berth::http {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;

constexpr std::string_view kCrlf = "\r\n";
/// The largest integer that every JSON and JavaScript peer holds exactly.
constexpr std::uint64_t kContentLengthMax = std::uint64_t{1} << 53;
/// What Beast is given at once, and so the largest piece of a body without chunks.
constexpr std::size_t kStepMax = 64 << 10;
/// A size line or trailer that Beast waits for; it has no limit of its own.
constexpr std::size_t kChunkFramingMax = 8 << 10;
constexpr std::size_t kChunkDigitsMax = 16;
/// Nobody needs them; without a limit they are a cheap way to keep us busy.
constexpr std::size_t kChunkExtensionsMax = 256;
/// The shortest rest of a chunked message, "0\r\n\r\n". Beast 1.81 asserts that it is given no less
/// once it has seen the 0.
constexpr std::size_t kChunkedRestMin = 5;

tl::unexpected<Error> refused(std::string message) {
  return fail(ErrorCode::bad_request, std::move(message));
}

bool has_folded_line(std::string_view head) {
  return head.find("\r\n ") != std::string_view::npos ||
         head.find("\r\n\t") != std::string_view::npos;
}

/// A field such as Content_Length is read as framing by some servers behind proxies.
Status check_no_disguised_framing(const Headers& headers) {
  for (const Header& field : headers.fields) {
    if (field.name.find('_') == std::string::npos) continue;
    std::string dashed = field.name;
    std::replace(dashed.begin(), dashed.end(), '_', '-');
    if (equal_ignoring_case(dashed, "Content-Length") ||
        equal_ignoring_case(dashed, "Transfer-Encoding")) {
      return refused("a header field \"" + field.name + "\" is not accepted");
    }
  }
  return {};
}

/// Beast also takes a list of equal lengths, and ignores encodings that it does not know.
Status check_framing(const Message& message) {
  const Headers& headers = message.headers;
  const auto length = headers.get("Content-Length");
  const auto encoding = headers.get("Transfer-Encoding");
  if (headers.count("Content-Length") + headers.count("Transfer-Encoding") > 1) {
    return refused("the length of the body is given twice");
  }
  if (encoding && message.is_http_1_0) return refused("HTTP/1.0 has no Transfer-Encoding");
  if (encoding && !equal_ignoring_case(*encoding, "chunked")) {
    return refused("the only Transfer-Encoding that is understood is chunked");
  }
  if (length && length->find_first_not_of("0123456789") != std::string_view::npos) {
    return refused("Content-Length is not a number of bytes");
  }
  return check_no_disguised_framing(headers);
}

/// "http://host:port/path" becomes "/path"; the host must be the one of the Host field.
Status make_origin_form(Message& request) {
  std::string& target = request.target;
  if (target.starts_with('/')) return {};
  if (target == "*" && request.method == "OPTIONS") return {};
  static constexpr std::string_view kScheme = "http://";
  if (!target.starts_with(kScheme)) return refused("the request's target has no path");
  const std::size_t end = std::min(target.find_first_of("/?", kScheme.size()), target.size());
  const std::string host = target.substr(kScheme.size(), end - kScheme.size());
  if (!equal_ignoring_case(host, request.headers.get("Host").value_or(""))) {
    return refused("the request's target and its Host differ");
  }
  target.erase(0, end);
  if (!target.starts_with('/')) target.insert(0, "/");
  return {};
}

Status check_request(Message& request) {
  const bool is_ascii = std::all_of(request.target.begin(), request.target.end(),
                                    [](char c) { return static_cast<unsigned char>(c) < 0x80; });
  if (!is_ascii) return refused("the request's target has a character that must be escaped");
  for (const std::string_view once : {"Host", "Content-Type"}) {
    if (request.headers.count(once) > 1) return refused(std::string(once) + " is given twice");
  }
  const bool is_addressed = request.headers.count("Host") == 1 || request.is_http_1_0;
  if (!is_addressed) return refused("Host is missing");
  if (!equal_ignoring_case(request.headers.get("Expect").value_or("100-continue"),
                           "100-continue")) {
    return refused("the only Expect that is understood is 100-continue");
  }
  return make_origin_form(request);
}

/// Trailers are skipped; these are sent only in the hope that somebody reads them.
Status check_trailer(std::string_view name) {
  for (const std::string_view banned :
       {"Content-Length", "Transfer-Encoding", "Host", "Authorization"}) {
    if (!equal_ignoring_case(name, banned)) continue;
    return refused("a trailer may not say " + std::string(banned));
  }
  return {};
}

/// Looks at what comes before a chunk's data. Beast would refuse the same, but later: after the
/// next size line, or for a size of 0 after the trailer.
Status check_size_line(std::string_view line) {
  if (line.starts_with(kCrlf)) line.remove_prefix(kCrlf.size());
  if (kCrlf.starts_with(line)) return {};
  const std::size_t digits = line.find_first_not_of("0123456789abcdefABCDEF");
  const bool ends_well =
      digits == std::string_view::npos || line[digits] == '\r' || line[digits] == ';';
  if (digits == 0 || !ends_well || std::min(digits, line.size()) > kChunkDigitsMax) {
    return refused("a chunk's size is not a number");
  }
  return {};
}

}  // namespace

std::string_view view(const Buffer& buffer) {
  const auto bytes = buffer.data();
  return {static_cast<const char*>(bytes.data()), bytes.size()};
}

void append(Buffer& buffer, std::string_view bytes) {
  buffer.commit(asio::buffer_copy(buffer.prepare(bytes.size()), asio::buffer(bytes)));
}

template <bool is_request>
Parser<is_request>::Parser(ParserLimits limits) : limits_(limits), head_left_(limits.head) {
  this->eager(false);
  this->body_limit(boost::none);
}

template <bool is_request>
bool Parser<is_request>::is_before_chunk() const {
  return this->is_header_done() && this->chunked() && chunk_left_ == 0;
}

template <bool is_request>
Result<bool> Parser<is_request>::advance(Buffer& in) {
  const std::string_view bytes = view(in).substr(0, kStepMax);
  if (bytes.empty()) return false;
  if (chunk_ends_) {
    if (!kCrlf.starts_with(bytes.substr(0, kCrlf.size()))) {
      return refused("a chunk is longer than its size");
    }
    chunk_ends_ = bytes.size() < kCrlf.size();
    return !chunk_ends_;
  }
  if (is_before_chunk()) {
    const Status plausible = check_size_line(bytes);
    if (!plausible) return fail(plausible.error());
    if (bytes.size() < kChunkedRestMin) return false;
  }
  const bool is_in_head = !this->is_header_done();
  this->header_limit(head_left_);
  Code failure;
  const std::size_t used = this->put(asio::buffer(bytes), failure);
  if (is_in_head) {
    if (has_folded_line(bytes.substr(0, used))) return refused("a header field is folded");
    // Beast counts anew in each step.
    head_left_ -= static_cast<std::uint32_t>(used);
  }
  in.consume(used);
  if (failure == beast::http::error::need_more) {
    if (!is_in_head && in.size() > kChunkFramingMax)
      return refused("a chunk's framing is too long");
    return false;
  }
  if (failure) return fail(error_of(failure));
  return true;
}

template <bool is_request>
Error Parser<is_request>::error_of(const Code& failure) const {
  if (refusal_) return *refusal_;
  if (failure == beast::http::error::header_limit) {
    return {ErrorCode::too_large,
            "the head is larger than " + std::to_string(limits_.head) + " bytes"};
  }
  const bool is_large = failure == beast::http::error::body_limit;
  return {is_large ? ErrorCode::too_large : ErrorCode::bad_request,
          "the message cannot be read: " + failure.message()};
}

template <bool is_request>
std::optional<std::string> Parser<is_request>::take_piece() {
  const bool is_complete = !this->chunked() || (chunk_left_ == 0 && !chunk_ends_);
  if (message_.body.empty() || !is_complete) return std::nullopt;
  return std::exchange(message_.body, {});
}

template <bool is_request>
void Parser<is_request>::refuse(const Status& why, Code& failure) {
  if (why) return;
  refusal_ = why.error();
  failure = beast::http::error::bad_value;
}

template <bool is_request>
void Parser<is_request>::on_request_impl(beast::http::verb, Text method, Text target, int version,
                                         Code& failure) {
  message_.method = method;
  message_.is_http_1_0 = version == 10;
  if (target.size() > limits_.target) {
    refuse(fail(ErrorCode::too_large,
                "the request's target is longer than " + std::to_string(limits_.target) + " bytes"),
           failure);
    return;
  }
  message_.target = target;
}

template <bool is_request>
void Parser<is_request>::on_response_impl(int status, Text, int version, Code&) {
  message_.status = status;
  message_.is_http_1_0 = version == 10;
}

template <bool is_request>
void Parser<is_request>::on_field_impl(beast::http::field, Text name, Text value, Code& failure) {
  if (this->is_header_done()) {
    refuse(check_trailer(name), failure);
    return;
  }
  if (message_.headers.fields.size() < limits_.fields) {
    message_.headers.add(name, value);
    return;
  }
  refuse(
      fail(ErrorCode::too_large, "more than " + std::to_string(limits_.fields) + " header fields"),
      failure);
}

template <bool is_request>
void Parser<is_request>::on_header_impl(Code& failure) {
  Status checked = check_framing(message_);
  if (checked && this->content_length().value_or(0) > kContentLengthMax) {
    checked = refused("Content-Length is not a number of bytes");
  }
  if (checked && is_request) checked = check_request(message_);
  if (checked && !is_request && message_.status < 100) checked = refused("the status is no number");
  refuse(checked, failure);
}

template <bool is_request>
std::size_t Parser<is_request>::on_body_impl(Text data, Code&) {
  message_.body.append(data);
  return data.size();
}

template <bool is_request>
void Parser<is_request>::on_chunk_header_impl(std::uint64_t size, Text extensions, Code& failure) {
  chunk_left_ = size;
  if (extensions.size() > kChunkExtensionsMax) {
    refuse(refused("a chunk's extensions are too long"), failure);
  }
  if (size > limits_.chunk) {
    refuse(fail(ErrorCode::too_large,
                "a chunk exceeds the limit of " + std::to_string(limits_.chunk) + " bytes"),
           failure);
  }
}

template <bool is_request>
std::size_t Parser<is_request>::on_chunk_body_impl(std::uint64_t remaining, Text data, Code&) {
  message_.body.append(data);
  chunk_left_ = remaining - data.size();
  chunk_ends_ = chunk_left_ == 0;
  return data.size();
}

template class Parser<true>;
template class Parser<false>;

namespace {

/// True if Beast can write the field so that it stays one field.
bool is_writable(const Header& field) {
  static constexpr std::size_t kSizeMax = 0xffff - 2;  // Of name and of value, in Beast's fields.
  const beast::http::token_list tokens(field.name);
  const bool is_name = tokens.begin() != tokens.end() && *tokens.begin() == field.name;
  const bool is_value = std::none_of(field.value.begin(), field.value.end(), [](char c) {
    return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f;
  });
  return is_name && is_value && field.name.size() <= kSizeMax && field.value.size() <= kSizeMax;
}

template <class Head>
std::string head_text(Head head, const Headers& headers) {
  head.version(11);
  for (const Header& field : headers.fields) {
    if (is_writable(field)) head.insert(field.name, field.value);
  }
  std::ostringstream text;
  text << head;
  return std::move(text).str();
}

}  // namespace

std::string request_head_text(const Request& request) {
  beast::http::request_header<> head;
  head.method_string(request.method);
  head.target(request.target);
  return head_text(std::move(head), request.headers);
}

std::string response_head_text(const ResponseHead& head) {
  beast::http::response_header<> written;
  written.result(static_cast<unsigned>(head.status));
  return head_text(std::move(written), head.headers);
}

}  // namespace berth::http
