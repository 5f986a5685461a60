// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <initializer_list>
#include <string_view>

#include <boost/json/object.hpp>

#include "berth/base/result.h"

namespace berth::gateway {

/// Returns the object that the body is.
/// Errors: as object_in(); bad_request if it has other members than these.
Result<boost::json::object> members_in(std::string_view body,
                                       std::initializer_list<const char*> known);

}  // namespace berth::gateway
