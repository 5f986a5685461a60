// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "berth/base/error.h"
#include "berth/http/async.h"
#include "berth/http/client.h"
#include "berth/http/message.h"
#include "berth/http/server.h"

namespace berth::http {

/// How far a relay may read ahead of its client. One spool may serve all relays of a server.
class Spool {
 public:
  /// Normal backpressure. Units: bytes of each relay.
  static constexpr std::size_t kLimitNormal = 256 << 10;
  /// While the server is being drained: a slow client must not delay the end of its reply.
  static constexpr std::size_t kLimitDraining = 8 << 20;

  std::size_t limit() const { return limit_; }
  /// Takes effect at once, also for relays that wait for room.
  void set_limit(std::size_t limit);
  /// Pulsed by set_limit().
  Event& changed() { return changed_; }

 private:
  std::size_t limit_ = kLimitNormal;
  Event changed_;
};

struct RelayOptions {
  /// Put into the reply's head, in place of fields with the same name; for example X-Berth-Job.
  Headers added_headers;
  /// Null: the relay has a spool of its own with the normal limit.
  Spool* spool = nullptr;
  /// Sees each piece of the body when it comes from upstream.
  std::function<void(std::string_view)> on_chunk;
  /// Called once, as soon as upstream was read to its end, failed or was closed, even if the client
  /// is slow; also if no head came.
  std::function<void()> on_upstream_done;
  /// When set, upstream is closed and the stream ends with what `cut_text` says then.
  Event* cut = nullptr;
  std::function<std::string()> cut_text;
  /// Makes the last text of a stream that was begun before the relay, when upstream then
  /// answers with an error status: gets the error's body, returns the protocol's error event.
  std::function<std::string(std::string)> late_error;
  /// What the client of a stream that was begun before the relay gets each time that
  /// `sign_of_life_every` has passed, until upstream's first byte.
  std::string sign_of_life;
  Duration sign_of_life_every{0};
};

enum class RelayOutcome : std::uint8_t { completed, client_gone, upstream_failed, cut };

struct RelayResult {
  RelayOutcome outcome = RelayOutcome::completed;
  /// Why upstream failed.
  Error error;
  /// The status of upstream's reply; 0 if no head came.
  int status = 0;
  /// Bytes of upstream's body that were written to the client.
  std::uint64_t bytes = 0;
  /// True if the client got any byte. If not, the caller may answer or try again.
  bool reply_started = false;
};

/// Copies the reply of `upstream` to `client`: a chunk in is a chunk out, a Content-Length is kept.
/// Hop-by-hop headers, Access-Control-* and Server are dropped.
///
/// If upstream's reply is truncated, so is the client's: it never sees a clean end. If the client
/// leaves, upstream is closed at once. A cut of a reply with Content-Length can only abort it.
/// A failure or a cut before upstream's head leaves the answer to the caller.
/// An exchange that was begun already (keep-alives were sent) keeps its head.
///
/// Ownership: everything in the arguments must live until the task ends. Upstream is closed then.
Task<RelayResult> relay(Call& upstream, Exchange& client, RelayOptions options);

}  // namespace berth::http
