// SPDX-License-Identifier: Apache-2.0
#include "berth/http/relay.h"

#include <algorithm>
#include <deque>
#include <utility>
#include <vector>

namespace berth::http {
namespace {

/// An error's body that is kept to be wrapped. Units: bytes.
constexpr std::size_t kLateErrorMax = 64 << 10;

/// What the coroutines of one relay share: the copying one, which is also the writer, the reader of
/// upstream, and the watcher for a client that leaves and for the cut.
struct State {
  State(Call& from, Exchange& to, RelayOptions given)
      : upstream(from), client(to), options(std::move(given)) {}

  Spool& spool() { return options.spool ? *options.spool : own_spool; }
  bool shows_life() { return !options.sign_of_life.empty() && result.bytes == 0; }
  bool has_room() { return queued < spool().limit(); }
  void stop(RelayOutcome why);
  void fail_upstream(Error why);
  void push(std::string piece);
  void end_upstream();

  Call& upstream;
  Exchange& client;
  RelayOptions options;
  Spool own_spool;
  RelayResult result;

  std::deque<std::string> queue;
  std::size_t queued = 0;
  bool stopped = false;
  bool client_left = false;
  bool upstream_ended = false;
  bool wraps_error = false;

  std::optional<Result<ResponseHead>> head;

  Event head_read;
  Event data;
  Event room;
  Event reader_ended;
  Event over;
  Event watcher_ended;
};

/// The first reason to stop is the outcome; a client that leaves later still ends the writing.
void State::stop(RelayOutcome why) {
  if (over.is_set()) return;
  if (result.outcome == RelayOutcome::completed) result.outcome = why;
  stopped = true;
  client_left = client_left || why == RelayOutcome::client_gone;
  upstream.close();
  room.set();
  data.set();
}

void State::fail_upstream(Error why) {
  if (stopped) return;
  result.outcome = RelayOutcome::upstream_failed;
  result.error = std::move(why);
}

void State::push(std::string piece) {
  queued += piece.size();
  queue.push_back(std::move(piece));
  data.set();
}

void State::end_upstream() {
  if (upstream_ended) return;
  upstream_ended = true;
  upstream.close();
  data.set();
  if (options.on_upstream_done) options.on_upstream_done();
}

Task<void> watch(std::shared_ptr<State> state) {
  Event* cut = state->options.cut;
  while (true) {
    std::vector<Event*> events{&state->over, &state->client.client_gone(), cut};
    const std::optional<std::size_t> which = co_await wait_any(std::move(events));
    if (which == 2) {
      state->stop(RelayOutcome::cut);
      cut = nullptr;
      continue;
    }
    if (which == 1) {
      state->stop(RelayOutcome::client_gone);
      // Ends a write that waits for a client which no longer reads.
      state->client.abort();
    }
    break;
  }
  state->watcher_ended.set();
}

/// Waits until the spool has room. Returns false if the relay was stopped.
Task<bool> wait_for_room(std::shared_ptr<State> state) {
  while (!state->has_room() && !state->stopped) {
    state->room.reset();
    std::vector<Event*> events{&state->room, &state->spool().changed()};
    co_await wait_any(std::move(events));
  }
  co_return !state->stopped;
}

Task<void> read_upstream(std::shared_ptr<State> state) {
  std::string late_error;
  while (true) {
    const bool goes_on = co_await wait_for_room(state);
    if (!goes_on) break;
    Result<std::optional<std::string>> piece = co_await state->upstream.read();
    if (!piece) state->fail_upstream(piece.error());
    if (!piece || !*piece) break;
    if (state->options.on_chunk) state->options.on_chunk(**piece);
    if (state->wraps_error) {
      late_error.append((*piece)->substr(0, kLateErrorMax - late_error.size()));
    } else {
      state->push(std::move(**piece));
    }
  }
  if (state->wraps_error && !state->stopped) {
    state->push(state->options.late_error(std::move(late_error)));
  }
  state->end_upstream();
  state->reader_ended.set();
}

/// Waits for `what`, with signs of life meanwhile.
Task<void> wait_alive(std::shared_ptr<State> state, Event* what) {
  while (state->shows_life() && !state->stopped) {
    const bool came = co_await what->wait_for(state->options.sign_of_life_every);
    if (came) co_return;
    std::string sign = state->options.sign_of_life;
    const Status sent = co_await state->client.write(std::move(sign));
    if (!sent) state->stop(RelayOutcome::client_gone);
  }
  co_await what->wait();
}

Task<void> write_spooled(std::shared_ptr<State> state) {
  while (!state->client_left) {
    if (state->queue.empty()) {
      if (state->upstream_ended) co_return;
      state->data.reset();
      co_await wait_alive(state, &state->data);
      continue;
    }
    std::string piece = std::move(state->queue.front());
    state->queue.pop_front();
    const std::size_t size = piece.size();
    const Status sent = co_await state->client.write(std::move(piece));
    state->queued -= size;
    if (!sent) {
      state->stop(RelayOutcome::client_gone);
    } else {
      state->result.bytes += size;
      state->room.set();
    }
  }
}

/// Ends the client's reply as the outcome wants it.
Task<void> end_client(std::shared_ptr<State> state) {
  const RelayOutcome outcome = state->result.outcome;
  const bool can_say_why = outcome == RelayOutcome::cut && state->client.open_ended();
  if (outcome != RelayOutcome::completed && !can_say_why) {
    state->client.abort();
    co_return;
  }
  Status sent;
  if (can_say_why && state->options.cut_text) {
    std::string last_words = state->options.cut_text();
    sent = co_await state->client.write(std::move(last_words));
  }
  if (sent) sent = co_await state->client.finish();
  if (!sent) state->stop(RelayOutcome::client_gone);
}

ResponseHead client_head(ResponseHead head, const Headers& added) {
  static constexpr std::string_view kCors = "Access-Control-";
  remove_hop_by_hop(head.headers);
  std::erase_if(head.headers.fields, [](const Header& field) {
    const std::string_view name = field.name;
    return equal_ignoring_case(name.substr(0, kCors.size()), kCors) ||
           equal_ignoring_case(name, "Server");
  });
  for (const Header& field : added.fields)
    head.headers.remove(field.name);
  for (const Header& field : added.fields)
    head.headers.add(field.name, field.value);
  return head;
}

Task<void> read_head(std::shared_ptr<State> state) {
  Result<ResponseHead> head = co_await state->upstream.head();
  state->head = std::move(head);
  state->head_read.set();
}

/// Waits for upstream's head and sends the client's. Returns false if there is no body to copy.
Task<bool> copy_head(std::shared_ptr<State> state) {
  if (state->shows_life()) {
    const Executor executor = co_await this_executor();
    spawn(executor, read_head(state));
    co_await wait_alive(state, &state->head_read);
  } else {
    co_await read_head(state);
  }
  Result<ResponseHead>& head = *state->head;
  if (!head) {
    state->fail_upstream(head.error());
    co_return false;
  }
  if (state->stopped) co_return false;
  state->result.status = head->status;
  if (state->client.began()) {
    state->wraps_error = head->status >= 400 && state->options.late_error != nullptr;
    co_return true;
  }
  ResponseHead sent_head = client_head(std::move(*head), state->options.added_headers);
  const Status sent = co_await state->client.begin(std::move(sent_head));
  if (!sent) state->stop(RelayOutcome::client_gone);
  state->result.reply_started = sent.has_value();
  co_return sent.has_value();
}

Task<void> copy(std::shared_ptr<State> state) {
  const bool has_body = co_await copy_head(state);
  if (!has_body) {
    state->end_upstream();
    co_return;
  }
  const Executor executor = co_await this_executor();
  spawn(executor, read_upstream(state));
  co_await write_spooled(state);
  co_await state->reader_ended.wait();
  co_await end_client(state);
}

}  // namespace

void Spool::set_limit(std::size_t limit) {
  limit_ = limit;
  changed_.set();
  changed_.reset();
}

Task<RelayResult> relay(Call& upstream, Exchange& client, RelayOptions options) {
  const Executor executor = co_await this_executor();
  const auto state = std::make_shared<State>(upstream, client, std::move(options));
  state->result.reply_started = client.began();
  if (!client.began()) state->options.sign_of_life.clear();
  spawn(executor, watch(state));
  co_await copy(state);
  state->over.set();
  co_await state->watcher_ended.wait();
  upstream.close();
  co_return state->result;
}

}  // namespace berth::http
