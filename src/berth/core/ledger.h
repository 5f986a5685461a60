// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "berth/core/types.h"

namespace berth::core {

/// `reserved`: it loads. `held`: it serves. `releasing`: it was told to go, its memory is not seen
/// free yet. `stuck`: the release deadline passed.
enum class EntryState : std::uint8_t { reserved, held, releasing, stuck };

struct LedgerEntry {
  ServerId server;
  Generation generation;
  EntryState state = EntryState::reserved;
  Footprint bytes;
  Instant since;
  std::optional<Footprint> keeps;  ///< of one that is freed: it stays with this much

  bool operator==(const LedgerEntry&) const = default;
};

/// What is promised and to whom. An entry leaves only when its memory was seen free.
class Ledger {
 public:
  /// The generation will load. What it kept while it was freed is part of `bytes`.
  void reserve(ServerId server, Generation generation, Footprint bytes, Instant now);
  /// The generation is resident.
  void hold(ServerId server, Generation generation, Instant now);
  /// The generation was told to go, or went by itself; or it was freed and stays with `keeps`.
  void release(ServerId server, Generation generation, Instant now,
               std::optional<Footprint> keeps = std::nullopt);

  /// Takes over what a sample, asked for at `asked`, says of the entries that were told to go by
  /// then: gone, or this much left.
  void observe(std::span<const Holder> holders, Instant asked);
  /// What is being given back in time is gone; for a look ahead.
  void forget_releasing();
  /// Marks what has been releasing for longer than `deadline`; returns the newly stuck entries.
  std::vector<LedgerEntry> mark_stuck(Instant now, Duration deadline);

  /// Bytes on the books of `pool`, without the entries of `leaving`; what is stuck stays: nobody
  /// knows when it goes.
  [[nodiscard]] Bytes promised(PoolId pool, std::span<const ServerId> leaving = {}) const;
  /// Bytes of entries that are reserved or held, without those of `leaving`.
  [[nodiscard]] Bytes staying(PoolId pool, std::span<const ServerId> leaving = {}) const;
  /// Bytes of `pool` that entries were promised and have not taken in the sample of `holders` yet.
  [[nodiscard]] Bytes not_taken(PoolId pool, std::span<const Holder> holders) const;
  /// Bytes of `pool` on the books for one generation.
  [[nodiscard]] Bytes of(ServerId server, Generation generation, PoolId pool) const;
  [[nodiscard]] bool any(EntryState state) const;
  [[nodiscard]] bool leaving(ServerId server) const;
  [[nodiscard]] const std::vector<LedgerEntry>& entries() const { return entries_; }

 private:
  LedgerEntry* find(ServerId server, Generation generation);

  std::vector<LedgerEntry> entries_;
};

}  // namespace berth::core
