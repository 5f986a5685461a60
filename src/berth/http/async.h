// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>

#include "berth/base/time.h"

namespace berth {

/// A coroutine of the shell. All of them run on the one IO strand of the process.
template <class T = void>
using Task = boost::asio::awaitable<T>;

/// Where coroutines run; made by the program's main().
using Executor = boost::asio::any_io_executor;

}  // namespace berth
