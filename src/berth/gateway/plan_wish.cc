// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/plan_wish.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <boost/json.hpp>

#include "berth/gateway/members.h"

namespace berth::gateway {
namespace {

namespace json = boost::json;

/// Adds the texts of the member to `out`, if it is there.
Status read_texts(const json::object& object, std::string_view name,
                  std::vector<std::string>& out) {
  const json::value* member = object.if_contains(name);
  if (member == nullptr) return {};
  const auto add = [&](const json::value& value) {
    if (value.is_string()) out.emplace_back(value.get_string());
    return value.is_string();
  };
  bool is_text = !member->is_array() && add(*member);
  if (member->is_array()) {
    is_text = std::all_of(member->get_array().begin(), member->get_array().end(), add);
  }
  if (is_text) return {};
  return fail(ErrorCode::bad_request,
              fmt::format("\"{}\" must be text, or a list of texts, as `berth plan --{}` takes it",
                          name, name));
}

}  // namespace

Result<plan::Options> plan_wish(std::string_view body) {
  const auto object = members_in(body, {"vram", "ram", "foreign", "llm", "diffusion", "component"});
  if (!object) return fail(object.error());
  plan::Options options;
  std::vector<std::string> ram;
  for (const auto& [name, out] :
       {std::pair("vram", &options.vram), std::pair("ram", &ram),
        std::pair("foreign", &options.foreign), std::pair("llm", &options.llms),
        std::pair("diffusion", &options.diffusions), std::pair("component", &options.components)}) {
    const Status read = read_texts(*object, name, *out);
    if (!read) return fail(read.error());
  }
  if (ram.size() > 1) return fail(ErrorCode::bad_request, "\"ram\" is one amount; write one");
  if (!ram.empty()) options.ram = ram.front();
  return options;
}

}  // namespace berth::gateway
