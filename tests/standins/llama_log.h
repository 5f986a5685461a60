// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace berth::standin {

/// Writes one line to stderr as llama-server does: `0.00.428.980 I srv  llama_server: text`, the
/// time since the start first. `level` is I, W or E; `who` is what stands before the text.
void llama_log(char level, const char* who, const std::string& text);

}  // namespace berth::standin
