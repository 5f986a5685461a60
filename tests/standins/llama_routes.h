// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/json.hpp>
#include <string>

#include "http_listener.h"
#include "llama_options.h"
#include "llama_slots.h"

namespace berth::standin {

/// Answers the requests of llama-server that Berth and its clients make. See README.md for those
/// that are missing.
class LlamaRoutes {
 public:
  LlamaRoutes(const LlamaOptions& options, LlamaSlots& slots) : options_(options), slots_(slots) {}

  HttpReply answer(const HttpRequest& request);
  /// Until then every route says 503 "Loading model".
  void set_loaded() { loaded_ = true; }
  /// From now on no token is made any more: what runs ends when its client leaves.
  void set_stopping() { stopping_ = true; }

 private:
  enum class Shape { chat, completion };
  struct Work;

  HttpReply get(const std::string& path) const;
  HttpReply post(const HttpRequest& request);
  HttpReply slot_action(const HttpRequest& request);
  HttpReply complete(const HttpRequest& request, Shape shape);
  bool next_token(Work& work, const HttpRequest& request);
  void stream(Work& work, const HttpRequest& request, const ChunkSink& send);
  void finish(Work& work);
  boost::json::object event(const Work& work, const std::string* piece) const;
  boost::json::object reply(const Work& work) const;
  boost::json::object timings(const Work& work) const;

  const LlamaOptions& options_;
  LlamaSlots& slots_;
  std::atomic<bool> loaded_ = false;
  std::atomic<bool> stopping_ = false;
};

}  // namespace berth::standin
