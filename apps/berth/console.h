// SPDX-License-Identifier: Apache-2.0
// What every command shares: its common options, where Berth is, and how it speaks to its user.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "berth/base/result.h"
#include "berth/base/time.h"
#include "berth/client/client.h"
#include "berth/http/async.h"

namespace berth::cli {

struct Common {
  std::optional<std::string> config;  ///< --config
  bool json = false;                  ///< --json
};

/// Returns the configuration to read: --config, ./berth.toml, ~/.config/berth/berth.toml.
/// Errors: not_found with both names.
Result<std::string> find_config(const Common& common);

/// Returns the state directory without asking for a whole configuration: BERTH_STATE, what the
/// configuration says if there is one, or the default.
Result<std::string> find_state_dir(const Common& common);

/// Says the error on standard error as one sentence, and with --json as an envelope on standard
/// output. Returns the exit status of its code.
int report(const Error& error, bool json);

bool is_terminal(int descriptor);

enum class Colour { none, green, yellow, red, grey };

/// Returns the text in colour if standard output is a terminal and NO_COLOR is not set.
std::string painted(std::string_view text, Colour colour);

/// Returns text of servers and clients for a terminal: what would move the cursor, hide text or
/// turn its direction (C0 but tab and line end, DEL, C1, bidi) is written as \xHH or \uHHHH.
std::string printable(std::string_view text);

/// As printable(), but of text that stands within a line: its line ends and tabs are written too.
std::string printable_line(std::string_view text);

/// Takes the places of standard input, output and error where they are closed, so that no socket
/// gets their numbers. What is said there still fails.
void keep_standard_descriptors();

/// Writes to standard output at once. Returns false if that is impossible, now or before: nothing
/// more is written then, and the command should end.
bool say(std::string_view text);

/// Returns whether everything that was said could be written.
bool is_all_said();

/// As say(), for a Berth that serves whether its lines are read or not.
void mention(std::string_view text);

/// Returns the exit status of a command, which fails also if not all that it said could be written.
/// The reason is told on standard error, but not if only the reader went away.
int with_output(int status);

/// Returns the local time of day: "14:03:59.120".
std::string time_of_day(WallTime at);

/// Says who asks, `berth COMMAND` with its pid, and in which hold it was started (BERTH_HOLD).
void identify(http::Request& request, std::string_view command);

/// A conversation of a command with Berth: returns the exit status.
using Conversation = std::function<Task<int>(client::Client*)>;

/// Finds Berth's state directory and runs the conversation to its end.
int converse(const Common& common, const Conversation& conversation);

}  // namespace berth::cli
