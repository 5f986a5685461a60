# SPDX-License-Identifier: Apache-2.0
"""Writes models of the llama architecture with random weights, which an unmodified llama-server loads.

The vocabulary is copied from another GGUF file. Text that such a model writes is noise; its memory is that of
a real one of the same shape.
"""

import os
import struct
from dataclasses import dataclass

ALIGNMENT = 32
U32, F32, TEXT, LIST = 4, 6, 8, 9  # types of values
WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
TENSOR_F32, TENSOR_Q8_0 = 0, 8
BLOCK = 32  # elements of Q8_0: one f16 scale, 32 bytes
CONTEXT_TRAINED = 8192
TILE_BLOCKS = 32768  # random blocks that are written again and again: nobody reads the text


@dataclass
class Shape:
    embedding: int
    layers: int
    feed_forward: int
    heads: int
    kv_heads: int

    @property
    def head(self):
        return self.embedding // self.heads


SHAPES = {"small": Shape(256, 10, 1024, 4, 2), "mid": Shape(1024, 24, 4096, 16, 4)}


class Vocabulary:
    """The keys of the tokenizer, as they stand in a file."""

    def __init__(self, path):
        self.values, self.words = [], 0
        with open(path, "rb") as self.file:
            magic, _, _, keys = struct.unpack("<4sIQQ", self.file.read(24))
            if magic != b"GGUF":
                raise ValueError(f"{path} is no GGUF file; name one with a vocabulary")
            for _ in range(keys):
                self.read_value()

    def number(self, form):
        return struct.unpack(form, self.file.read(struct.calcsize(form)))[0]

    def read_value(self):
        begin = self.file.tell()
        key = self.file.read(self.number("<Q")).decode()
        count = self.skip(self.number("<I"))
        if not key.startswith("tokenizer."):
            return
        end = self.file.tell()
        self.file.seek(begin)
        self.values.append(self.file.read(end - begin))
        if key == "tokenizer.ggml.tokens":
            self.words = count

    def skip(self, kind):
        """Passes over a value; returns the length of a list."""
        if kind == TEXT:
            self.file.seek(self.number("<Q"), os.SEEK_CUR)
        elif kind == LIST:
            inner, count = self.number("<I"), self.number("<Q")
            if inner == TEXT:
                for _ in range(count):
                    self.skip(TEXT)
            else:
                self.file.seek(WIDTHS[inner] * count, os.SEEK_CUR)
            return count
        else:
            self.file.seek(WIDTHS[kind], os.SEEK_CUR)
        return 0


def text(value):
    raw = value.encode()
    return struct.pack("<Q", len(raw)) + raw


def value(key, kind, content):
    return text(key) + struct.pack("<I", kind) + content


def numbers(shape, words):
    own = {"context_length": CONTEXT_TRAINED, "embedding_length": shape.embedding, "block_count": shape.layers,
           "feed_forward_length": shape.feed_forward, "attention.head_count": shape.heads,
           "attention.head_count_kv": shape.kv_heads, "rope.dimension_count": shape.head, "vocab_size": words}
    return [value(f"llama.{key}", U32, struct.pack("<I", number)) for key, number in own.items()]


def tensors(shape, words):
    """Yields (name, extents, type); the first extent is the length of a row."""
    embedding, kv = shape.embedding, shape.kv_heads * shape.head
    yield "token_embd.weight", (embedding, words), TENSOR_Q8_0
    for i in range(shape.layers):
        for name, extents in {"attn_q": (embedding, embedding), "attn_k": (embedding, kv),
                              "attn_v": (embedding, kv), "attn_output": (embedding, embedding),
                              "ffn_gate": (embedding, shape.feed_forward), "ffn_up": (embedding, shape.feed_forward),
                              "ffn_down": (shape.feed_forward, embedding)}.items():
            yield f"blk.{i}.{name}.weight", extents, TENSOR_Q8_0
        yield f"blk.{i}.attn_norm.weight", (embedding,), TENSOR_F32
        yield f"blk.{i}.ffn_norm.weight", (embedding,), TENSOR_F32
    yield "output_norm.weight", (embedding,), TENSOR_F32
    yield "output.weight", (embedding, words), TENSOR_Q8_0


def elements(extents):
    count = 1
    for extent in extents:
        count *= extent
    return count


def size_of(extents, kind):
    return elements(extents) * 4 if kind == TENSOR_F32 else elements(extents) // BLOCK * (2 + BLOCK)


def tile():
    """Blocks with the scale 2^-12: small enough for every layer's sum to stay finite."""
    noise = os.urandom(TILE_BLOCKS * BLOCK)
    scale = struct.pack("<e", 2.0 ** -12)
    return b"".join(scale + noise[i:i + BLOCK] for i in range(0, len(noise), BLOCK))


def write_weights(out, count, pattern):
    while count > 0:
        part = pattern[:count]
        out.write(part)
        count -= len(part)


def generate(path, name, vocabulary_path):
    """Writes the model of that shape ("small" 39 MB, "mid" 0.5 GB) and returns its path."""
    shape, vocabulary = SHAPES[name], Vocabulary(vocabulary_path)
    listed = list(tensors(shape, vocabulary.words))
    values = [value("general.architecture", TEXT, text("llama")), value("general.name", TEXT, text(f"random {name}")),
              value("general.file_type", U32, struct.pack("<I", 7)),
              value("llama.attention.layer_norm_rms_epsilon", F32, struct.pack("<f", 1e-5)),
              *numbers(shape, vocabulary.words), *vocabulary.values]
    header, offset, pattern = b"", 0, tile()
    for tensor, extents, kind in listed:
        header += text(tensor) + struct.pack(f"<I{len(extents)}Q", len(extents), *extents)
        header += struct.pack("<IQ", kind, offset)
        offset += -(-size_of(extents, kind) // ALIGNMENT) * ALIGNMENT
    with open(path, "wb") as out:
        out.write(struct.pack("<4sIQQ", b"GGUF", 3, len(listed), len(values)))
        out.write(b"".join(values) + header)
        for _, extents, kind in listed:
            out.write(b"\0" * (-out.tell() % ALIGNMENT))
            count = size_of(extents, kind)
            write_weights(out, count, struct.pack("<f", 1.0) * (count // 4) if kind == TENSOR_F32 else pattern)
        out.write(b"\0" * (-out.tell() % ALIGNMENT))
    return path
