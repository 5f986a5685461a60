# SPDX-License-Identifier: Apache-2.0
"""Writes the seeds of the fuzzer: small model files, sound and nearly so."""

import json
import struct
from pathlib import Path

U32, TEXT, LIST = 4, 8, 9
Q8_0, F32 = 8, 0


def text(value):
    return struct.pack("<Q", len(value)) + value.encode()


def number(key, value):
    return text(key) + struct.pack("<II", U32, value)


def words(key, values):
    return text(key) + struct.pack("<IIQ", LIST, TEXT, len(values)) + b"".join(map(text, values))


def numbers(key, values):
    return text(key) + struct.pack(f"<IIQ{len(values)}I", LIST, U32, len(values), *values)


def tensor(name, extents, kind, offset):
    return text(name) + struct.pack(f"<I{len(extents)}QIQ", len(extents), *extents, kind, offset)


def gguf(values, tensors, data, version=3):
    head = struct.pack("<4sIQQ", b"GGUF", version, len(tensors), len(values)) + b"".join(values + tensors)
    return head + b"\0" * (-len(head) % 32) + b"w" * data


def safetensors(header, data):
    raw = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(raw)) + raw + b"w" * data


def gguf_seeds():
    values = [text("general.architecture") + struct.pack("<I", TEXT) + text("llama"),
              number("llama.block_count", 2), number("llama.attention.head_count", 4),
              number("llama.embedding_length", 64), number("general.alignment", 32)]
    tensors = [tensor("token_embd.weight", [64], Q8_0, 0), tensor("blk.0.attn_q.weight", [32, 2], Q8_0, 96),
               tensor("output_norm.weight", [8], F32, 192)]
    lists = [numbers("llama.attention.head_count_kv", [2, 1]), words("tokenizer.ggml.tokens", ["a", "bc", ""])]
    return {"whole": gguf(values, tensors, 224), "old": gguf(values, tensors, 224, version=2),
            "lists": gguf(values + lists, tensors, 224), "short": gguf(values, tensors, 100),
            "empty": gguf([], [], 0), "split": gguf([number("split.no", 1), number("split.count", 3)], [], 0)}


def safetensors_seeds():
    one = {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]}
    two = {"dtype": "F8_E4M3", "shape": [3], "data_offsets": [8, 11]}
    named = {"__metadata__": {"modelspec.architecture": "sd"}, "model.layers.0.self_attn.q": one}
    return {"empty": safetensors({}, 0), "one": safetensors({"a": one}, 8),
            "two": safetensors({"a": one, "b": two}, 11), "named": safetensors(named, 8),
            "short": safetensors({"a": one}, 7)}


SEEDS = {"gguf": gguf_seeds, "safetensors": safetensors_seeds}


def write(name, folder):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for seed, data in SEEDS[name]().items():
        (folder / seed).write_bytes(data)
