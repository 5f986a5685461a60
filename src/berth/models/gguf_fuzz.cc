// SPDX-License-Identifier: Apache-2.0
// libFuzzer: any bytes as a GGUF file, and what is made of a header that can be read.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "berth/base/assert.h"
#include "berth/models/model.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  const auto input = berth::models::over_memory(bytes);
  const auto header = berth::models::read_gguf(*input, "fuzz");
  if (!header) {
    BERTH_ASSERT(header.error().message.starts_with("fuzz: "));
    return 0;
  }
  const berth::models::Model model = berth::models::describe({*header});
  BERTH_ASSERT(model.tensors == header->tensors.size());
  // Tensors do not overlap, so together they are no larger than the file.
  BERTH_ASSERT(model.weights.total().count <= static_cast<std::int64_t>(size));
  return 0;
}
