// SPDX-License-Identifier: Apache-2.0
#include "berth/process/launch_spec.h"

#include <fmt/format.h>

#include <optional>

#include "berth/process/json_members.h"

namespace berth::process {
namespace {

boost::json::array to_array(const std::vector<std::string>& strings) {
  boost::json::array array;
  for (const std::string& string : strings)
    array.emplace_back(string);
  return array;
}

tl::unexpected<Error> missing(std::string_view member) {
  return fail(ErrorCode::bad_request,
              fmt::format("the launch spec's member \"{}\" is missing or of another type", member));
}

}  // namespace

std::string to_json(const LaunchSpec& spec) {
  boost::json::object object;
  object["argv"] = to_array(spec.argv);
  object["environment"] = to_array(spec.environment);
  object["working_directory"] = spec.working_directory;
  return boost::json::serialize(object);
}

Result<LaunchSpec> launch_spec_from_json(std::string_view json) {
  const std::optional<boost::json::object> object = parse_object(json);
  if (!object) return fail(ErrorCode::bad_request, "the launch spec is not a JSON object");
  const auto argv = strings_member(*object, "argv");
  if (!argv || argv->empty()) return missing("argv");
  const auto environment = strings_member(*object, "environment");
  if (!environment) return missing("environment");
  const auto working_directory = string_member(*object, "working_directory");
  if (!working_directory) return missing("working_directory");
  return LaunchSpec{
      .argv = *argv, .environment = *environment, .working_directory = *working_directory};
}

}  // namespace berth::process
