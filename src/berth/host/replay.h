// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>
#include <vector>

#include "berth/base/result.h"

namespace berth::host {

/// The first action that the journal and this Berth do not share. Texts are JSON objects.
struct ReplayDifference {
  std::size_t line = 0;        ///< of the action; of its event if the journal has no such action
  std::size_t event_line = 0;  ///< of the event that it answers
  std::string event;
  std::string expected;  ///< the action as it stands in the journal; "" = there is none
  std::string actual;    ///< what this Berth answers; "" = nothing
};

struct ReplayReport {
  std::size_t runs = 0;
  std::size_t events = 0;
  std::size_t actions = 0;  ///< that were compared
  std::size_t differences = 0;
  std::optional<ReplayDifference> first;
  std::vector<std::string> notes;  ///< what of the file was not compared, and why
};

/// Feeds the events of a journal to a new core and compares its actions with the recorded ones.
///
/// Each run of Berth in the file starts with a new core. Lines before the first start, a torn last
/// line of a run and runs in another format are noted, not compared; a run that was killed may end
/// within the actions of its last event.
///
/// Errors: bad_request with the number of a line that cannot be understood or does not follow the
///   one before; not_found if no run starts in the file.
Result<ReplayReport> replay(std::istream& journal);

}  // namespace berth::host
