// SPDX-License-Identifier: Apache-2.0
#include "berth/host/text.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <fmt/format.h>

namespace berth::host {
namespace {

std::string quoted(const core::Config& config, ServerId id) {
  if (id.value >= config.servers.size()) return std::string(kPlaceName);
  return fmt::format("\"{}\"", config.servers[id.value].name);
}

std::string names(const core::Config& config, const std::vector<ServerId>& ids) {
  std::string text;
  for (const ServerId id : ids) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", quoted(config, id));
  }
  return text;
}

/// "500 MiB + 300 MiB on the books = 800 MiB of at most 750 MiB in pool "ram"".
std::string sum(const core::Announce& decision, const core::Config& config) {
  if (!decision.numbers) return "no memory is counted for it";
  const core::Admission& n = *decision.numbers;
  return fmt::format("{} + {} on the books = {} of at most {} in pool \"{}\" ({} in all)",
                     to_text(n.need), to_text(n.others), to_text(n.need + n.others),
                     to_text(n.limit), config.pools.at(n.pool.value).name, to_text(n.capacity));
}

std::string free_now(const core::Announce& decision) {
  if (!decision.numbers) return "no memory is counted for it";
  return fmt::format("{} free, {} needed", to_text(decision.numbers->free),
                     to_text(decision.numbers->need));
}

std::string error_text(const core::Announce& decision) {
  return decision.error ? decision.error->message : "no reason is known";
}

/// ", but its saved state did not come back", or nothing.
std::string but(const core::Announce& decision) {
  return decision.error ? ", but " + decision.error->message : "";
}

/// Where nothing but the server is to be named.
std::string plain_sentence(core::Reason reason, const std::string& server) {
  static constexpr std::pair<core::Reason, std::string_view> kSentences[] = {
      {core::Reason::claim_fell, "nobody waits for {} any more, everything stays as it is"},
      {core::Reason::drain_limit, "drain_limit is reached: a reply of {} is cut"},
      {core::Reason::ready, "{} is ready"},
      {core::Reason::stopped_by_user, "the user stopped {}"},
      {core::Reason::started_by_user, "the user started {}"},
      {core::Reason::saved_state_cleared,
       "{} will not be brought back unasked from its next (or this) displacement"},
      {core::Reason::recovered_adopted, "{} was found alive and is taken over"},
      {core::Reason::recovered_never_stopped,
       "{} was recorded as displaced but never stopped; it serves on"},
      {core::Reason::recovered_stopping,
       "{} was found alive but is not wanted or does not answer; it is stopped"},
      {core::Reason::appeared, "{} has loaded its models by itself"},
      {core::Reason::put_out_again,
       "{} came up by itself beyond the limit; it is freed again, being idle"},
  };
  const auto* found = std::find_if(std::begin(kSentences), std::end(kSentences),
                                   [reason](const auto& each) { return each.first == reason; });
  if (found == std::end(kSentences)) return "";
  return fmt::format(fmt::runtime(found->second), server);
}

/// In the order of core::Reason.
constexpr std::string_view kReasons[] = {
    "fits",
    "offload",
    "oversize",
    "impossible",
    "waits_for_turn",
    "gate_closed",
    "claim_fell",
    "drain_limit",
    "room_seen",
    "room_seen_oversize",
    "room_not_seen",
    "ready",
    "restored",
    "comes_back",
    "start_failed",
    "stop_failed",
    "exited",
    "stopped_by_user",
    "started_by_user",
    "saved_state_cleared",
    "commit_failed",
    "recovered_adopted",
    "recovered_never_stopped",
    "recovered_stopping",
    "waits_for_itself",
    "needs_more",
    "appeared",
    "put_out_again",
    "refused_displaced",
    "uses_fallback",
    "held_too_long",
    "foretold",
    "not_in_time",
    "learned",
};
static_assert(std::size(kReasons) == static_cast<std::size_t>(core::Reason::learned) + 1);

}  // namespace

std::string_view name(core::Reason reason) {
  return kReasons[static_cast<std::size_t>(reason)];
}

std::string_view name(core::ServerState state) {
  switch (state) {
    case core::ServerState::absent:
      return "absent";
    case core::ServerState::starting:
      return "starting";
    case core::ServerState::ready:
      return "ready";
    case core::ServerState::stopping:
      return "stopping";
    case core::ServerState::failed:
      return "failed";
    case core::ServerState::unkillable:
      return "unkillable";
  }
  return kNoName;
}

std::string_view name(core::Wanted wanted) {
  switch (wanted) {
    case core::Wanted::on_demand:
      return "on_demand";
    case core::Wanted::on:
      return "on";
    case core::Wanted::off:
      return "off";
  }
  return kNoName;
}

std::string_view name(core::Rung rung) {
  switch (rung) {
    case core::Rung::absent:
      return "absent";
    case core::Rung::resident:
      return "resident";
    case core::Rung::freed:
      return "freed";
  }
  return kNoName;
}

std::string_view name(core::ServerClass job_class) {
  switch (job_class) {
    case core::ServerClass::video:
      return "video";
    case core::ServerClass::image:
      return "image";
    case core::ServerClass::chat:
      return "chat";
    case core::ServerClass::batch:
      return "batch";
  }
  return kNoName;
}

std::string_view name(core::JobEnd how) {
  switch (how) {
    case core::JobEnd::done:
      return "done";
    case core::JobEnd::failed:
      return "failed";
    case core::JobEnd::cancelled:
      return "cancelled";
    case core::JobEnd::cut:
      return "cut";
  }
  return kNoName;
}

std::string_view name(core::PoolKind kind) {
  switch (kind) {
    case core::PoolKind::device:
      return "device";
    case core::PoolKind::host:
      return "host";
    case core::PoolKind::capped:
      return "capped";
  }
  return kNoName;
}

std::string_view name(core::FootprintSource source) {
  switch (source) {
    case core::FootprintSource::declared:
      return "declared";
    case core::FootprintSource::formula:
      return "formula";
    case core::FootprintSource::learned:
      return "learned";
    case core::FootprintSource::header:
      return "header";
  }
  return kNoName;
}

std::string_view name(core::UserAsked::What what) {
  switch (what) {
    case core::UserAsked::What::start:
      return "start";
    case core::UserAsked::What::stop:
      return "stop";
    case core::UserAsked::What::pin:
      return "pin";
    case core::UserAsked::What::unpin:
      return "unpin";
    case core::UserAsked::What::clear_saved_state:
      return "clear_saved_state";
    case core::UserAsked::What::forget:
      return "forget";
  }
  return kNoName;
}

std::string_view name(core::After after) {
  switch (after) {
    case core::After::restore:
      return "restore";
    case core::After::on_request:
      return "on_request";
  }
  return kNoName;
}

std::string_view name(core::Oversize oversize) {
  switch (oversize) {
    case core::Oversize::attempt:
      return "try";
    case core::Oversize::refuse:
      return "refuse";
  }
  return kNoName;
}

std::string_view name(core::JobKind kind) {
  switch (kind) {
    case core::JobKind::request:
      return "request";
    case core::JobKind::hold:
      return "hold";
    case core::JobKind::lease:
      return "lease";
  }
  return kNoName;
}

std::string_view name(core::ServerChanged::Fact fact) {
  switch (fact) {
    case core::ServerChanged::Fact::exited:
      return "exited";
    case core::ServerChanged::Fact::unresponsive:
      return "unresponsive";
    case core::ServerChanged::Fact::out_of_memory:
      return "out_of_memory";
    case core::ServerChanged::Fact::appeared:
      return "appeared";
  }
  return kNoName;
}

std::string_view name(core::CancelReason reason) {
  switch (reason) {
    case core::CancelReason::client_gone:
      return "client_gone";
    case core::CancelReason::drain_limit:
      return "drain_limit";
    case core::CancelReason::limit_reached:
      return "limit_reached";
  }
  return kNoName;
}

std::string_view name(core::WhileDisplaced what) {
  switch (what) {
    case core::WhileDisplaced::hold:
      return "hold";
    case core::WhileDisplaced::refuse:
      return "refuse";
    case core::WhileDisplaced::fallback:
      return "fallback";
  }
  return kNoName;
}

std::string sentence(const core::Announce& decision, const core::Config& config) {
  const std::string server = quoted(config, decision.server);
  const std::string victims = names(config, decision.victims);
  switch (decision.reason) {
    case core::Reason::fits:
      return fmt::format("{} fits: {}", server, sum(decision, config));
    case core::Reason::offload:
      return fmt::format("{} needs room, {} is put out: {}", server, victims,
                         sum(decision, config));
    case core::Reason::oversize:
      return fmt::format(
          "{} is larger than the limit of the empty machine and is tried with "
          "everything else out ({}): {}",
          server, victims.empty() ? "nothing was in" : victims, sum(decision, config));
    case core::Reason::impossible:
      return fmt::format("{} cannot be helped, nothing moves: {}", server, error_text(decision));
    case core::Reason::waits_for_turn:
      return fmt::format("{} waits until the turn of {} is over", server, victims);
    case core::Reason::gate_closed:
      return fmt::format("new requests for {} wait from now on: {} takes its place", server,
                         victims);
    case core::Reason::room_seen:
      return fmt::format("room for {} is seen: {}", server, free_now(decision));
    case core::Reason::room_seen_oversize:
      return fmt::format("the memory of {} came back and stands still, {} is tried: {}", victims,
                         server, free_now(decision));
    case core::Reason::room_not_seen:
      return fmt::format("no room for {} was seen in time: {}", server, error_text(decision));
    case core::Reason::restored:
      return fmt::format("{} is back{}", server, but(decision));
    case core::Reason::comes_back:
      return fmt::format("{} comes back{}{}", server,
                         victims.empty() ? "" : ", idle and out: ", victims);
    case core::Reason::commit_failed:
      return fmt::format("the row of {} could not be written: {}", server, error_text(decision));
    case core::Reason::needs_more:
      return fmt::format("{} ran out of memory; {} are counted for it from now on", server,
                         to_text(decision.numbers->need));
    case core::Reason::learned:
      return fmt::format("{} was measured; {} are counted for it from now on", server,
                         to_text(decision.numbers->need));
    case core::Reason::foretold:
      return fmt::format("job {} for {} has to wait, about {}{}", decision.job->value, server,
                         to_text(*decision.eta), decision.is_guess ? " (a guess)" : "");
    case core::Reason::uses_fallback:
      return fmt::format("{} is displaced, {} serves its request meanwhile", server, victims);
    case core::Reason::claim_fell:
    case core::Reason::drain_limit:
    case core::Reason::ready:
    case core::Reason::stopped_by_user:
    case core::Reason::started_by_user:
    case core::Reason::saved_state_cleared:
    case core::Reason::recovered_adopted:
    case core::Reason::recovered_never_stopped:
    case core::Reason::recovered_stopping:
    case core::Reason::appeared:
    case core::Reason::put_out_again:
      return plain_sentence(decision.reason, server);
    case core::Reason::start_failed:
    case core::Reason::stop_failed:
    case core::Reason::exited:
    case core::Reason::waits_for_itself:
    case core::Reason::refused_displaced:
    case core::Reason::held_too_long:
    case core::Reason::not_in_time:
      return error_text(decision);
  }
  return "";
}

}  // namespace berth::host
