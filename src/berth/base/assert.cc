// SPDX-License-Identifier: Apache-2.0
#include "berth/base/assert.h"

#include <cstdio>
#include <cstdlib>

namespace berth {

void assertion_failed(const char* expression, const char* file, int line) {
  std::fprintf(stderr, "berth: invariant broken: %s (%s:%d)\n", expression, file, line);
  std::abort();
}

}  // namespace berth
