// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/footprints.h"

#include <algorithm>
#include <cctype>
#include <optional>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/gateway/errors.h"
#include "berth/gateway/models.h"
#include "berth/gateway/reads.h"

namespace berth::gateway {
namespace {

namespace json = boost::json;

/// A shape is a name in the database.
constexpr std::size_t kShapeMax = 24;

http::Response known(const Call& call) {
  json::array rows;
  for (const host::KnownFootprint& each : call.host().known_footprints()) {
    rows.push_back(json::object{{"server", each.server},
                                {"current", each.current},
                                {"pool", each.pool},
                                {"stage", each.stage},
                                {"shape", each.shape},
                                {"bytes", each.bytes.count}});
  }
  return json_reply(json::serialize(json::object{{"footprints", std::move(rows)}}));
}

std::optional<std::int64_t> whole(const json::object& object, std::string_view key) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr || !value->is_int64()) return std::nullopt;
  return value->get_int64();
}

}  // namespace

http::Response footprints_reply(const Call& call) {
  if (call.route().act == Act::footprints) return known(call);
  const std::optional<std::string> name = call.exchange.request().query("server");
  if (!name && call.exchange.request().target.find('?') != std::string::npos) {
    const Error error{ErrorCode::bad_request,
                      "the query has no \"server\"; write ?server=NAME, or no query to forget what "
                      "was learned of all"};
    return error_reply(ErrorForm::openai, error);
  }
  std::optional<ServerId> server;
  if (name) {
    const Result<ServerId> found = server_named(call.host().config(), *name);
    if (!found) return error_reply(ErrorForm::openai, found.error());
    server = *found;
  }
  call.host().forget_footprints(server);
  return known(call);
}

std::string picture_shape(std::string_view body) {
  boost::system::error_code broken;
  const json::value value = json::parse(body, broken);
  const json::object* object = broken ? nullptr : value.if_object();
  if (object == nullptr) return "";
  std::string shape;
  const json::value* size = object->if_contains("size");
  const auto width = whole(*object, "width");
  const auto height = whole(*object, "height");
  if (size != nullptr && size->is_string()) {
    shape = std::string(size->get_string());
  } else if (width && height) {
    shape = fmt::format("{}x{}", *width, *height);
  }
  const bool plain = std::all_of(shape.begin(), shape.end(),
                                 [](unsigned char c) { return std::isdigit(c) != 0 || c == 'x'; });
  if (!plain || shape.size() > kShapeMax) return "";
  const std::int64_t count = whole(*object, "n").value_or(whole(*object, "count").value_or(1));
  return count > 1 ? fmt::format("{}x{}", shape, count) : shape;
}

}  // namespace berth::gateway
