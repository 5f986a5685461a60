// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace berth {

/// Prints the broken invariant and aborts. On in every build.
[[noreturn]] void assertion_failed(const char* expression, const char* file, int line);

}  // namespace berth

/// A broken invariant is a bug, never an expected failure: the program stops at once.
#define BERTH_ASSERT(condition) \
  ((condition) ? static_cast<void>(0) : ::berth::assertion_failed(#condition, __FILE__, __LINE__))
