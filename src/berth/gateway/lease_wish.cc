// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/lease_wish.h"

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <boost/json.hpp>

#include "berth/base/plain_text.h"
#include "berth/gateway/members.h"
#include "berth/gateway/models.h"
#include "berth/host/text.h"

namespace berth::gateway {
namespace {

namespace json = boost::json;

/// A lease that is forgotten gives its memory back. A hold has no default: what it stands for, a
/// night of pictures, has no usual length, and it ends with its connection all the same.
constexpr Duration kLeaseLimit{30min};
constexpr std::size_t kNameMax = 100;
constexpr std::int64_t kDeviceMax = 63;

tl::unexpected<Error> bad(std::string what) {
  return fail(ErrorCode::bad_request, std::move(what));
}

/// The members that leases and holds share: "max" and "name".
Status read_common(const json::object& object, host::JobRequest& out) {
  if (const json::value* max = object.if_contains("max")) {
    if (!max->is_string()) return bad("\"max\" must be a length of time in quotes, or \"none\"");
    const std::string_view text = max->get_string();
    const Result<Duration> limit = text == "none" ? Duration{0} : parse_duration(text);
    if (!limit) return bad(fmt::format("\"max\": {}", limit.error().message));
    const bool has_none = text == "none";
    if (!has_none && limit->count() == 0) return bad("\"max\" must be longer than 0");
    out.limit = has_none ? std::nullopt : std::optional<Duration>(*limit);
  }
  if (const json::value* name = object.if_contains("name")) {
    const bool fits =
        name->is_string() && !name->get_string().empty() && name->get_string().size() <= kNameMax;
    if (!fits || plain_text(name->get_string()) != name->get_string()) {
      return bad(
          fmt::format("\"name\" must be text of 1 to {} characters, none of which controls "
                      "a terminal",
                      kNameMax));
    }
    out.client = std::string(name->get_string());
  }
  return {};
}

Result<Bytes> amount(std::string_view member, const json::value& value) {
  Result<Bytes> bytes = fail(ErrorCode::bad_request, "it must be a number of bytes, or text");
  if (value.is_int64()) bytes = Bytes{value.get_int64()};
  if (value.is_string()) bytes = parse_bytes(std::string_view(value.get_string()));
  if (!bytes) return bad(fmt::format("\"{}\": {}", member, bytes.error().message));
  if (bytes->count <= 0) return bad(fmt::format("\"{}\" must be more than 0 bytes", member));
  return bytes;
}

/// Adds an amount of the pool of that name.
Status add_share(const config::Config& config, std::string_view member, std::string_view pool,
                 const json::value& value, core::Footprint& need) {
  std::vector<std::string> known;
  for (std::uint32_t i = 0; i < config.core.pools.size(); ++i) {
    known.push_back(fmt::format("\"{}\"", config.core.pools[i].name));
    if (config.core.pools[i].name != pool) continue;
    const Result<Bytes> bytes = amount(member, value);
    if (!bytes) return fail(bytes.error());
    if (need.in(PoolId{i}).count > 0) return bad(fmt::format("pool \"{}\" is named twice", pool));
    need.shares.push_back({PoolId{i}, *bytes});
    return {};
  }
  return fail(ErrorCode::not_found,
              fmt::format("there is no pool \"{}\"; known: {}", pool, fmt::join(known, ", ")));
}

/// Returns the pool of "vram". Errors: bad_request if "device" is no number of a device.
Result<std::string> vram_pool(const json::object& object) {
  const json::value* device = object.if_contains("device");
  if (device == nullptr) return std::string("gpu0.vram");
  const bool is_number = device->is_int64() && device->get_int64() >= 0;
  if (!is_number || device->get_int64() > kDeviceMax)
    return bad(fmt::format("\"device\" must be a number from 0 to {}", kDeviceMax));
  if (!object.contains("vram")) return bad("\"device\" says whose \"vram\", which is not there");
  return fmt::format("gpu{}.vram", device->get_int64());
}

Result<core::Footprint> need_in(const config::Config& config, const json::object& object) {
  core::Footprint need;
  Status added;
  if (const json::value* bytes = object.if_contains("bytes")) {
    if (!bytes->is_object()) return bad("\"bytes\" must be an object: {\"POOL\": amount}");
    for (const auto& member : bytes->get_object()) {
      if (added) added = add_share(config, "bytes", member.key(), member.value(), need);
    }
  }
  const Result<std::string> vram = vram_pool(object);
  if (!vram) return fail(vram.error());
  for (const auto& [member, pool] :
       {std::pair<const char*, std::string>{"vram", *vram}, {"ram", "ram"}}) {
    const json::value* value = object.if_contains(member);
    if (value != nullptr && added) added = add_share(config, member, pool, *value, need);
  }
  if (!added) return fail(added.error());
  if (need.shares.empty()) return bad("say how much: \"vram\", \"ram\", or \"bytes\" by pool");
  std::sort(need.shares.begin(), need.shares.end(),
            [](const auto& a, const auto& b) { return a.pool < b.pool; });
  return need;
}

Status read_class(const json::object& object, core::ServerClass& out) {
  const json::value* value = object.if_contains("class");
  if (value == nullptr) return {};
  const auto known = value->is_string()
                         ? host::from_name<core::ServerClass>(std::string_view(value->get_string()))
                         : std::nullopt;
  if (!known) return bad("\"class\" must be \"video\", \"image\", \"chat\" or \"batch\"");
  out = *known;
  return {};
}

Result<std::vector<ServerId>> servers_in(const config::Config& config, const json::object& object) {
  const json::value* names = object.if_contains("servers");
  if (names == nullptr || !names->is_array() || names->get_array().empty())
    return bad("\"servers\" must be a list of names of servers");
  std::vector<ServerId> servers;
  for (const json::value& name : names->get_array()) {
    if (!name.is_string()) return bad("\"servers\" must be a list of names of servers");
    const Result<ServerId> server = server_named(config, name.get_string());
    if (!server) return fail(server.error());
    if (std::find(servers.begin(), servers.end(), *server) != servers.end())
      return bad(fmt::format("server {} is named twice", json::serialize(name)));
    servers.push_back(*server);
  }
  return servers;
}

}  // namespace

Result<host::JobRequest> lease_wish(const config::Config& config, std::string_view body,
                                    std::string client) {
  const auto object = members_in(body, {"bytes", "vram", "device", "ram", "class", "max", "name"});
  if (!object) return fail(object.error());
  host::JobRequest wish{.kind = core::JobKind::lease,
                        .server = core::kNoServer,
                        .job_class = core::ServerClass::video,
                        .client = std::move(client)};
  wish.limit = kLeaseLimit;
  Result<core::Footprint> need = need_in(config, *object);
  if (!need) return fail(need.error());
  wish.need = std::move(*need);
  const Status has_class = read_class(*object, wish.job_class);
  if (!has_class) return fail(has_class.error());
  const Status common = read_common(*object, wish);
  if (!common) return fail(common.error());
  return wish;
}

Result<host::JobRequest> hold_wish(const config::Config& config, std::string_view body,
                                   std::string client) {
  const auto object = members_in(body, {"servers", "exclusive", "max", "name", "resume"});
  if (!object) return fail(object.error());
  host::JobRequest wish{.kind = core::JobKind::hold,
                        .job_class = core::ServerClass::video,
                        .client = std::move(client)};
  if (const json::value* resume = object->if_contains("resume")) {
    const bool alone = object->size() == 1 && resume->is_int64() && resume->get_int64() > 0;
    if (!alone) return bad("\"resume\" must be the number of a hold, and nothing beside it");
    wish.resumes = JobId{static_cast<std::uint64_t>(resume->get_int64())};
    return wish;
  }
  Result<std::vector<ServerId>> servers = servers_in(config, *object);
  if (!servers) return fail(servers.error());
  wish.servers = std::move(*servers);
  wish.server = wish.servers.front();
  if (const json::value* exclusive = object->if_contains("exclusive")) {
    if (!exclusive->is_bool()) return bad("\"exclusive\" must be true or false");
    wish.exclusive = exclusive->get_bool();
  }
  const Status common = read_common(*object, wish);
  if (!common) return fail(common.error());
  return wish;
}

}  // namespace berth::gateway
