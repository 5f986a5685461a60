// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "berth/config/sections.h"

namespace berth::config {
namespace {

/// The only kind for now: the others need a driver to ask, and somebody who asks it.
constexpr auto kKinds = std::to_array<Name<core::PoolKind>>({{"capped", core::PoolKind::capped}});

void read_pool(const Entry& entry, Reading& reading) {
  if (!is_name(entry.key, "_-.")) {
    reading.problems.add(entry.at, fmt::format("\"{}\" cannot be the name of a pool; write 1 to {} "
                                               "of a-z, 0-9, \"_\", \"-\" and \".\"",
                                               entry.key, kNameMax));
  }
  core::PoolConfig pool;
  pool.name = entry.key;
  const auto* table = entry.node.as<Node::Table>();
  if (table == nullptr) {
    add_mismatch(entry, fmt::format("a section, [pool.{}]", entry.key), reading.problems);
  } else {
    read_section({fmt::format("[pool.{}]", entry.key), entry.at, *table},
                 {{"kind", named<core::PoolKind>(pool.kind, kKinds, ", the only kind so far"),
                   R"(kind = "capped")"},
                  {"capacity", bytes(pool.capacity, Bytes{1}), R"(capacity = "16GiB")"},
                  {"reserve", bytes(pool.reserve, Bytes{0})}},
                 reading.problems);
    if (pool.capacity.count > 0 && pool.reserve >= pool.capacity) {
      add_mismatch(*find(*table, "reserve"), "less than the capacity", reading.problems);
    }
  }
  reading.config.core.pools.push_back(pool);
}

}  // namespace

void read_pools(const Entry& pools, Reading& reading) {
  const auto* table = pools.node.as<Node::Table>();
  if (table == nullptr || table->empty()) {
    return add_mismatch(pools, "a section for every pool, for example [pool.ram]",
                        reading.problems);
  }
  for (const Entry& entry : *table)
    read_pool(entry, reading);
}

}  // namespace berth::config
