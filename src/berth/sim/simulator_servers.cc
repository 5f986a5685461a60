// SPDX-License-Identifier: Apache-2.0
// Servers under virtual time: they come up, are freed, go down, end, and give their memory back.
#include <algorithm>
#include <utility>

#include "berth/sim/simulator.h"

namespace berth::sim {
namespace {

constexpr Duration kHostStopGrace = 2s;

}  // namespace

void Simulator::go_up(const core::MoveTo& action) {
  const Traits& traits = world_.traits[action.server.value];
  const Faults& faults = world_.faults;
  Due due{.kind = Kind::up_done,
          .server = action.server,
          .generation = action.generation,
          .effect = action.effect,
          .bad = chance(faults.restore_fails)};
  Process* freed = ground_.find(action.server, action.generation);
  if (freed == nullptr && chance(faults.start_refused)) {
    due.start = Start::refused;
    return push(traits.spawn, std::move(due));
  }
  if (freed == nullptr) {
    ground_.processes.push_back({.server = action.server, .generation = action.generation});
    freed = &ground_.processes.back();
  }
  load(*freed);
  Duration takes = traits.start;
  if (chance(faults.dies_starting)) {
    due.start = Start::died;
    takes = rng_.between(Duration{1ms}, traits.start);
  } else if (chance(faults.never_ready)) {
    due.start = Start::never;
    takes = action.deadline;
  }
  push(takes, std::move(due));
}

void Simulator::load(Process& process) {
  process.freed = false;
  process.bytes = world_.config.servers[process.server.value].footprint;
  for (core::PoolShare& share : process.bytes.shares)
    share.bytes =
        Bytes{share.bytes.count / 100 * world_.traits[process.server.value].real_per_cent};
}

void Simulator::go_down(const core::MoveTo& action) {
  const Traits& traits = world_.traits[action.server.value];
  const Faults& faults = world_.faults;
  Due due{.kind = Kind::down_done,
          .server = action.server,
          .generation = action.generation,
          .effect = action.effect,
          .frees = action.rung == core::Rung::freed};
  Process* process = ground_.find(action.server, action.generation);
  if (process == nullptr || !process->alive) {  // swept
    hit(Probe::swept);
    return push(5ms, std::move(due));
  }
  if (process->freed) hit(Probe::freed_then_stopped);
  if (!process->ready && !process->freed) {
    hit(Probe::start_given_up);
    return push(rng_.between(Duration{1ms}, Duration{50ms}), std::move(due));
  }
  Duration takes = traits.stop;
  if (process->deaf || chance(faults.unkillable)) {
    process->deaf = true;
    takes = action.deadline;
    push(takes + rng_.between(Duration{1s}, Duration{100s}),
         {.kind = Kind::dies, .server = action.server, .generation = action.generation});
  } else if (chance(faults.ignores_term)) {
    takes += kHostStopGrace;
  } else if (chance(faults.dies_stopping)) {
    takes = rng_.between(Duration{0}, takes);
  }
  push(takes, std::move(due));
}

void Simulator::came_up(const Due& due) {
  const bool heard = core_ && due.life == life_;
  Process* process = ground_.find(due.server, due.generation);
  const bool overtaken = heard && moves_[due.server.value] != due.effect;
  core::EffectResult result;
  if (overtaken) {
    result.error = Error{ErrorCode::superseded, "the start was given up"};
  } else if (due.start == Start::refused) {
    result.error = Error{ErrorCode::start_failed, "it cannot be executed"};
  } else if (process == nullptr || !process->alive || due.start == Start::died) {
    if (process != nullptr && process->alive) end_process(*process);
    const bool out_of_memory = chance(world_.faults.out_of_memory);
    result.error =
        Error{out_of_memory ? ErrorCode::out_of_memory : ErrorCode::start_failed, "exit code 1"};
  } else if (due.start == Start::never) {
    if (!heard) return;  // nobody is there to give it up
    end_process(*process);
    result.error = Error{ErrorCode::deadline, "it is not ready at the deadline"};
  } else {
    process->ready = !process->freed;  // an earlier Berth's start: it has been freed since then
    if (due.bad) result.state_restored = false;
    if (chance(world_.faults.dies_ready)) {
      // Drawn in statements: the order of arguments is the compiler's.
      const Duration in = rng_.between(Duration{10ms}, Duration{120s});
      const bool deaf = chance(world_.faults.unresponsive);
      push(in,
           {.kind = Kind::dies, .server = due.server, .generation = due.generation, .bad = deaf});
    }
  }
  if (heard) feed(core::EffectEnded{due.effect, result});
}

void Simulator::went_down(const Due& due) {
  const bool heard = core_ && due.life == life_;
  Process* process = ground_.find(due.server, due.generation);
  core::EffectResult result;
  if (due.frees && (process == nullptr || !process->alive)) {
    result.error = Error{ErrorCode::server_gone, "it ended before it was freed"};
  } else if (process != nullptr && process->alive) {
    if (process->deaf) {
      result.error = Error{ErrorCode::unkillable, "it does not die"};
    } else if (due.frees) {
      was_freed(*process);
    } else {
      if (world_.measures && process->ready) result.measured = process->bytes;
      end_process(*process);
    }
  } else if (process != nullptr) {  // a sweep ends what kept the memory
    give_back(*process, 5ms, Bytes{0});
  }
  if (heard) feed(core::EffectEnded{due.effect, result});
}

/// Its process lives on and gives its models back, at once or later, or it claims so and does not.
void Simulator::was_freed(Process& process) {
  hit(Probe::freed);
  process.freed = true;
  process.ready = false;
  ground_.note_end(process.server);
  ground_.freed_at[process.server.value] = ground_.now;
  const bool late = chance(world_.faults.memory_late);
  const Duration in = late ? rng_.between(Duration{10ms}, Duration{5s}) : Duration{0};
  if (!chance(world_.faults.memory_sticks)) give_back(process, in, Bytes{0});
  const Duration longest = late ? Duration{2s} : Duration{60s};
  const Duration stays = rng_.between(Duration{1ms}, longest);
  const bool dies = chance(world_.faults.dies_ready);
  if (dies || chance(world_.faults.reloads)) {
    push(stays, {.kind = dies ? Kind::dies : Kind::appears,
                 .server = process.server,
                 .generation = process.generation});
  }
}

/// A freed server loads its models: somebody else asked it, or it felt like it.
void Simulator::appears(const Due& due) {
  Process* process = ground_.find(due.server, due.generation);
  if (calm_ || process == nullptr || !process->alive || !process->freed) return;
  load(*process);
  push(rng_.between(Duration{0}, Duration{5ms}),
       {.kind = Kind::appear_told, .server = due.server, .generation = due.generation});
}

void Simulator::end_process(Process& process) {
  process.alive = process.ready = process.freed = false;
  ground_.note_end(process.server);
  for (const auto& [id, job] : ground_.jobs) {
    if (job.state != JobTruth::State::running || job.server != process.server ||
        job.generation != process.generation) {
      continue;
    }
    push(rng_.between(Duration{0}, Duration{3ms}),
         {.kind = Kind::work_done, .job = id, .how = core::JobEnd::failed});
  }
  if (chance(world_.faults.memory_sticks)) return;  // until it is swept
  const bool late = chance(world_.faults.memory_late);
  const Duration in = late ? rng_.between(Duration{10ms}, Duration{15s}) : Duration{0};
  if (chance(world_.faults.memory_partly)) {
    give_back(process, rng_.between(Duration{0}, Duration{1s}), 200_MiB);
    give_back(process, in + 1s, Bytes{0});
  } else {
    give_back(process, in, Bytes{0});
  }
}

/// After `in` the process holds at most `keep` in each pool.
void Simulator::give_back(const Process& process, Duration in, Bytes keep) {
  push(in, {.kind = Kind::memory_back,
            .server = process.server,
            .generation = process.generation,
            .bytes = keep});
}

}  // namespace berth::sim
