// SPDX-License-Identifier: Apache-2.0
#include "plan_text.h"

#include <algorithm>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "berth/core/admission.h"
#include "berth/plan/advice_text.h"
#include "berth/plan/amounts.h"
#include "berth/plan/report_json.h"
#include "table.h"

namespace berth::cli {
namespace {

using plan::advice_sentence;
using plan::comparison;
using plan::gigabytes;
using plan::is_warning;
using plan::shown_pools;
using plan::verdict_name;
using core::PlanComponent;
using core::PlanPool;
using core::PlanQuestion;
using core::PlanReason;
using core::PlanReport;
using core::PlanVerdict;
using core::PoolReport;
using core::Presence;

constexpr std::string_view kIndent = "    ";

std::string title_of(const PlanQuestion& question, std::size_t pool) {
  const auto gpus = std::count_if(question.pools.begin(), question.pools.end(),
                                  [](const PlanPool& each) { return each.is_gpu; });
  if (question.pools[pool].is_gpu && gpus == 1) return "VRAM";
  std::string title = question.pools[pool].name;
  for (char& c : title)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return title;
}

std::string cpu_of(const PlanComponent& component) {
  if (!component.cpu) return "-";
  return fmt::format("{}{}%", component.cpu->is_bound ? "<" : "", component.cpu->percent);
}

/// "3.5 GB x 16/32 x 1.2".
std::string formula_of(const PlanComponent& component) {
  const auto& layers = component.layers;
  const std::string size = gigabytes(component.model_size);
  if (!layers || layers->on_gpu == 0 || !layers->total) return size + " x 1.2";
  const std::int64_t total = *layers->total;
  const std::int64_t on_gpu = layers->on_gpu < 0 ? total : std::min(layers->on_gpu, total);
  return fmt::format("{} x {}/{} x 1.2", size, on_gpu, total);
}

std::string source_of(const PlanComponent& component) {
  if (component.presence == Presence::not_running) return "not running";
  if (component.presence == Presence::elsewhere) return "on " + component.machine;
  std::vector<std::string> sources;
  for (const core::PlanShare& share : component.shares) {
    const std::string source = share.bytes ? share.source : "size unknown";
    if (std::find(sources.begin(), sources.end(), source) == sources.end()) {
      sources.push_back(source);
    }
  }
  const bool is_formula = component.model_size && sources == std::vector<std::string>{"formula"};
  if (is_formula) return "formula: " + formula_of(component);
  return fmt::format("{}", fmt::join(sources, ", "));
}

/// What a person should know of the component beside its numbers.
std::string note_of(const PlanQuestion& question, const PlanComponent& component) {
  if (component.presence != Presence::here) return "";
  std::vector<std::string> notes = component.notes;
  for (const core::PlanShare& share : component.shares) {
    if (share.loaded && share.bytes && share.spike) {
      notes.push_back(fmt::format("{}: {} once loaded, {} at its peak, {} with several queued",
                                  question.pools[share.pool.value].name, gigabytes(share.loaded),
                                  gigabytes(share.bytes), gigabytes(share.spike)));
    }
  }
  const auto& layers = component.layers;
  if (layers && layers->total && layers->on_gpu > *layers->total) {
    notes.push_back(fmt::format("{} of {} layers: the output layer, too; it counts as {} of {}",
                                layers->on_gpu, *layers->total, *layers->total, *layers->total));
  }
  if (layers && layers->total && layers->on_gpu > 0 && layers->on_gpu < *layers->total) {
    notes.push_back(fmt::format("its other {} layers lie in RAM, which the formula does not count",
                                *layers->total - layers->on_gpu));
  }
  return fmt::format("{}", fmt::join(notes, "; "));
}

/// One line below the components: a number for each pool.
struct Sum {
  std::string_view name;
  std::string what;
  std::string (*text)(const PlanPool& pool, const PoolReport& report);
};

std::string minus(const PlanPool& pool, Bytes less) {
  return pool.capacity ? gigabytes(*pool.capacity - less) : "?";
}

/// "3/4 of what is available"; a running Berth tells amounts, which may make no simple fraction.
std::string limit_share(const PlanQuestion& question) {
  constexpr std::int64_t kSimple = 100;
  const core::Policy& first = question.pools.front().policy;
  const bool is_common =
      std::all_of(question.pools.begin(), question.pools.end(), [&](const PlanPool& pool) {
        return pool.policy.limit_numerator == first.limit_numerator &&
               pool.policy.limit_denominator == first.limit_denominator;
      });
  if (!is_common || first.limit_denominator > kSimple) return "a share of what is available";
  return fmt::format("{}/{} of what is available", first.limit_numerator, first.limit_denominator);
}

std::vector<Sum> sums_of(const PlanQuestion& question) {
  const auto any = [&](Bytes PlanPool::*member) {
    return std::any_of(question.pools.begin(), question.pools.end(),
                       [&](const PlanPool& pool) { return (pool.*member).count > 0; });
  };
  std::vector<Sum> sums = {
      {"total", "if all are there at once",
       [](const PlanPool&, const PoolReport& r) { return gigabytes(r.need); }}};
  if (any(&PlanPool::reserve)) {
    sums.push_back({"reserve", "added to the total", [](const PlanPool& pool, const PoolReport&) {
                      return gigabytes(pool.reserve);
                    }});
  }
  if (any(&PlanPool::foreign)) {
    sums.push_back({"foreign", "of other programs", [](const PlanPool& pool, const PoolReport&) {
                      return gigabytes(pool.foreign);
                    }});
  }
  sums.push_back({"available", "", [](const PlanPool& pool, const PoolReport&) {
                    return minus(pool, pool.foreign);
                  }});
  sums.push_back({"limit", limit_share(question),
                  [](const PlanPool&, const PoolReport& r) { return gigabytes(r.limit); }});
  sums.push_back({"buffer", "available less total",
                  [](const PlanPool&, const PoolReport& r) { return gigabytes(r.buffer); }});
  return sums;
}

std::string table_of(const PlanQuestion& question, const PlanReport& report) {
  const auto& components = question.components;
  const bool has_cpu = std::any_of(components.begin(), components.end(),
                                   [](const PlanComponent& each) { return each.cpu.has_value(); });
  const std::vector<std::size_t> pools = shown_pools(question, report);
  std::vector<Column> columns = {{"COMPONENT"}};
  if (has_cpu) columns.push_back({"CPU", true});
  for (const std::size_t pool : pools)
    columns.push_back({title_of(question, pool), true});
  columns.push_back({"SOURCE"});
  std::vector<Row> rows;
  for (std::size_t i = 0; i < components.size(); ++i) {
    Row row{{{components[i].name}}, note_of(question, components[i])};
    if (has_cpu) row.cells.push_back({cpu_of(components[i])});
    for (const std::size_t pool : pools)
      row.cells.push_back({gigabytes(report.pools[pool].rows[i].bytes)});
    row.cells.push_back({source_of(components[i])});
    rows.push_back(std::move(row));
  }
  for (const Sum& sum : sums_of(question)) {
    Row row{{{std::string(sum.name)}}, ""};
    if (has_cpu) row.cells.push_back({sum.name == "total" ? cpu_sum(components) : ""});
    for (const std::size_t pool : pools)
      row.cells.push_back({sum.text(question.pools[pool], report.pools[pool])});
    row.cells.push_back({sum.what});
    rows.push_back(std::move(row));
  }
  return render_table(columns, rows);
}

/// What the others take while the newcomer is not there.
Bytes others_of(const PoolReport& report) {
  return *report.need - *report.rows[*report.newcomer].bytes;
}

std::string names_of(const PlanQuestion& question, const std::vector<std::size_t>& components) {
  std::vector<std::string> names;
  for (const std::size_t each : components)
    names.push_back(question.components[each].name);
  return fmt::format("{}", fmt::join(names, ", "));
}

/// Who has to leave, and what that gives.
std::string leaving_text(const PlanQuestion& question, const PoolReport& report) {
  const PlanPool& pool = question.pools[report.pool.value];
  const Bytes available = *pool.capacity - pool.foreign;
  return fmt::format(
      "{} is put out for {} and brought back: that frees {}; with {} there, {} of {} "
      "are left",
      names_of(question, report.leaving), question.components[*report.newcomer].name,
      gigabytes(report.freed), report.leaving.size() == 1 ? "it" : "all of them",
      gigabytes(available - others_of(report)), gigabytes(available));
}

std::string oversize_text(const PlanQuestion& question, const PoolReport& report) {
  const PlanPool& pool = question.pools[report.pool.value];
  const std::string& name = question.components[*report.newcomer].name;
  const Bytes need = *report.rows[*report.newcomer].bytes;
  return fmt::format("oversize: {} alone is beyond the limit of the empty machine, {}; {}", name,
                     comparison(need, core::limit_of(*pool.capacity, {}, pool.policy)),
                     report.stays_out ? "the policy refuses it, and nobody leaves"
                                      : fmt::format("it is tried on {}, with everybody else out",
                                                    gigabytes(pool.capacity)));
}

std::string names_of(const PlanQuestion& question, Presence presence) {
  std::vector<std::size_t> found;
  for (std::size_t i = 0; i < question.components.size(); ++i)
    if (question.components[i].presence == presence) found.push_back(i);
  return names_of(question, found);
}

/// Why nobody has to leave.
std::string not_needed_text(const PlanQuestion& question, const PoolReport& report) {
  const PlanPool& pool = question.pools[report.pool.value];
  const std::string title = title_of(question, report.pool.value);
  const auto because = [&]() -> std::string {
    switch (report.reason) {
      case PlanReason::exceeds:
      case PlanReason::capacity_unknown:
      case PlanReason::size_unknown:
        return "";
      case PlanReason::alone:
        return report.newcomer ? fmt::format("only {} wants {}",
                                             question.components[*report.newcomer].name, title)
                               : "nobody wants " + title;
      case PlanReason::not_running:
        return fmt::format("{} does not run", names_of(question, Presence::not_running));
      case PlanReason::elsewhere:
        return fmt::format("{} runs on another machine", names_of(question, Presence::elsewhere));
      case PlanReason::ample:
        return fmt::format("{} of {} is ample (from 24 GB of VRAM or 32 GB of RAM) and all fit",
                           gigabytes(pool.capacity), title);
      case PlanReason::fits:
        return "all fit together";
    }
    return "";
  };
  return fmt::format("not needed, because {}; nothing moves", because());
}

std::string unknown_text(const PlanQuestion& question, const PoolReport& report) {
  if (report.reason == PlanReason::capacity_unknown) {
    return fmt::format(
        "how large {} is is not known: say it with --ram, or run Berth, which asks the machine",
        title_of(question, report.pool.value));
  }
  std::vector<std::size_t> unknown;
  Bytes known;
  for (std::size_t i = 0; i < report.rows.size(); ++i) {
    if (!report.rows[i].bytes) unknown.push_back(i);
    known += report.rows[i].bytes.value_or(Bytes{});
  }
  const std::string what = fmt::format("what {} takes is not known, and unknown is not zero",
                                       names_of(question, unknown));
  return fmt::format("{}: give its size; the others take {} of the limit of {}", what,
                     gigabytes(known), gigabytes(report.limit));
}

Colour colour_of(PlanVerdict verdict) {
  switch (verdict) {
    case PlanVerdict::direct:
      return Colour::green;
    case PlanVerdict::offload:
      return Colour::yellow;
    case PlanVerdict::unknown:
      return Colour::grey;
  }
  return Colour::none;
}

/// "offload, not safe together: 12.5 GB > 6.0 GB of VRAM".
std::string headline(const PlanQuestion& question, const PoolReport& report) {
  const std::string title = title_of(question, report.pool.value);
  std::string what(verdict_name(report.verdict));
  if (report.verdict == PlanVerdict::unknown) {
    return painted(what, colour_of(report.verdict)) + ": " + title + "\n";
  }
  const Bytes total = *report.need + question.pools[report.pool.value].reserve;
  const bool is_within = total <= *report.limit;
  if (report.verdict == PlanVerdict::offload) what += ", not safe together";
  if (report.verdict == PlanVerdict::direct && is_within) what += ", safe together";
  return fmt::format("{}: {}, the limit of {}\n", painted(what, colour_of(report.verdict)),
                     comparison(total, *report.limit), title);
}

std::string pool_verdict(const PlanQuestion& question, const PoolReport& report) {
  std::string text = headline(question, report);
  const auto add = [&](const std::string& sentence) { text += wrapped(sentence, kIndent); };
  if (report.verdict == PlanVerdict::unknown) add(unknown_text(question, report));
  if (report.verdict == PlanVerdict::direct) add(not_needed_text(question, report));
  if (!report.leaving.empty()) add(leaving_text(question, report));
  if (report.oversize) add(oversize_text(question, report));
  if (report.stays_out && !report.oversize) {
    add(
        fmt::format("even alone {} does not fit beside the {} of other programs: it waits for "
                    "those, and nobody leaves",
                    question.components[*report.newcomer].name,
                    gigabytes(question.pools[report.pool.value].foreign)));
  }
  return text;
}

/// The bottleneck decides; other pools are named where they have something to say.
std::string verdict_text(const PlanQuestion& question, const PlanReport& report) {
  std::string text = pool_verdict(question, report.pools[report.bottleneck]);
  for (const std::size_t pool : shown_pools(question, report)) {
    const PoolReport& each = report.pools[pool];
    const bool is_wanted = !each.need || each.need->count > 0;
    if (pool == report.bottleneck || !is_wanted || each.verdict == PlanVerdict::direct) continue;
    text += pool_verdict(question, each);
  }
  return text;
}

std::string advice_text(const PlanQuestion& question, const PlanReport& report) {
  std::string ways;
  std::string warnings;
  for (const core::Advice& advice : report.advice) {
    std::string& to = is_warning(advice) ? warnings : ways;
    std::string bullet = wrapped(advice_sentence(question, report, advice), kIndent);
    bullet.replace(0, kIndent.size(), "  - ");
    to += bullet;
  }
  if (!ways.empty()) ways = "\nwhat would make it fit, or help\n" + ways;
  if (!warnings.empty()) warnings = "\nbeware\n" + warnings;
  return warnings + ways;
}

}  // namespace

std::string cpu_sum(const std::vector<PlanComponent>& components) {
  constexpr std::int32_t kStep = 5;
  std::int32_t sum = 0;
  bool has_bound = false;
  for (const PlanComponent& each : components) {
    if (!each.cpu || each.presence != Presence::here) continue;
    sum += each.cpu->percent;
    has_bound = has_bound || each.cpu->is_bound;
  }
  if (!has_bound) return fmt::format("{}%", sum);
  return fmt::format("~{}%", (sum + kStep / 2) / kStep * kStep);
}

std::string machine_text(const PlanQuestion& question) {
  std::vector<std::string> pools;
  for (std::size_t i = question.pools.size(); i-- > 0;) {
    if (!question.pools[i].capacity) continue;
    pools.push_back(fmt::format("{} of {}", gigabytes(question.pools[i].capacity),
                                question.pools[i].is_gpu ? "VRAM" : title_of(question, i)));
  }
  return fmt::format("a machine with {}", fmt::join(pools, " and "));
}

std::string plan_text(std::string_view machine, const PlanQuestion& question,
                      const PlanReport& report) {
  std::string text = wrapped(fmt::format("plan for {} (GB = 10^9 bytes)", machine), "") + "\n";
  text += table_of(question, report) + "\n";
  text += verdict_text(question, report);
  text += advice_text(question, report);
  const bool has_formula = std::any_of(question.components.begin(), question.components.end(),
                                       [](const auto& each) { return each.model_size; });
  if (!has_formula) return text;
  return text + "\n" +
         wrapped(
             "The 1.2 of the formula: attention caches and temporary buffers, the system, and a "
             "safety margin. It does not know the context.",
             "");
}

}  // namespace berth::cli
