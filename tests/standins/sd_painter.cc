// SPDX-License-Identifier: Apache-2.0
#include "sd_painter.h"

#include <fmt/core.h>
#include <zlib.h>

#include <array>
#include <stdexcept>

namespace berth::standin {
namespace {

constexpr int kBlocksAcross = 8;

// FNV-1a, then the finisher of splitmix64: neighbouring seeds give unlike pictures.
std::uint64_t mixed(std::string_view text, std::uint64_t seed) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (const char c : text)
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  hash += seed * 0x9e3779b97f4a7c15;
  hash = (hash ^ (hash >> 30)) * 0xbf58476d1ce4e5b9;
  hash = (hash ^ (hash >> 27)) * 0x94d049bb133111eb;
  return hash ^ (hash >> 31);
}

std::string pixel_rows(const Motif& motif) {
  const std::uint64_t key = mixed(motif.prompt, static_cast<std::uint64_t>(motif.seed));
  std::array<std::uint64_t, kBlocksAcross * kBlocksAcross> blocks{};
  for (std::size_t i = 0; i < blocks.size(); ++i)
    blocks[i] = mixed("block", key + i);
  const auto channel = [](std::uint64_t word, int index) {
    return static_cast<int>((word >> (8 * index)) & 0xff);
  };
  std::string rows;
  rows.reserve(static_cast<std::size_t>(motif.height) *
               (static_cast<std::size_t>(motif.width) * 3 + 1));
  for (int y = 0; y < motif.height; ++y) {
    rows += '\0';  // filter type "none"
    for (int x = 0; x < motif.width; ++x) {
      const int block =
          y * kBlocksAcross / motif.height * kBlocksAcross + x * kBlocksAcross / motif.width;
      const int slope = 255 * (x + y) / (motif.width + motif.height);
      for (int c = 0; c < 3; ++c) {
        const int colour = channel(blocks[static_cast<std::size_t>(block)], c);
        rows += static_cast<char>((channel(key, c) + slope + colour) / 3);
      }
    }
  }
  return rows;
}

std::string big_endian(std::size_t number) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8)
    bytes += static_cast<char>((number >> shift) & 0xff);
  return bytes;
}

std::string chunk(const std::string& type, const std::string& data) {
  const std::string checked = type + data;
  const auto sum =
      crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size()));
  return big_endian(data.size()) + checked + big_endian(sum);
}

std::string compressed(const std::string& data) {
  uLongf size = compressBound(data.size());
  std::string packed(size, '\0');
  if (compress2(reinterpret_cast<Bytef*>(packed.data()), &size,
                reinterpret_cast<const Bytef*>(data.data()), data.size(), 1) != Z_OK) {
    throw std::runtime_error("zlib cannot compress the picture");
  }
  packed.resize(size);
  return packed;
}

}  // namespace

std::string paint_png(const Motif& motif) {
  const std::string header = big_endian(static_cast<std::size_t>(motif.width)) +
                             big_endian(static_cast<std::size_t>(motif.height)) +
                             std::string("\x08\x02\x00\x00\x00", 5);
  const std::string text = fmt::format(
      "{}\nSteps: {}, Seed: {}, Size: {}x{}, Version: sd-server stand-in of Berth",
      motif.tells_prompt ? motif.prompt : "", motif.steps, motif.seed, motif.width, motif.height);
  return std::string("\x89PNG\r\n\x1a\n", 8) + chunk("IHDR", header) +
         chunk("tEXt", std::string("parameters") + '\0' + text) +
         chunk("IDAT", compressed(pixel_rows(motif))) + chunk("IEND", "");
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
    std::uint32_t word = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      word = word << 8 | (i < count ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    }
    for (std::size_t i = 0; i < 4; ++i) {
      text += i <= count ? kDigits[(word >> (18 - 6 * i)) & 63] : '=';
    }
  }
  return text;
}

}  // namespace berth::standin
