// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/result.h"

namespace berth::standin {

/// What the stand-in is told to do wrong, as a comma list:
///
///     fail_image            a picture ends in a 500 reply (a failed job)
///     hang_image            a picture never ends, and no other one begins
///     die_image             the process aborts in the middle of a picture
///     die_start             exit 1 at start, after printing a cause
///     die_start_silent      exit 1 at start without a word
///     never_ready           loads for ever, never listens
///     ignore_term           SIGTERM does nothing
///     slow_load=SECONDS     loading the weights takes that long
///     helper=SECONDS:BYTES  a helper process of the same session keeps BYTES of touched memory for
///                           SECONDS (or `forever`) after this process is gone, however it ended
///     once=PATH:FAULT       FAULT, only if the file PATH exists, which is removed: one time
class Faults {
 public:
  /// Errors: bad_request with the word that is not a fault.
  static Result<Faults> parse(std::string_view list);

  /// Returns whether the fault happens now; a fault armed by a file is used up by asking.
  bool strikes(std::string_view name) const { return value(name).has_value(); }

  /// Returns what stands behind the fault's `=` (or an empty text), or nothing if it does not
  /// happen.
  std::optional<std::string> value(std::string_view name) const;

 private:
  struct Fault {
    std::string name;
    std::string value;
    std::string armed_by;
  };

  static Result<Fault> parse_one(std::string_view word);

  std::vector<Fault> faults_;
};

}  // namespace berth::standin
