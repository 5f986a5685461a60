// SPDX-License-Identifier: Apache-2.0
#include "berth/core/ledger.h"

#include <algorithm>
#include <utility>

#include "berth/base/assert.h"

namespace berth::core {
namespace {

bool contains(std::span<const ServerId> ids, ServerId id) {
  return std::find(ids.begin(), ids.end(), id) != ids.end();
}

bool is_going(const LedgerEntry& entry) {
  return entry.state == EntryState::releasing || entry.state == EntryState::stuck;
}

}  // namespace

LedgerEntry* Ledger::find(ServerId server, Generation generation) {
  for (LedgerEntry& entry : entries_) {
    if (entry.server == server && entry.generation == generation) return &entry;
  }
  return nullptr;
}

void Ledger::reserve(ServerId server, Generation generation, Footprint bytes, Instant now) {
  std::erase_if(entries_, [&](const LedgerEntry& entry) {
    const bool same = entry.server == server && entry.generation == generation;
    BERTH_ASSERT(!same || entry.keeps.has_value());
    return same;
  });
  entries_.push_back({server, generation, EntryState::reserved, std::move(bytes), now, {}});
}

void Ledger::hold(ServerId server, Generation generation, Instant now) {
  LedgerEntry* entry = find(server, generation);
  BERTH_ASSERT(entry != nullptr && entry->state == EntryState::reserved);
  entry->state = EntryState::held;
  entry->since = now;
}

void Ledger::release(ServerId server, Generation generation, Instant now,
                     std::optional<Footprint> keeps) {
  LedgerEntry* entry = find(server, generation);
  if (entry == nullptr) return;
  const bool less = entry->keeps.has_value() && !keeps;  // what was freed goes altogether
  entry->keeps = std::move(keeps);
  if (is_going(*entry) && !less) return;
  entry->state = EntryState::releasing;
  entry->since = now;
}

void Ledger::observe(std::span<const Holder> holders, Instant asked) {
  const auto concerns = [asked](const LedgerEntry& entry) {
    return is_going(entry) && entry.since <= asked;
  };
  for (LedgerEntry& entry : entries_) {
    if (!concerns(entry)) continue;
    for (PoolShare& share : entry.bytes.shares) {
      share.bytes = {};
      for (const Holder& holder : holders) {
        if (holder.server == entry.server && holder.generation == entry.generation) {
          share.bytes += holder.bytes.in(share.pool);
        }
      }
    }
  }
  for (LedgerEntry& entry : entries_) {
    const bool gave_back = concerns(entry) && entry.keeps &&
                           std::all_of(entry.bytes.shares.begin(), entry.bytes.shares.end(),
                                       [&](const PoolShare& share) {
                                         return share.bytes <= entry.keeps->in(share.pool);
                                       });
    if (!gave_back) continue;
    entry.state = EntryState::held;
    entry.bytes = *entry.keeps;
  }
  std::erase_if(entries_, [&](const LedgerEntry& entry) {
    return concerns(entry) && !entry.keeps &&
           std::all_of(entry.bytes.shares.begin(), entry.bytes.shares.end(),
                       [](const PoolShare& share) { return share.bytes.count == 0; });
  });
}

void Ledger::forget_releasing() {
  std::erase_if(entries_, [](const LedgerEntry& entry) {
    return entry.state == EntryState::releasing && !entry.keeps;
  });
}

std::vector<LedgerEntry> Ledger::mark_stuck(Instant now, Duration deadline) {
  std::vector<LedgerEntry> stuck;
  for (LedgerEntry& entry : entries_) {
    if (entry.state != EntryState::releasing || now - entry.since < deadline) continue;
    entry.state = EntryState::stuck;
    stuck.push_back(entry);
  }
  return stuck;
}

Bytes Ledger::promised(PoolId pool, std::span<const ServerId> leaving) const {
  Bytes sum;
  for (const LedgerEntry& entry : entries_) {
    const bool leaves = contains(leaving, entry.server) && entry.state != EntryState::stuck;
    if (!leaves) sum += entry.bytes.in(pool);
  }
  return sum;
}

Bytes Ledger::staying(PoolId pool, std::span<const ServerId> leaving) const {
  Bytes sum;
  for (const LedgerEntry& entry : entries_) {
    if (!is_going(entry) && !contains(leaving, entry.server)) sum += entry.bytes.in(pool);
  }
  return sum;
}

Bytes Ledger::not_taken(PoolId pool, std::span<const Holder> holders) const {
  Bytes sum;
  for (const LedgerEntry& entry : entries_) {
    if (is_going(entry)) continue;
    Bytes taken;
    for (const Holder& holder : holders) {
      if (holder.server == entry.server && holder.generation == entry.generation) {
        taken += holder.bytes.in(pool);
      }
    }
    sum += std::max(entry.bytes.in(pool)-taken, Bytes{0});
  }
  return sum;
}

Bytes Ledger::of(ServerId server, Generation generation, PoolId pool) const {
  Bytes sum;
  for (const LedgerEntry& entry : entries_) {
    if (entry.server == server && entry.generation == generation) sum += entry.bytes.in(pool);
  }
  return sum;
}

bool Ledger::any(EntryState state) const {
  return std::any_of(entries_.begin(), entries_.end(),
                     [&](const LedgerEntry& entry) { return entry.state == state; });
}

bool Ledger::leaving(ServerId server) const {
  return std::any_of(entries_.begin(), entries_.end(), [&](const LedgerEntry& entry) {
    return entry.server == server && is_going(entry);
  });
}

}  // namespace berth::core
