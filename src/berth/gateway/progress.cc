// SPDX-License-Identifier: Apache-2.0
#include "berth/gateway/progress.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <boost/json.hpp>

namespace berth::gateway {
namespace {

/// Proxies give up a silent stream after 60 s, mostly.
constexpr int kSecondsMax = 60;
constexpr std::size_t kHeaderShown = 40;

bool is_stream(const Route& route, std::string_view body) {
  if (route.serves != Serves::llm) return false;
  boost::system::error_code broken;
  const boost::json::value value = boost::json::parse(body, broken);
  const boost::json::object* object = broken ? nullptr : value.if_object();
  const boost::json::value* stream = object == nullptr ? nullptr : object->if_contains("stream");
  return stream != nullptr && stream->is_bool() && stream->get_bool();
}

}  // namespace

Result<std::optional<Duration>> progress_of(const Route& route, const http::Request& request,
                                            Duration unit) {
  const std::optional<std::string_view> text = request.headers.get(kProgressHeader);
  if (!text) return std::optional<Duration>{};
  int seconds = 0;
  const char* end = text->data() + text->size();
  const auto [at, errc] = std::from_chars(text->data(), end, seconds);
  if (errc != std::errc{} || at != end || seconds < 1 || seconds > kSecondsMax) {
    return fail(ErrorCode::bad_request,
                fmt::format("{} is \"{}\"; write how many seconds may pass between two signs of "
                            "life, 1 to {}",
                            kProgressHeader, text->substr(0, kHeaderShown), kSecondsMax));
  }
  if (!is_stream(route, request.body)) return std::optional<Duration>{};
  return std::optional<Duration>{seconds * unit};
}

std::string progress_comment(std::string_view what, std::string_view server) {
  return fmt::format(": {} \"{}\"\n\n", what, server);
}

std::string waiting_comment(std::string_view server, const host::WaitingStatus* known) {
  std::string text = fmt::format(": waiting for \"{}\"", server);
  if (known != nullptr && known->eta) {
    text +=
        fmt::format(", about {} more{}", to_text(*known->eta), known->is_guess ? " (a guess)" : "");
  }
  if (known != nullptr && !known->waits_for.empty()) text += ": " + known->waits_for;
  return text + "\n\n";
}

namespace {

std::string waiting_now(host::Host& host, const host::Job& job, std::string_view server) {
  const std::vector<host::WaitingStatus> waiting = host.waiting();
  const auto found = std::find_if(waiting.begin(), waiting.end(),
                                  [&](const auto& each) { return each.job == job.id(); });
  return waiting_comment(server, found == waiting.end() ? nullptr : &*found);
}

}  // namespace

Task<void> show_progress(Call call, host::Job& job, Duration every, http::Headers headers) {
  const std::string& name = call.host().config().core.servers.at(job.server().value).name;
  headers.set("Content-Type", "text/event-stream");
  headers.set("Cache-Control", "no-cache");
  while (true) {
    std::vector<Event*> events{&job.answered(), &call.exchange.client_gone()};
    const std::optional<std::size_t> which = co_await wait_any(std::move(events), every);
    if (which) co_return;
    if (!call.exchange.began()) {
      http::ResponseHead head{200, headers};
      const Status begun = co_await call.exchange.begin(std::move(head));
      if (!begun) co_return;
    }
    std::string comment = waiting_now(call.host(), job, name);
    const Status sent = co_await call.exchange.write(std::move(comment));
    if (!sent) co_return;
  }
}

}  // namespace berth::gateway
