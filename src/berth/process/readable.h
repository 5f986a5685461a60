// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <poll.h>

#include <boost/asio.hpp>

namespace berth::process {

/// Returns whether something can be read: data or an end; of a pidfd, that the process has ended.
inline bool is_readable(int descriptor) {
  pollfd wanted{descriptor, POLLIN, 0};
  return ::poll(&wanted, 1, 0) != 0;
}

/// Waits until the descriptor is readable, and looks. Asio's own wait can end for news of a
/// descriptor that was closed in the same turn of the loop, and whose place this one has got.
/// Ownership: the descriptor outlives the wait.
/// Errors: operation_aborted when it is closed meanwhile.
inline boost::asio::awaitable<boost::system::error_code> await_readable(
    boost::asio::posix::stream_descriptor& descriptor) {
  boost::system::error_code error;
  do {
    co_await descriptor.async_wait(boost::asio::posix::stream_descriptor::wait_read,
                                   boost::asio::redirect_error(boost::asio::use_awaitable, error));
    if (!error && !descriptor.is_open()) error = boost::asio::error::operation_aborted;
  } while (!error && !is_readable(descriptor.native_handle()));
  co_return error;
}

}  // namespace berth::process
