#!/usr/bin/env python3
"""A GGUF of the shape of Dream 7B for llama.cpp, with random codes: how long a step takes does not depend on them.

    make_gguf.py OUT.gguf --type q4_0|q4_k_m [--fraction N] [--seed N]     needs the packages gguf and numpy

The formats are those that llama-quantize gives this model: q4_0 with the head in q6_K; q4_k_m with the head, and v and
down of about half of the layers, in q6_K. Shapes and --fraction as in make_dream.py. The vocabulary is made up: the
256 bytes, and names for the rest.
"""
import argparse

import gguf
import make_dream
import numpy as np

TYPES = gguf.GGMLQuantizationType
PIECE = 1 << 26  # bytes at once, about


def more_bits(layer, layers):
    """llama-quantize's use_more_bits: these layers keep v and down in 6 bits"""
    return layer < layers // 8 or layer >= 7 * layers // 8 or (layer - layers // 8) % 3 == 2


def blocks(random, kind, count):
    """`count` blocks of random codes, with scales that give weights of about 0.02"""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    raw = random.random_raw(-(-count * size // 8)).view(np.uint8)[: count * size].reshape(count, size)
    half = lambda x: np.frombuffer(np.float16(x).tobytes(), np.uint8)  # noqa: E731
    if kind == TYPES.Q4_0:  # d, 16 bytes of codes
        raw[:, :2] = half(0.005)
    elif kind == TYPES.Q4_K:  # d, dmin, 12 bytes of scales, 128 of codes
        raw[:, :2] = half(0.0001)
        raw[:, 2:4] = half(0.0008)
    elif kind == TYPES.Q6_K:  # 128 + 64 bytes of codes, 16 of scales, d
        raw[:, 192:208] = 16
        raw[:, 208:210] = half(0.0001)
    return raw


def names(fraction, kind):
    """(name in GGUF, shape, mean, deviation, format or None for float)"""
    layers, _ = make_dream.shape(fraction)
    plain = TYPES.Q4_0 if kind == "q4_0" else TYPES.Q4_K
    inside = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
              "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
              "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down"}
    ends = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    for name, dims, mean, deviation in make_dream.tensors(fraction):
        module, end = name.rsplit(".", 1)
        form = plain if len(dims) == 2 else None
        if module in ends:
            to = ends[module]
            if to == "output":
                form = TYPES.Q6_K
        else:
            layer, module = module.removeprefix("model.layers.").split(".", 1)
            to = f"blk.{layer}.{inside[module]}"
            if form and kind == "q4_k_m" and inside[module] in ("attn_v", "ffn_down") and more_bits(int(layer), layers):
                form = TYPES.Q6_K
        yield f"{to}.{end}", dims, mean, deviation, form


def bytes_to_unicode():
    """GPT-2's letters for the 256 bytes"""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    other = [b for b in range(256) if b not in plain]
    return [chr(b) for b in plain] + [chr(256 + i) for i in range(len(other))]


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("out")
    ap.add_argument("--type", choices=["q4_0", "q4_k_m"], required=True)
    ap.add_argument("--fraction", type=int, default=1)
    ap.add_argument("--seed", type=int, default=0)
    args = ap.parse_args()
    layers, vocab = make_dream.shape(args.fraction)
    config = make_dream.config(args.fraction)
    w = gguf.GGUFWriter(args.out, "dream")
    w.add_name(f"Dream 7B, 1/{args.fraction}, random")
    w.add_context_length(2048)
    w.add_embedding_length(config["hidden_size"])
    w.add_block_count(layers)
    w.add_feed_forward_length(config["intermediate_size"])
    w.add_head_count(config["num_attention_heads"])
    w.add_head_count_kv(config["num_key_value_heads"])
    w.add_rope_freq_base(config["rope_theta"])
    w.add_layer_norm_rms_eps(config["rms_norm_eps"])
    w.add_causal_attention(False)
    w.add_vocab_size(vocab)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_0 if args.type == "q4_0" else gguf.LlamaFileType.MOSTLY_Q4_K_M)
    tokens = bytes_to_unicode() + ["ab"] + [f"<{i}>" for i in range(257, vocab)]
    kinds = [int(gguf.TokenType.NORMAL)] * vocab
    for i in (config["mask_token_id"], config["eos_token_id"]):
        kinds[i] = int(gguf.TokenType.CONTROL)
    w.add_tokenizer_model("gpt2")
    w.add_tokenizer_pre("qwen2")
    w.add_token_list(tokens)
    w.add_token_types(kinds)
    w.add_token_merges(["a b"])
    w.add_bos_token_id(config["bos_token_id"])
    w.add_eos_token_id(config["eos_token_id"])
    w.add_pad_token_id(config["pad_token_id"])
    w.add_mask_token_id(config["mask_token_id"])
    w.add_add_bos_token(False)
    w.add_bool("diffusion.shift_logits", True)
    todo = list(names(args.fraction, args.type))
    for name, dims, _, _, form in todo:
        if form is None:
            w.add_tensor_info(name, dims, np.dtype(np.float32), 4 * dims[0])
        else:
            block, size = gguf.GGML_QUANT_SIZES[form]
            row = dims[1] // block * size
            w.add_tensor_info(name, (dims[0], row), np.dtype(np.uint8), dims[0] * row, form)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_ti_data_to_file()
    random = np.random.SFC64(args.seed)
    normal = make_dream.normal_table()
    out = w.fout[0]
    for _, dims, mean, deviation, form in todo:
        w.write_padding(out, out.tell())
        if form is None:
            bits = random.random_raw(-(-dims[0] // 4)).view(np.uint16)[: dims[0]]
            out.write((mean + deviation * normal[bits]).astype("<f4").tobytes())
            continue
        block, size = gguf.GGML_QUANT_SIZES[form]
        left = dims[0] * dims[1] // block
        while left:
            n = min(left, PIECE // size)
            out.write(blocks(random, form, n).tobytes())
            left -= n
    w.write_padding(out, out.tell())
    w.close()


if __name__ == "__main__":
    main()
