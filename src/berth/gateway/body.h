// SPDX-License-Identifier: Apache-2.0
// The JSON that clients send: read here only, so that Berth and a server read the same.
#pragma once

#include <string_view>

#include <boost/json/object.hpp>

#include "berth/base/result.h"

namespace berth::gateway {

/// Looks at a body that is passed on. Errors: bad_request with what is wrong, if it is no JSON
/// object; if an object names a key twice, of which each reader takes another one; if a number is
/// larger than readers can hold.
Status check_body(std::string_view body);

/// Returns the object that the body is. Errors: as check_body().
Result<boost::json::object> object_in(std::string_view body);

}  // namespace berth::gateway
