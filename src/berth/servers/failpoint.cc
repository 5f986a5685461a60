// SPDX-License-Identifier: Apache-2.0
#include "berth/servers/failpoint.h"

#ifdef BERTH_FAILPOINTS
#include <csignal>
#include <cstdlib>
#include <string>
#endif

namespace berth::servers {

#ifdef BERTH_FAILPOINTS

namespace {

struct Armed {
  std::string step;
  int hits_left = 0;
};

Armed armed_by_environment() {
  const char* text = std::getenv("BERTH_FAILPOINT");
  if (text == nullptr) return {};
  const std::string_view spec = text;
  const auto colon = spec.find(':');
  if (colon == std::string_view::npos) return {std::string(spec), 1};
  return {std::string(spec.substr(0, colon)), std::atoi(spec.data() + colon + 1)};
}

}  // namespace

void failpoint(std::string_view step) {
  static Armed armed = armed_by_environment();
  if (armed.step != step || armed.hits_left == 0) return;
  if (--armed.hits_left == 0) std::raise(SIGKILL);
}

#else

void failpoint(std::string_view) {}

#endif

}  // namespace berth::servers
