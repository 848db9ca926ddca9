"""tests/golden/arch: what C needs to check its executor over every architecture, without Python and without weights.

    python tests/reference/make_arch_goldens.py MODELS [OUT]      OUT defaults to tests/golden/arch

Reads what make_arch.py wrote in MODELS and writes text files of one format, told at the top of each: configuration,
names, shapes and ranges of the tensors (their values follow from these), ids, and some of the logits.
"""
import itertools
import json
import os
import re
import sys
import zlib

import numpy as np

from arch_configs import ALIASES, CONFIGS, CUBES, REBUILT
from make_arch import TOWERS, read_json

HEADER = """\
# Tiny models with logits from {origin}.
# Written by tests/reference/make_arch_goldens.py; do not edit.
# One word, then its values; a model ends before the next one.
#   model NAME
#   config JSON             config.json; some in the spelling of older checkpoints
#   tensor NAME DTYPE DIMS A B
#                           braces in NAME stand for each number, {{2..5}}, or each word, {{gate,up}}; one tensor for
#                           each combination. A NAME with a dot in front follows the last prefix.
#                           Element j in C order, all arithmetic in float32 and without fused multiply-add:
#                             h = FNV-1a-64 of the name; z = h + (j + 1) * 0x9E3779B97F4A7C15 modulo 2^64;
#                             z ^= z >> 30; z *= 0xBF58476D1CE4E5B9; z ^= z >> 27; z *= 0x94D049BB133111EB;
#                             z ^= z >> 31;
#                             u = (float)(z >> 40) * 2^-23 - 1; value = A + B * u
#                           BF16: that, rounded to nearest even.
#   prefix NAME             of the tensors below, braces included
#   tensors NAME            the same table of tensors as that model's, earlier in this file
#   ids ID ...              one sequence
#   std X                   of the logits: an error is small beside it (1e-4)
#   columns ID ...          the vocabulary entries of the rows
#   row POSITION LOGIT ...  of one pass over the whole sequence
#   decode WORD             ok: the reference's cached decode gives the same rows; by-design: it may not, as the rope
#                           depends on the length; upstream-defect: it does not in the reference, but should
#   prefill N POSITION LOGIT ...
#                           models without a causal mask: the first N tokens see each other only, later ones all
#                           before them
"""
CUBE = """\
# Of a dual-stream model besides:
#   input NAME DIMS A B     text, uncond (of the empty prompt) and codebook (rows of the token table), made as tensors
#   bbox X Y Z              that of uncond is 0 0 0
#   upstream POSITION LOGIT ...
#                           of the published engine's cached decode, which sees only key 0 in single layers
#   generate GUIDANCE ID ...           the best token each time, guidance falling linearly
#   generate-upstream GUIDANCE ID ...  the same with that decode
"""
NOISE = re.compile(r"transformers_version|use_cache|initializer|dropout|pdrop|return_dict|output_(hidden|att|router)|"
                   r"id2label|label2id|problem_type|chunk_size_feed|_name_or_path|is_encoder_decoder|aux_loss|"
                   r"^summary_|pretraining_tp|^rescale_|time_step_(max|floor)|^mtp_|num_logits_to_keep|"
                   r"use_mamba_kernels|use_associative_scan|^(bos|eos|pad|sep|eod)_token_id|^(torch_)?dtype$|_resid_|"
                   r"^(image|video|audio|vision|boi|eoi|im)_\w*(token|id)|^label_names|^num_classes|^task_specific|"
                   r"^fuse_|^tokenizer|^num_nextn|^enable_moe_fp32|^attn_(impl|type|uses_seq)|mtp_|"
                   r"^(feature|projector|ngram|ple|vision_feature)_|^moe_z|^moe_loss|^label|^pooling$|^image_seq|"
                   r"^init_std|^time_step_(scale|init)|layerdrop|^add_cross|^is_decoder|^user_token|^reorder_and|"
                   r"_overlap$|_cache_dtype$|^residual_in_fp32$|^multimodal_|^downsample")
POSITIONS = (0, 10, 23)
COLUMNS = 6


def tidy(config):
    """config.json without what no executor reads."""
    result = {}
    for key, value in config.items():
        if NOISE.search(key):
            continue
        if re.search("(vision|audio|talker|token2wav|code2wav)_config", key):
            value = {}
        result[key] = tidy(value) if isinstance(value, dict) else value
    return result


def runs(numbers):
    """Sorted numbers -> (first, last) of neighbours."""
    result = []
    for n in sorted(numbers):
        if result and result[-1][1] == n - 1:
            result[-1][1] = n
        else:
            result.append([n, n])
    return result


def brace(first, last):
    return str(first) if first == last else f"{{{first}..{last}}}"


def boxes(tuples):
    """Tuples of one length as products of ranges: yields a list of (first, last) for each."""
    if not next(iter(tuples)):
        yield []
        return
    tails = {}
    for head in sorted({t[0] for t in tuples}):
        rest = frozenset(t[1:] for t in tuples if t[0] == head)
        tails.setdefault(rest, []).append(head)
    for rest, heads in tails.items():
        for head in runs(heads):
            for tail in boxes(rest):
                yield [head, *tail]


def merged(names):
    """Names that differ in one part only, as one with a list of alternatives: a.{b,c}.d"""
    names = [name.split(".") for name in (n.replace("..", "\0") for n in names)]
    for at in range(-1, -max(map(len, names)) - 1, -1):
        groups = {}
        for name in names:
            part = name[at] if len(name) >= -at else None
            if part is None or "{" in part:
                groups[tuple(name), None] = [part]
            else:
                groups.setdefault((tuple(name[:at]), tuple(name[at:][1:])), []).append(part)
        names = []
        for (head, tail), parts in groups.items():
            if tail is None:
                names.append(list(head))
            else:
                names.append([*head, parts[0] if len(parts) == 1 else "{" + ",".join(parts) + "}", *tail])
    return [".".join(name).replace("\0", "..") for name in names]


def tensor_lines(tensors):
    """The lines of a table of tensors, numbers in names gathered to ranges and like names to lists."""
    groups = {}
    for name, (dtype, shape, a, b) in tensors.items():
        parts = re.split(r"(?<=\.)(\d+)(?=\.)", name)
        key = tuple(parts[::2]), f"{dtype} {' '.join(map(str, shape))} {a:.9g} {b:.9g}"
        groups.setdefault(key, set()).add(tuple(map(int, parts[1::2])))
    names = {}
    for (texts, rest), found in groups.items():
        for box in boxes(found):
            names.setdefault(rest, []).append(
                "".join(itertools.chain(*itertools.zip_longest(texts, (brace(*r) for r in box), fillvalue=""))))
    lines, prefix = [], ""
    for name, rest in sorted((name, rest) for rest, group in names.items() for name in merged(group)):
        numbered = re.match(r"[^{]*\{\d+\.\.\d+\}(?=\.)|[^{]*?\.\d+(?=\.)", name)
        if not numbered:
            lines.insert(0, f"tensor {name} {rest}\n")
            continue
        if numbered[0] != prefix:
            prefix = numbered[0]
            lines.append(f"prefix {prefix}\n")
        lines.append(f"tensor {name[len(prefix):]} {rest}\n")
    return lines


def numbers(values):
    return " ".join(f"{value:.7g}" for value in np.asarray(values).reshape(-1).tolist())


def columns_of(name, vocab):
    """A few columns in order, the last row of the vocabulary among them."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    return sorted({vocab - 1, *random.choice(vocab - 1, COLUMNS - 1, replace=False).tolist()})


def model_lines(path, name, tables):
    """Lines of a model; tables: table of tensors -> the model that has it, of this file."""
    meta, logits, ids = read_json(f"{path}/meta.json"), np.load(f"{path}/logits.npy")[0], np.load(f"{path}/ids.npy")[0]
    older = meta["legacy"] and zlib.crc32(name.encode()) % 2
    config = read_json(f"{path}/config.legacy.json" if older else f"{path}/config.json")
    # towers that see or hear play no part
    wrapped = bool({"text_config", "llm_config", "thinker_config", "vision_config"} & set(config))
    tensors = {key: value for key, value in meta["tensors"].items() if not (wrapped and re.search(TOWERS, key))}
    columns = columns_of(name, logits.shape[-1])
    table = tensor_lines(tensors)
    known = tables.setdefault("".join(table), name)
    lines = [f"model {name}\n", f"config {json.dumps(tidy(config), separators=(',', ':'))}\n",
             *(table if known == name else [f"tensors {known}\n"]),
             f"ids {' '.join(map(str, ids.tolist()))}\n", f"std {meta['std']:.9g}\n",
             f"columns {' '.join(map(str, columns))}\n"]
    lines += [f"row {p} {numbers(logits[p, columns])}\n" for p in POSITIONS if p < len(ids)]
    lines.append(f"decode {meta['decode']}\n")
    if os.path.exists(f"{path}/logits.prefill7.npy"):
        prefill = np.load(f"{path}/logits.prefill7.npy")[0]
        lines += [f"prefill 7 {p} {numbers(prefill[p, columns])}\n" for p in POSITIONS]
    if name in CUBES:
        for key, (shape, a, b) in meta["inputs"].items():
            shape = shape if key == "codebook" else shape[1:]  # the first row of the batch
            lines.append(f"input {key} {' '.join(map(str, shape))} {a:.9g} {b:.9g}\n")
        if os.path.exists(f"{path}/bbox.npy"):
            lines.append(f"bbox {numbers(np.load(f'{path}/bbox.npy')[0])}\n")
        upstream, generate = np.load(f"{path}/logits.upstream.npy")[0], meta["generate"]
        lines += [f"upstream {p} {numbers(upstream[p, columns])}\n" for p in POSITIONS if p < len(ids)]
        for word, key in (("generate", "ids"), ("generate-upstream", "upstream_ids")):
            lines.append(f"{word} {generate['guidance']:.9g} {' '.join(map(str, generate[key][0]))}\n")
    return lines


def kind(name, tensors):
    if name in CUBES:
        return "dual-stream"
    if {"text_config", "thinker_config"} & set(CONFIGS.get(name, {}).get("config", {})):
        return "multimodal"
    if any(re.search(r"A_log|conv|time_decay|lru|output_gate\b", key) for key in tensors):
        return "recurrent"
    if any("expert" in key for key in tensors):
        return "experts"
    return "dense"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    here = os.path.dirname(os.path.abspath(__file__))
    models, out = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else os.path.join(here, "..", "golden", "arch")
    files, tables = {}, {}
    for name in (*CONFIGS, *REBUILT, *ALIASES, *CUBES):
        path = os.path.join(models, name)
        word = kind(name, read_json(f"{path}/meta.json")["tensors"])
        files.setdefault(word, []).append(model_lines(path, name, tables.setdefault(word, {})))
    os.makedirs(out, exist_ok=True)
    total = 0
    for word, parts in files.items():
        origin = "cube_ref.py" if word == "dual-stream" else "transformers 5.23.0, torch 2.13.0"
        text = HEADER.format(origin=origin) + (CUBE if word == "dual-stream" else "")
        text += "".join(line for lines in parts for line in ["\n", *lines])
        with open(os.path.join(out, word + ".txt"), "w") as file:
            file.write(text)
        total += len(text)
        print(f"{word}.txt: {len(parts)} models, {len(text)} bytes")
    print(f"{total} bytes")


if __name__ == "__main__":
    main()
