// SPDX-License-Identifier: Apache-2.0
// Events and actions as JSON: what the journal writes and replay reads. Private; Boost.JSON inside.
#pragma once

#include <cstdint>

#include <boost/json.hpp>

#include "berth/base/result.h"
#include "berth/core/actions.h"
#include "berth/core/events.h"

namespace berth::host {

/// Counts the changes of how events and actions stand in the journal; in the first event of a run.
inline constexpr std::int64_t kJournalFormat = 4;

/// Returns everything that the event or action says: "name" and its members. Servers and pools
/// stand by name, times and lengths in nanoseconds. Equal values give equal objects, different
/// values different ones.
boost::json::object to_json(const core::Event& event, const core::Config& config);
boost::json::object to_json(const core::Action& action, const core::Config& config);

/// Returns the event that to_json() was given. Other members are ignored.
/// Errors: bad_request with the member that is missing or wrong.
Result<core::Event> event_from_json(const boost::json::object& object, const core::Config& config);

}  // namespace berth::host
