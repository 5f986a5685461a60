// SPDX-License-Identifier: Apache-2.0
// The keepers' directories: `<root>/<server name>/<generation>/`.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "berth/base/ids.h"
#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/process/exit_status.h"
#include "berth/process/identity.h"
#include "berth/process/unique_fd.h"

namespace berth::process {

/// What recovery finds in one directory.
struct FoundDirectory {
  std::string server;
  Generation generation;
  std::string directory;
  std::optional<Identity> identity;  ///< nothing: the server was never executed, or not yet
  bool alive = false;                ///< a process with exactly this identity runs: adopt() it
  std::optional<Error> unreadable;   ///< why `identity` is not known although it is recorded
  bool keeper_alive = false;         ///< with no identity and no exit: a start is under way
  std::optional<ExitStatus> exit;
  int session_members = 0;  ///< live processes of the session, the main one included

  bool operator==(const FoundDirectory&) const = default;

  /// Returns whether something runs there that cannot be named, so nobody may signal it.
  [[nodiscard]] bool is_mystery() const { return keeper_alive && unreadable.has_value(); }
};

/// Lists all directories below `servers_root`, by server name, then oldest generation first.
/// A root that does not exist is empty. Other files are ignored.
/// Errors: io.
Result<std::vector<FoundDirectory>> scan(const std::string& servers_root);

/// Signals every live process of the session that was recorded in `directory`: what is left when
/// the main process has ended and cannot be adopted. Nobody left is a success.
/// Errors: not_found without a pid record; forbidden, naming the pid; io.
Status signal_session(const std::string& directory, int signal_number);

/// Tells the keeper of a server that is to be gone to kill what is left of it, and waits for the
/// keeper's end, which says that nothing is left. A keeper that does not answer within `limit`
/// although its session is empty (somebody stopped it) is killed.
/// Returns whether the keeper is gone; false: a process of its server does not die.
boost::asio::awaitable<bool> end_keeper(Identity identity, Duration limit);

/// Waits until the process of this pidfd has ended, for `limit` at most. Returns whether it has; an
/// empty pidfd is that of a process that ended before.
boost::asio::awaitable<bool> await_end(UniqueFd pidfd, Duration limit);

/// Removes all but the newest `keep_last` directories of one server. A directory with a live keeper
/// or session stays, however old.
/// Errors: io, naming the first directory that could not be removed.
Status remove_old_directories(const std::string& servers_root, std::string_view server,
                              int keep_last = 10);

/// Returns the last `lines` lines of a directory's log, oldest first; at most what
/// the last MiB of each file holds.
std::vector<std::string> log_tail(const std::string& directory, int lines);

}  // namespace berth::process
