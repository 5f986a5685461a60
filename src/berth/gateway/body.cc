// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/body.h"

#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <boost/json.hpp>
#include <boost/json/basic_parser_impl.hpp>

namespace berth::gateway {
namespace {

namespace json = boost::json;
using Code = json::error_code;

/// Schemas of tools are deep; more than this is meant for the stack of a parser.
constexpr std::size_t kDepthMax = 64;
constexpr std::size_t kKeyShown = 40;

/// What the DOM of the library does not tell: it keeps the last of two keys, and an infinity.
class Handler {
 public:
  static constexpr std::size_t max_array_size = -1;
  static constexpr std::size_t max_object_size = -1;
  static constexpr std::size_t max_string_size = -1;
  static constexpr std::size_t max_key_size = -1;

  bool on_document_begin(Code&) { return true; }
  bool on_document_end(Code&) { return true; }
  bool on_array_begin(Code&) { return true; }
  bool on_array_end(std::size_t, Code&) { return true; }
  bool on_object_begin(Code&) {
    open_.emplace_back();
    return true;
  }
  bool on_object_end(std::size_t, Code&) {
    open_.pop_back();
    return true;
  }
  bool on_key_part(json::string_view text, std::size_t, Code&) {
    key_.append(text);
    return true;
  }
  bool on_key(json::string_view text, std::size_t, Code& broken) {
    key_.append(text);
    const bool is_new = open_.back().insert(key_).second;
    last_key_ = std::exchange(key_, {});
    return is_new || refuse("names {} twice in one object; name it once", broken);
  }
  bool on_double(double number, json::string_view, Code& broken) {
    const bool fits = std::isfinite(number);
    return fits ||
           refuse("has a number at {} that is larger than 1.8e308; send a smaller one", broken);
  }
  bool on_string_part(json::string_view, std::size_t, Code&) { return true; }
  bool on_string(json::string_view, std::size_t, Code&) { return true; }
  bool on_number_part(json::string_view, Code&) { return true; }
  bool on_int64(std::int64_t, json::string_view, Code&) { return true; }
  bool on_uint64(std::uint64_t, json::string_view, Code&) { return true; }
  bool on_bool(bool, Code&) { return true; }
  bool on_null(Code&) { return true; }
  bool on_comment_part(json::string_view, Code&) { return true; }
  bool on_comment(json::string_view, Code&) { return true; }

  /// Why it refused; "": the library did.
  [[nodiscard]] const std::string& refusal() const { return refusal_; }

 private:
  bool refuse(fmt::format_string<std::string> what, Code& broken) {
    // Told as JSON, and whole characters only: it becomes a part of a reply.
    const bool is_short = last_key_.size() <= kKeyShown;
    refusal_ = fmt::format(what, is_short ? json::serialize(json::string(last_key_))
                                          : fmt::format("a key of {} bytes", last_key_.size()));
    broken = json::error::exception;
    return false;
  }

  std::vector<std::set<std::string, std::less<>>> open_;  ///< keys of the objects around
  std::string key_;                                       ///< as far as it was read
  std::string last_key_;
  std::string refusal_;
};

json::parse_options options() {
  json::parse_options options;
  options.max_depth = kDepthMax;
  return options;
}

}  // namespace

Status check_body(std::string_view body) {
  json::basic_parser<Handler> parser(options());
  Code broken;
  const std::size_t read = parser.write_some(/*more=*/false, body.data(), body.size(), broken);
  if (!broken && read < body.size()) broken = json::error::extra_data;
  if (!broken && body[body.find_first_not_of(" \t\r\n")] != '{')
    return fail(ErrorCode::bad_request, "the body must be a JSON object");
  if (!broken) return {};
  const std::string& refusal = parser.handler().refusal();
  if (!refusal.empty()) return fail(ErrorCode::bad_request, "the body " + refusal);
  return fail(ErrorCode::bad_request,
              fmt::format("the body is not valid JSON ({}); send a JSON object", broken.message()));
}

Result<json::object> object_in(std::string_view body) {
  const Status is_good = check_body(body);
  if (!is_good) return fail(is_good.error());
  Code broken;
  json::value value = json::parse(body, broken, {}, options());
  return std::move(value.get_object());
}

}  // namespace berth::gateway
