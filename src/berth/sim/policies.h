// SPDX-License-Identifier: Apache-2.0
// One workload under one policy: Berth's own scheduler, or a small model of what others do.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "berth/sim/record.h"
#include "berth/sim/workload.h"

namespace berth::sim {

/// A run that needs more events than this is cut and says so.
inline constexpr std::int64_t kRunStepsMax = 50'000'000;

/// The rules of other programs, as models. They are no decisions of Berth, so none of core/ is in
/// them but the memory limit, which is the same for all. Not modelled: their polling, their races.
///
/// `fifo`: strict order of arrival; who waits for a swap holds up everybody behind it.
///   Source: llmux without min_active_secs, "docs/scheduling-problem.md" of its repository.
/// `affinity`: a resident server is served as long as it has work; the one that waits longest is
///   loaded when an idle one can be put out, the longest idle first.
///   Source: llama-swap (internal/router/scheduler/fifo.go) and the router of llama-server
///   (tools/server, --models-max), both of which evict only idle models.
/// `broker`: as soon as nothing is queued for a resident server its gate closes for one that waits,
///   what runs ends (no limit); chats go first; a server that is wanted on returns when all have
///   been idle for 120 s. Source: gpu-broker 0.5.0, line.py and scheduler.py (idle_restore_s).
enum class Peer : std::uint8_t { fifo, affinity, broker };

/// Returns what came of it with the real core::Scheduler; `policy` is "berth".
Summary run_berth(const Workload& workload);

/// Returns what came of it with a model.
Summary run_peer(const Workload& workload, Peer peer);

std::string_view name(Peer peer);
std::optional<Peer> peer_from_name(std::string_view name);

}  // namespace berth::sim
