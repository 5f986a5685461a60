// SPDX-License-Identifier: Apache-2.0
// The KV cache of a llama-server's slots on disk: each slot file has a sidecar that says what it
// belongs to. A truncated slot file aborts llama-server and a changed one is accepted in silence
// (reference/llama-server-observed.md 1), so a file is offered only if its sidecar proves it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "berth/base/bytes.h"
#include "berth/base/result.h"

namespace berth::servers {

/// What a saved slot depends on. Everything must be equal, or the file is not offered.
struct SlotOwner {
  std::vector<std::string> argv;  ///< context, KV types, rope, LoRA and all other flags
  std::string binary_identity;    ///< path, size, mtime; the version string identifies nothing
  std::string model_identity;

  bool operator==(const SlotOwner&) const = default;
};

struct SavedSlot {
  int slot = 0;
  int recency = 0;        ///< 0: the conversation that was used last
  std::string file_name;  ///< inside the directory; llama-server takes names, not paths
  std::int64_t tokens = 0;
  Bytes size;
  std::uint32_t crc32 = 0;
};

/// Returns "path size mtime" of a file. Errors: not_found, naming the path.
Result<std::string> file_identity(const std::string& path);

/// Completes a slot file that the server has just written: checks its size, takes its checksum,
/// syncs it, writes the sidecar (0600), and syncs the directory. Slow: not for the strand.
/// Errors: io or disk_full, naming the file; the slot file is removed then.
Status seal_slot(const std::string& directory, SavedSlot slot, const SlotOwner& owner);

/// A slot file that was found: with the reason why it must not be offered, if there is one.
struct FoundSlot {
  SavedSlot slot;
  std::string refusal;
};

/// Finds the sealed slots, the one that was used last first, and checks each file against its
/// sidecar and `owner`. Slow: reads all bytes; not for the strand.
std::vector<FoundSlot> find_slots(const std::string& directory, const SlotOwner& owner);

/// Removes every slot file and sidecar.
void remove_slots(const std::string& directory);

}  // namespace berth::servers
