// SPDX-License-Identifier: Apache-2.0
// What a seed stands for: machine, servers, workload, and which faults this world has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "berth/core/types.h"

namespace berth::sim {

/// How one server behaves when nothing goes wrong.
struct Traits {
  Duration spawn{0};  ///< until it is noticed that it cannot even be executed
  Duration start{0};
  Duration stop{0};
  Duration work{0};                ///< the longest job
  std::int64_t real_per_cent = 0;  ///< what it really takes of its footprint
};

/// Occasions of a fault per thousand chances; 0: this world does not have it (swarm testing).
struct Faults {
  int start_refused = 0;
  int dies_starting = 0;
  int out_of_memory = 0;  ///< of those that die: for lack of memory
  int never_ready = 0;
  int dies_ready = 0;
  int unresponsive = 0;
  int dies_stopping = 0;
  int ignores_term = 0;
  int unkillable = 0;
  int memory_late = 0;
  int memory_sticks = 0;  ///< until what is left of the session is swept
  int memory_partly = 0;
  int foreign = 0;
  int commit_fails = 0;
  int restore_fails = 0;
  int sample_lost = 0;
  int sample_late = 0;
  int stale = 0;  ///< an event of a past generation or effect
  int client_leaves = 0;
  int user = 0;
  int host_crash = 0;
  int cancel_slow = 0;
  int reloads = 0;            ///< a freed server loads its models by itself
  int tool_calls = 0;         ///< not a fault, but just as hard on an order of events
  bool unattributed = false;  ///< what outlives its process is in use, but nobody's in the sample
};

/// Requests of one kind of client for one server, or leases, or holds.
struct Stream {
  enum class Pattern : std::uint8_t { steady, burst, overnight };
  ServerId server;
  core::ServerClass job_class = core::ServerClass::chat;
  Pattern pattern = Pattern::steady;
  Duration pause{0};      ///< between requests, or between bursts
  std::int64_t size = 1;  ///< requests of one burst
  core::JobKind kind = core::JobKind::request;
  core::Footprint need;           ///< of a lease
  std::vector<ServerId> servers;  ///< of a hold
  bool exclusive = false;
  Duration limit{0};
};

struct World {
  std::uint64_t seed = 0;
  core::Config config;
  std::vector<Traits> traits;
  std::vector<Stream> streams;
  Faults faults;
  bool measures = false;  ///< the host tells what a server held when it leaves
  std::int64_t events_max = 0;  ///< then the faults stop and everything must come to rest
};

/// Does everything go well in this world, so that the printed bound must hold?
bool has_bound(const World& world);

/// Expands a seed. The same seed is the same world with every compiler.
World make_world(std::uint64_t seed);

/// Expands a seed to a world in which nothing fails, one memory is short, and servers of all four
/// classes are asked: the bound must hold for each of them.
World make_crowd(std::uint64_t seed);

/// One line a fact, for the person who replays a seed.
std::string to_text(const World& world);

}  // namespace berth::sim
