// SPDX-License-Identifier: Apache-2.0
#include "berth/process/directories.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <tuple>

#include "berth/process/proc_stat.h"
#include "berth/process/session.h"
#include "berth/process/system_error.h"

namespace berth::process {
namespace {

namespace fs = std::filesystem;

/// What is true of the machine at one moment.
struct Machine {
  std::vector<ProcStat> processes;
  std::string boot_id;
};

Result<Machine> look_at_machine() {
  Result<std::vector<ProcStat>> processes = read_processes();
  if (!processes) return fail(processes.error());
  return Machine{.processes = std::move(*processes), .boot_id = read_boot_id()};
}

std::optional<Generation> generation_of(const std::string& name) {
  Generation generation;
  const char* const end = name.data() + name.size();
  const auto result = std::from_chars(name.data(), end, generation.value);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return generation;
}

/// Returns the folders in `parent`; a parent that does not exist has none.
Result<std::vector<fs::path>> folders_in(const fs::path& parent) {
  std::vector<fs::path> folders;
  std::error_code error;
  fs::directory_iterator entry(parent, error);
  if (error == std::errc::no_such_file_or_directory) return folders;
  while (!error && entry != fs::directory_iterator()) {
    std::error_code ignored;
    if (entry->is_directory(ignored) && !entry->is_symlink(ignored)) {
      folders.push_back(entry->path());
    }
    entry.increment(error);
  }
  if (error) return io_failure("cannot list " + parent.string(), error.value());
  return folders;
}

bool lives(const Identity& identity, const Machine& machine) {
  return std::any_of(machine.processes.begin(), machine.processes.end(),
                     [&](const ProcStat& process) {
                       return process.pid == identity.pid && process.is_live() &&
                              process.start_time == identity.start_time;
                     });
}

/// Reads one generation's directory. A damaged record counts as none: recovery must go on.
FoundDirectory inspect(const fs::path& path, Generation generation, const Machine& machine) {
  FoundDirectory found{.server = path.parent_path().filename().string(),
                       .generation = generation,
                       .directory = path.string()};
  found.keeper_alive = keeper_lives(found.directory);
  const Result<std::optional<Identity>> identity = read_identity(found.directory);
  if (identity) found.identity = *identity;
  if (!identity) found.unreadable = identity.error();
  if (const auto exit = read_exit(found.directory)) found.exit = *exit;
  if (!found.identity || found.identity->boot_id != machine.boot_id) return found;
  found.alive = lives(*found.identity, machine);
  found.session_members =
      static_cast<int>(live_members(session_of(*found.identity), machine.processes).size());
  return found;
}

/// Appends the directories of one server.
Status scan_server(const fs::path& server, const Machine& machine,
                   std::vector<FoundDirectory>& found) {
  const Result<std::vector<fs::path>> folders = folders_in(server);
  if (!folders) return fail(folders.error());
  for (const fs::path& folder : *folders) {
    if (const std::optional<Generation> generation = generation_of(folder.filename().string())) {
      found.push_back(inspect(folder, *generation, machine));
    }
  }
  return {};
}

}  // namespace

Result<std::vector<FoundDirectory>> scan(const std::string& servers_root) {
  const Result<Machine> machine = look_at_machine();
  if (!machine) return fail(machine.error());
  const Result<std::vector<fs::path>> servers = folders_in(servers_root);
  if (!servers) return fail(servers.error());
  std::vector<FoundDirectory> found;
  for (const fs::path& server : *servers) {
    if (Status scanned = scan_server(server, *machine, found); !scanned) {
      return fail(scanned.error());
    }
  }
  std::sort(found.begin(), found.end(), [](const FoundDirectory& a, const FoundDirectory& b) {
    return std::tie(a.server, a.generation) < std::tie(b.server, b.generation);
  });
  return found;
}

Status signal_session(const std::string& directory, int signal_number) {
  const Result<std::optional<Identity>> identity = read_identity(directory);
  if (!identity) return fail(identity.error());
  if (!*identity) {
    return fail(ErrorCode::not_found, fmt::format("no server was ever executed in {}", directory));
  }
  if ((*identity)->boot_id != read_boot_id()) return {};
  return signal_members(session_of(**identity), signal_number);
}

Status remove_old_directories(const std::string& servers_root, std::string_view server,
                              int keep_last) {
  const Result<Machine> machine = look_at_machine();
  if (!machine) return fail(machine.error());
  std::vector<FoundDirectory> found;
  const Status scanned = scan_server(fs::path(servers_root) / server, *machine, found);
  if (!scanned) return scanned;
  std::sort(found.begin(), found.end(), [](const FoundDirectory& a, const FoundDirectory& b) {
    return a.generation > b.generation;
  });
  const std::size_t kept = static_cast<std::size_t>(std::max(keep_last, 0));
  for (std::size_t i = kept; i < found.size(); ++i) {
    if (found[i].keeper_alive || found[i].session_members > 0) continue;
    std::error_code error;
    fs::remove_all(found[i].directory, error);
    if (error) return io_failure("cannot remove " + found[i].directory, error.value());
  }
  return {};
}

}  // namespace berth::process
