// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "berth/config/sections.h"

namespace berth::config {
namespace {

constexpr auto kKinds = std::to_array<Name<core::PoolKind>>({{"device", core::PoolKind::device},
                                                             {"host", core::PoolKind::host},
                                                             {"capped", core::PoolKind::capped}});
constexpr std::int64_t kDeviceMax = 63;

/// A GPU: its place in the driver's order, or its UUID.
Reader device(std::string& out) {
  auto fill = [&out](const Entry& entry, Problems& problems) {
    const auto* number = entry.node.as<std::int64_t>();
    const auto* text = entry.node.as<std::string>();
    if (number != nullptr && *number >= 0 && *number <= kDeviceMax) {
      out = std::to_string(*number);
    } else if (text != nullptr && text->starts_with("GPU-")) {
      out = *text;
    } else {
      add_mismatch(entry, "a number from 0 to 63, or the GPU's UUID as `nvidia-smi -L` shows it",
                   problems);
    }
  };
  return {std::move(fill), fmt::format("0 to {}, or a UUID", kDeviceMax), out};
}

/// The machine says how much there is of a `device` or `host` pool, and only a `device` is one.
void check_pool(const core::PoolConfig& pool, const Node::Table& table, Problems& problems) {
  const Entry* capacity = find(table, "capacity");
  const Entry* device = find(table, "device");
  const bool is_capped = pool.kind == core::PoolKind::capped;
  if (capacity != nullptr && !is_capped) {
    problems.add(capacity->at,
                 "capacity: how much there is of it is read from the machine; leave the key out, "
                 "or set reserve to keep a part free");
  }
  if (device != nullptr && pool.kind != core::PoolKind::device) {
    problems.add(device->at, "device: only a pool of kind \"device\" is a GPU; leave the key out");
  }
  if (is_capped && pool.capacity.count > 0 && pool.reserve >= pool.capacity) {
    add_mismatch(*find(table, "reserve"), "less than the capacity", problems);
  }
}

void read_pool(const Entry& entry, Reading& reading) {
  if (!is_name(entry.key, "_-.")) {
    reading.problems.add(entry.at, fmt::format("\"{}\" cannot be the name of a pool; write 1 to {} "
                                               "of a-z, 0-9, \"_\", \"-\" and \".\"",
                                               entry.key, kNameMax));
  }
  core::PoolConfig pool;
  pool.name = entry.key;
  PoolOptions options;
  const auto* table = entry.node.as<Node::Table>();
  if (table == nullptr) {
    add_mismatch(entry, fmt::format("a section, [pool.{}]", entry.key), reading.problems);
  } else {
    const Entry* kind = find(*table, "kind");
    const auto* name = kind == nullptr ? nullptr : kind->node.as<std::string>();
    const bool by_machine = name != nullptr && (*name == "device" || *name == "host");
    read_section({fmt::format("[pool.{}]", entry.key), entry.at, *table},
                 pool_keys(pool, options, by_machine), reading.problems);
    check_pool(pool, *table, reading.problems);
  }
  reading.config.core.pools.push_back(pool);
  reading.config.pools.push_back(options);
}

/// The machine has its memory once. Which GPU a number means is known only where it runs.
void check_host_pools(const Node::Table& table, Reading& reading) {
  const Entry* first = nullptr;
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (reading.config.core.pools[i].kind != core::PoolKind::host) continue;
    if (first != nullptr) {
      reading.problems.add(table[i].at,
                           fmt::format("{} and {} are both of kind \"host\", and the machine has "
                                       "its memory once; leave one of them out",
                                       first->key, table[i].key));
    }
    first = &table[i];
  }
}

}  // namespace

std::vector<Key> pool_keys(core::PoolConfig& pool, PoolOptions& options, bool by_machine) {
  return {
      {"kind", named<core::PoolKind>(pool.kind, kKinds), "where its numbers come from",
       R"(kind = "host")"},
      {"capacity", falling_back("", bytes(pool.capacity, Bytes{1})),
       "what Berth may plan with; must be there for kind `capped`. Of the other kinds it is read "
       "from the machine, and the key is refused",
       by_machine ? "" : R"(capacity = "16GiB")"},
      {"device", device(options.device),
       "of kind `device`: which GPU, by its place in the driver's order or as `nvidia-smi -L` "
       "names it"},
      {"reserve", bytes(pool.reserve, Bytes{0}),
       "added to the need in every admission; less than the capacity"},
  };
}

void read_pools(const Entry& pools, Reading& reading) {
  const auto* table = pools.node.as<Node::Table>();
  if (table == nullptr || table->empty()) {
    return add_mismatch(pools, "a section for every pool, for example [pool.ram]",
                        reading.problems);
  }
  for (const Entry& entry : *table)
    read_pool(entry, reading);
  check_host_pools(*table, reading);
}

}  // namespace berth::config
