// SPDX-License-Identifier: Apache-2.0
// Private to the folder: the machine, read once and with a deadline.
#pragma once

#include <vector>

#include "berth/base/result.h"
#include "berth/berth.h"

namespace berth::embed {

/// Returns the GPUs; none where NVIDIA's library cannot be loaded.
/// Errors: io; deadline if the driver does not answer.
Result<std::vector<GpuInfo>> read_gpus();

}  // namespace berth::embed
