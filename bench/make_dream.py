#!/usr/bin/env python3
"""A checkpoint of the shape of Dream 7B with random weights: config.json, bf16 shards of about 4 GB and their index.

    make_dream.py DIR [--fraction N] [--seed N]

7.6 billion parameters, 15.2 GB. --fraction 8 has an eighth of the layers (4 of 28, rounded) and of the vocabulary
(19008), in the full width, so that a layer costs what it costs in the whole. Weights are normal with the deviation that
Dream's initialiser has (0.02), gains are near 1, biases small. They are written a piece at a time: it takes about
100 MB of memory. The same seed gives the same bytes.
"""
import argparse
import json
import os

import numpy as np

HIDDEN, INTERMEDIATE, LAYERS, HEADS, KV_HEADS, VOCAB = 3584, 18944, 28, 28, 4, 152064
SHARD_BYTES = 4 << 30
PIECE = 1 << 22  # values at once


def bf16(x):
    """float32 -> the bits of bfloat16, to nearest, ties to even"""
    bits = np.asarray(x, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def normal_table():
    """bf16 bits of 65536 values at even steps of the standard normal distribution: 16 random bits choose one"""
    x = np.linspace(-5, 5, 200001)
    cdf = np.cumsum(np.exp(-0.5 * x * x))
    quantiles = np.interp((np.arange(65536) + 0.5) / 65536, cdf / cdf[-1], x)
    return quantiles.astype(np.float32)


def shape(fraction):
    """(layers, vocabulary) of one part in `fraction`"""
    layers = max(1, int(LAYERS / fraction + 0.5))
    vocab = max(1024, -(-(VOCAB // fraction) // 64) * 64)
    return layers, vocab


def config(fraction):
    layers, vocab = shape(fraction)
    end, mask = vocab - (VOCAB - 151643), vocab - (VOCAB - 151666)
    return {
        "architectures": ["DreamModel"], "model_type": "Dream", "hidden_size": HIDDEN, "num_hidden_layers": layers,
        "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "intermediate_size": INTERMEDIATE,
        "vocab_size": vocab, "max_position_embeddings": 131072, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
        "rope_scaling": None, "hidden_act": "silu", "attention_dropout": 0.0, "tie_word_embeddings": False,
        "use_sliding_window": False, "sliding_window": None, "max_window_layers": layers, "initializer_range": 0.02,
        "use_cache": True, "torch_dtype": "bfloat16", "mask_token_id": mask, "pad_token_id": end, "bos_token_id": end,
        "eos_token_id": end,
    }


def tensors(fraction):
    """(name, shape, mean, deviation) in the order of the file"""
    layers, vocab = shape(fraction)
    kv = HIDDEN // HEADS * KV_HEADS
    yield "model.embed_tokens.weight", (vocab, HIDDEN), 0, 0.02
    for i in range(layers):
        p = f"model.layers.{i}."
        yield p + "input_layernorm.weight", (HIDDEN,), 1, 0.1
        for name, rows in (("q", HIDDEN), ("k", kv), ("v", kv)):
            yield p + f"self_attn.{name}_proj.weight", (rows, HIDDEN), 0, 0.02
            yield p + f"self_attn.{name}_proj.bias", (rows,), 0, 0.1
        yield p + "self_attn.o_proj.weight", (HIDDEN, HIDDEN), 0, 0.02
        yield p + "post_attention_layernorm.weight", (HIDDEN,), 1, 0.1
        yield p + "mlp.gate_proj.weight", (INTERMEDIATE, HIDDEN), 0, 0.02
        yield p + "mlp.up_proj.weight", (INTERMEDIATE, HIDDEN), 0, 0.02
        yield p + "mlp.down_proj.weight", (HIDDEN, INTERMEDIATE), 0, 0.02
    yield "model.norm.weight", (HIDDEN,), 1, 0.1
    yield "lm_head.weight", (vocab, HIDDEN), 0, 0.02


def size(dims):
    return 2 * int(np.prod(dims))


def shards(fraction):
    """Lists of tensors, each of at most SHARD_BYTES unless it is one tensor."""
    shard, used = [], 0
    for t in tensors(fraction):
        if shard and used + size(t[1]) > SHARD_BYTES:
            yield shard
            shard, used = [], 0
        shard.append(t)
        used += size(t[1])
    yield shard


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("dir")
    ap.add_argument("--fraction", type=int, default=1, help="1/N of the layers and of the vocabulary (1)")
    ap.add_argument("--seed", type=int, default=0)
    args = ap.parse_args()
    if args.fraction < 1 or args.fraction > LAYERS:
        ap.error(f"--fraction {args.fraction} must be 1 to {LAYERS}")
    os.makedirs(args.dir, exist_ok=True)
    random = np.random.SFC64(args.seed)
    normal = normal_table()
    tables = {}
    split = list(shards(args.fraction))
    index, total = {}, 0
    for number, shard in enumerate(split):
        name = f"model-{number + 1:05}-of-{len(split):05}.safetensors"
        header, at = {"__metadata__": {"format": "pt"}}, 0
        for tensor, dims, _, _ in shard:
            header[tensor] = {"dtype": "BF16", "shape": list(dims), "data_offsets": [at, at + size(dims)]}
            at += size(dims)
            index[tensor] = name
        total += at
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        with open(os.path.join(args.dir, name), "wb") as f:
            f.write(len(text).to_bytes(8, "little") + text)
            for _, dims, mean, deviation in shard:
                table = tables.setdefault((mean, deviation), bf16(mean + deviation * normal))
                left = int(np.prod(dims))
                while left:
                    n = min(left, PIECE)
                    bits = random.random_raw(-(-n // 4)).astype("<u8", copy=False).view("<u2")[:n]
                    f.write(table[bits].tobytes())
                    left -= n
        print(f"{name}: {at / 1e9:.2f} GB", flush=True)
    with open(os.path.join(args.dir, "model.safetensors.index.json"), "w", encoding="utf-8") as f:
        json.dump({"metadata": {"total_size": total}, "weight_map": index}, f, indent=1)
    with open(os.path.join(args.dir, "config.json"), "w", encoding="utf-8") as f:
        json.dump(config(args.fraction), f, indent=1)
    print(f"{args.dir}: {total // 2 / 1e9:.3f} billion parameters, {total / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
