// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/members.h"

#include <algorithm>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "berth/gateway/body.h"

namespace berth::gateway {

namespace json = boost::json;

Result<json::object> members_in(std::string_view body, std::initializer_list<const char*> known) {
  auto object = object_in(body);
  if (!object) return object;
  for (const auto& member : *object) {
    const bool is_known = std::any_of(known.begin(), known.end(), [&](const char* name) {
      return std::string_view(member.key()) == name;
    });
    if (is_known) continue;
    return fail(ErrorCode::bad_request,
                fmt::format("\"{}\" is no member of this request; known: {}",
                            std::string_view(member.key()), fmt::join(known, ", ")));
  }
  return object;
}

}  // namespace berth::gateway
