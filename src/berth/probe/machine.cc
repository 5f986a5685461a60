// SPDX-License-Identifier: Apache-2.0
#include "berth/probe/machine.h"

#include <dirent.h>

#include <algorithm>
#include <memory>

#include "berth/base/plain_text.h"
#include "berth/probe/proc_text.h"

namespace berth::probe {
namespace {

/// The names of one version's files below a group's folder.
struct GroupFiles {
  const char* limit;
  const char* usage;
  const char* cache_prefix;  ///< of version 1: with the groups below it
};

constexpr GroupFiles kVersion1 = {"memory.limit_in_bytes", "memory.usage_in_bytes", "total_"};
constexpr GroupFiles kVersion2 = {"memory.max", "memory.current", ""};

std::string_view first_line(std::string_view text) {
  return text.substr(0, text.find('\n'));
}

/// Returns the number behind "name " in the lines of memory.stat.
std::optional<std::int64_t> stat_value(std::string_view text, const std::string& name) {
  while (!text.empty()) {
    const std::string_view line = first_line(text);
    text.remove_prefix(std::min(line.size() + 1, text.size()));
    if (line.starts_with(name + " ")) {
      return number_from<std::int64_t>(line.substr(name.size() + 1));
    }
  }
  return std::nullopt;
}

/// What the processes of the group hold and cannot be taken from them: all but page cache.
std::optional<Bytes> held_in(const std::string& folder, const GroupFiles& files) {
  const auto usage =
      number_from<std::int64_t>(first_line(read_text(folder + "/" + files.usage).text));
  const std::string stat = read_text(folder + "/memory.stat").text;
  const std::string prefix = files.cache_prefix;
  const auto inactive = stat_value(stat, prefix + "inactive_file");
  const auto active = stat_value(stat, prefix + "active_file");
  if (!usage || !inactive || !active) return std::nullopt;
  return Bytes{std::max<std::int64_t>(*usage - *inactive - *active, 0)};
}

/// Narrows `memory` by one group. A group without a file of limits has none: it is the root, or
/// lies outside of what a container shows.
Status narrow(HostMemory& memory, Bytes machine, const std::string& folder,
              const GroupFiles& files) {
  const Text text = read_text(folder + "/" + files.limit);
  const auto limit = number_from<std::int64_t>(first_line(text.text));
  if (text.error_number != 0 || !limit || Bytes{*limit} >= machine) return {};
  const std::optional<Bytes> held = held_in(folder, files);
  if (!held) {
    return fail(ErrorCode::io, fmt::format("the control group {} has a limit, and what is used of "
                                           "it cannot be read",
                                           folder));
  }
  memory.total = std::min(memory.total, Bytes{*limit});
  memory.available = std::min(memory.available, std::max(Bytes{*limit} - *held, Bytes{0}));
  return {};
}

/// Narrows by the group at `path` and by all above it.
Status narrow_upwards(HostMemory& memory, const std::string& mount, std::string path,
                      const GroupFiles& files) {
  const Bytes machine = memory.total;
  while (true) {
    const Status narrowed = narrow(memory, machine, mount + path, files);
    if (!narrowed || path.empty()) return narrowed;
    path.erase(path.rfind('/'));
  }
}

/// The controllers of a line "4:cpu,memory:/path" and its path; "" is the root.
struct Group {
  std::string_view controllers;
  std::string path;
};

std::optional<Group> group_in(std::string_view line) {
  const std::size_t first = line.find(':');
  const std::size_t second = first == line.npos ? line.npos : line.find(':', first + 1);
  if (second == line.npos) return std::nullopt;
  std::string path(line.substr(second + 1));
  while (!path.empty() && path.back() == '/')
    path.pop_back();
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return Group{line.substr(first + 1, second - first - 1), std::move(path)};
}

bool has_memory(std::string_view controllers) {
  const std::string all = "," + std::string(controllers) + ",";
  return all.find(",memory,") != std::string::npos;
}

/// Nothing: it is gone, or has no memory.
std::optional<OtherProcess> read_other(pid_t pid) {
  const Text text = read_text(path_of(pid, "status"));
  Result<OtherProcess> other = parse_status(text.text);
  if (text.error_number != 0 || !other) return std::nullopt;
  other->pid = pid;
  return std::move(*other);
}

/// Adds when it began and its CPU time; false: it is gone.
bool add_stat(OtherProcess& other) {
  const auto stat = read_stat(other.pid);
  if (!stat || !*stat) return false;
  other.start_time = (*stat)->start_time;
  other.cpu_ticks = (*stat)->cpu_ticks;
  return true;
}

bool contains(std::span<const pid_t> pids, pid_t pid) {
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

}  // namespace

Result<HostMemory> within_groups(HostMemory machine, std::string_view groups,
                                 const std::string& mounts) {
  while (!groups.empty()) {
    const std::string_view line = first_line(groups);
    groups.remove_prefix(std::min(line.size() + 1, groups.size()));
    const std::optional<Group> group = group_in(line);
    if (!group) continue;
    const bool version2 = group->controllers.empty();
    if (!version2 && !has_memory(group->controllers)) continue;
    const std::string mount = version2 ? mounts : mounts + "/memory";
    const Status narrowed =
        narrow_upwards(machine, mount, group->path, version2 ? kVersion2 : kVersion1);
    if (!narrowed) return fail(narrowed.error());
  }
  return machine;
}

Result<HostMemory> read_host_memory() {
  const Result<HostMemory> machine = read_host();
  if (!machine) return machine;
  return within_groups(*machine, read_text("/proc/self/cgroup").text, "/sys/fs/cgroup");
}

std::vector<OtherProcess> read_others(std::span<const pid_t> ours, std::size_t count_max,
                                      std::span<const pid_t> named) {
  std::vector<OtherProcess> others;
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir("/proc"), &::closedir);
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    const auto pid = number_from<pid_t>(entry->d_name);
    if (!pid || std::binary_search(ours.begin(), ours.end(), *pid)) continue;
    if (auto other = read_other(*pid)) others.push_back(std::move(*other));
  }
  std::sort(others.begin(), others.end(), [](const OtherProcess& a, const OtherProcess& b) {
    return a.bytes != b.bytes ? a.bytes > b.bytes : a.pid < b.pid;
  });
  std::size_t place = 0;
  std::erase_if(others, [&](const OtherProcess& other) {
    return place++ >= count_max && !contains(named, other.pid);
  });
  std::vector<OtherProcess> there;
  for (OtherProcess& other : others) {
    if (add_stat(other)) there.push_back(std::move(other));
  }
  return there;
}

Result<OtherProcess> parse_status(std::string_view text) {
  constexpr std::string_view kName = "Name:\t";
  if (!text.starts_with(kName)) {
    return fail(ErrorCode::io, "a process's status has no program name");
  }
  const Result<Bytes> anonymous = value_of(text, "RssAnon");
  if (!anonymous) return fail(anonymous.error());
  const Result<Bytes> shared_memory = value_of(text, "RssShmem");
  if (!shared_memory) return fail(shared_memory.error());
  return OtherProcess{.program = plain_text(first_line(text.substr(kName.size()))),
                      .bytes = *anonymous + *shared_memory};
}

}  // namespace berth::probe
