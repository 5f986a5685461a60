// SPDX-License-Identifier: Apache-2.0
#include "berth/core/admission.h"

#include <algorithm>
#include <limits>

namespace berth::core {
namespace {

__extension__ using Wide = __int128;

/// Drivers, page tables and rounding keep a little for themselves (design section 5).
constexpr Bytes kBarrierSlack = 64_MiB;

}  // namespace

bool fits(const AdmissionInput& in, const Policy& policy) {
  const Wide sum = Wide{in.others.count} + in.need.count + in.reserve.count;
  const Wide available = Wide{in.capacity.count} - in.foreign.count;
  return sum * policy.limit_denominator <= available * policy.limit_numerator;
}

Policy policy_in(const PoolConfig& pool, Policy policy) {
  if (pool.limit) {
    policy.limit_numerator = pool.limit->numerator;
    policy.limit_denominator = pool.limit->denominator;
  }
  return policy;
}

bool is_oversize(Bytes need, const PoolConfig& pool, const Policy& policy) {
  return !fits({.need = need,
                .others = {},
                .reserve = pool.reserve,
                .capacity = pool.capacity,
                .foreign = {}},
               policy_in(pool, policy));
}

Bytes limit_of(Bytes capacity, Bytes foreign, const Policy& policy) {
  const Wide available = std::max<Wide>(Wide{capacity.count} - foreign.count, 0);
  return {static_cast<std::int64_t>(available * policy.limit_numerator / policy.limit_denominator)};
}

Bytes smallest_capacity(Bytes need, Bytes foreign, Bytes reserve, const Policy& policy) {
  const Wide sum = Wide{need.count} + reserve.count;
  const Wide available =
      (sum * policy.limit_denominator + policy.limit_numerator - 1) / policy.limit_numerator;
  constexpr Wide kMost = std::numeric_limits<std::int64_t>::max();
  return {static_cast<std::int64_t>(std::min(available + foreign.count, kMost))};
}

Bytes barrier_target(const AdmissionInput& in) {
  const Bytes room = in.capacity - in.foreign - in.others - kBarrierSlack;
  return std::max(std::min(in.need, room), Bytes{0});
}

}  // namespace berth::core
