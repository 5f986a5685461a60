// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "berth/core/actions.h"
#include "berth/core/types.h"

namespace berth::core {

/// One pool in one admission. Units: bytes.
struct AdmissionInput {
  Bytes need;    ///< of the newcomer
  Bytes others;  ///< what stays beside it
  Bytes reserve;
  Bytes capacity;
  Bytes foreign;
};

/// The one admission formula: does the newcomer fit?
///
///     others + need + reserve <= limit x (capacity - foreign)
///
/// Compared as exact rationals in 128 bits, so "equal" is direct and one byte more is not.
/// Source: seeds/resource-orchestration.md, "Offload decision"; design section 5.
bool fits(const AdmissionInput& in, const Policy& policy);

/// Returns the policy with the limit of this pool, if it has its own.
Policy policy_in(const PoolConfig& pool, Policy policy);

/// Returns whether the newcomer alone exceeds the limit of the empty machine.
bool is_oversize(Bytes need, const PoolConfig& pool, const Policy& policy);

/// Returns floor(limit x (capacity - foreign)), for reports only; `fits` compares exactly.
Bytes limit_of(Bytes capacity, Bytes foreign, const Policy& policy);

/// Returns the smallest capacity at which `fits` says yes to `need` and nothing beside it.
Bytes smallest_capacity(Bytes need, Bytes foreign, Bytes reserve, const Policy& policy);

/// Returns the free memory the release barrier waits for in one pool:
/// min(need, capacity - foreign - what stays - 64 MiB), never below zero.
Bytes barrier_target(const AdmissionInput& in);

}  // namespace berth::core
