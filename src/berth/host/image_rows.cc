// SPDX-License-Identifier: Apache-2.0
// Image jobs as rows of the store.
#include <array>
#include <chrono>
#include <sstream>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <boost/json.hpp>

#include "berth/base/assert.h"
#include "berth/host/image_entry.h"

namespace berth::host {
namespace {

namespace json = boost::json;

constexpr auto kStatuses = std::to_array<ImageStatus>(
    {ImageStatus::pending, ImageStatus::in_progress, ImageStatus::complete, ImageStatus::error,
     ImageStatus::cancelled, ImageStatus::interrupted, ImageStatus::expired});

std::string pictures_json(const std::vector<KeptPicture>& pictures) {
  json::array list;
  for (const KeptPicture& each : pictures) {
    list.push_back(json::object{{"file", each.file},
                                {"bytes", each.bytes},
                                {"seed", each.seed},
                                {"width", each.width},
                                {"height", each.height}});
  }
  return json::serialize(list);
}

/// Throws what Boost.JSON throws where the text is not what pictures_json() writes.
std::vector<KeptPicture> pictures_in(const std::string& text) {
  std::vector<KeptPicture> pictures;
  const json::value list = json::parse(text);
  for (const json::value& each : list.as_array()) {
    const json::object& object = each.as_object();
    pictures.push_back({.file = std::string(object.at("file").as_string()),
                        .bytes = object.at("bytes").as_int64(),
                        .seed = object.at("seed").as_int64(),
                        .width = static_cast<std::int32_t>(object.at("width").as_int64()),
                        .height = static_cast<std::int32_t>(object.at("height").as_int64())});
  }
  return pictures;
}

std::optional<ErrorCode> code_named(std::string_view text) {
#define BERTH_ERROR(code, number, http, exit, sentence) \
  if (text == #code) return ErrorCode::code;
#include "berth/base/error_codes.def"
#undef BERTH_ERROR
  return std::nullopt;
}

}  // namespace

std::string_view name(ImageStatus status) {
  switch (status) {
    case ImageStatus::pending:
      return "pending";
    case ImageStatus::in_progress:
      return "in_progress";
    case ImageStatus::complete:
      return "complete";
    case ImageStatus::error:
      return "error";
    case ImageStatus::cancelled:
      return "cancelled";
    case ImageStatus::interrupted:
      return "interrupted";
    case ImageStatus::expired:
      return "expired";
  }
  BERTH_ASSERT(false);
}

bool is_over(ImageStatus status) {
  return status != ImageStatus::pending && status != ImageStatus::in_progress;
}

WallTime wall_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return WallTime{std::chrono::floor<std::chrono::milliseconds>(now).count()};
}

store::ImageJobRow to_row(const ImageJob& job, const std::vector<std::string>& at_server,
                          Generation generation) {
  return {.id = job.id,
          .server = job.server,
          .status = std::string(name(job.status)),
          .created_unix_ms = job.created.unix_ms,
          .updated_unix_ms = job.updated.unix_ms,
          .generation = generation.value,
          .at_server = fmt::format("{}", fmt::join(at_server, " ")),
          .seed = job.seed,
          .count = job.count,
          .pictures = pictures_json(job.pictures),
          .time_taken_ms = milliseconds(job.time_taken),
          .error_code = job.error ? std::string(berth::name(job.error->code)) : "",
          .error_message = job.error ? job.error->message : ""};
}

Status read_row(const store::ImageJobRow& row, ImageJob& job, std::vector<std::string>& at_server) {
  job.id = row.id;
  job.server = row.server;
  job.created = {row.created_unix_ms};
  job.updated = {row.updated_unix_ms};
  job.seed = row.seed;
  job.count = static_cast<std::int32_t>(row.count);
  job.time_taken = std::chrono::milliseconds(row.time_taken_ms);
  std::istringstream ids(row.at_server);
  for (std::string id; ids >> id;)
    at_server.push_back(id);
  bool is_known = false;
  for (const ImageStatus status : kStatuses) {
    if (name(status) != row.status) continue;
    job.status = status;
    is_known = true;
  }
  if (!row.error_code.empty()) {
    job.error = Error{code_named(row.error_code).value_or(ErrorCode::internal), row.error_message};
  }
  try {
    job.pictures = pictures_in(row.pictures);
  } catch (const std::exception&) {
    is_known = false;
  }
  if (is_known) return {};
  return fail(ErrorCode::io, fmt::format("the row of image job {} cannot be read", row.id));
}

}  // namespace berth::host
