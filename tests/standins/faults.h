// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/result.h"

namespace berth::standin {

/// What a stand-in is told to do wrong, as a comma list. Every stand-in knows these:
///
///     die_start             exit 1 at start, after printing a cause
///     die_start_silent      exit 1 at start without a word
///     never_ready           loads for ever
///     ignore_term           SIGTERM does nothing
///     slow_load=SECONDS     loading the weights takes that long
///     helper=SECONDS:BYTES  a helper process of the same session keeps BYTES of touched memory for
///                           SECONDS (or `forever`) after this process is gone, however it ended
///     once=PATH:FAULT       FAULT, only if the file PATH exists, which is removed: one time
///
/// sd-server's:
///
///     fail_image            a picture ends in a 500 reply (a failed job)
///     hang_image            a picture never ends, and no other one begins
///     die_image             the process aborts in the middle of a picture
///     out_of_memory         the process aborts as it loads for a picture, after the line that
///                           names the cause, as a build for GPUs does
///     no_memory             the same with the words of a build for CPUs
///
/// llama-server's; N counts the requests that were given a slot, from 1:
///
///     die_loading           exit 1 in the middle of the load, without a cause
///     out_of_memory         exit 1 at the end of the load, after the line that names the cause
///     slow_stop=SECONDS     SIGTERM takes that long
///     slow_prompt=SECONDS   evaluating any prompt takes that long; nothing can stop it meanwhile
///     die_request=N         the process aborts before the first byte of its N-th reply
///     die_reply=N           the process aborts after the first bytes of its N-th reply
///     killed_request=N      the process kills itself as the kernel does when memory runs out
///     fail_save             a slot cannot be saved, as when the disk is full
///     fail_restore          a slot cannot be restored
class Faults {
 public:
  /// `own` names what this stand-in knows beyond the common ones.
  /// Errors: bad_request with the word that is not a fault.
  static Result<Faults> parse(std::string_view list, std::span<const std::string_view> own);

  /// Returns whether the fault happens now; a fault armed by a file is used up by asking.
  bool strikes(std::string_view name) const { return value(name).has_value(); }

  /// Returns what stands behind the fault's `=` (or an empty text), or nothing if it does not
  /// happen.
  std::optional<std::string> value(std::string_view name) const;

  /// Returns whether the fault happens at the `n`-th time; only then it is used up.
  bool strikes_at(std::string_view name, int n) const;
  /// Returns the fault's seconds, 0 if it does not happen.
  double seconds(std::string_view name) const;

 private:
  struct Fault {
    std::string name;
    std::string value;
    std::string armed_by;
  };

  static Result<Fault> parse_one(std::string_view word, std::span<const std::string_view> own);
  static bool happens(const Fault& fault);

  std::vector<Fault> faults_;
};

}  // namespace berth::standin
