"""The small checkpoints in tests/golden with which the C tests check the executor without Python.

    python tests/reference/make_goldens.py [OUT]            OUT defaults to tests/golden

Writes OUT/NAME/{config.json, model.safetensors, ids.npy, logits.npy} for every row of GOLDENS, masks, positions and
prefills of the Dream beside them (OUT/dream/CASE.*, see make_models.py), the prompts and ids of all generations as C
tables in OUT/generate.h, and OUT/README.md.  The same versions of the packages give the same bytes on one machine; on
another, logits may differ in their last bits.
"""
import os
import sys

import numpy
import safetensors
import torch
import transformers

from make_models import (GENERATE, LLAMA3, MARGIN, build, dream, find_golden, generate_cases, logits_cases,
                         qwen2_agreement, row, write_cases)

SMALL = dict(hidden_size=48, intermediate_size=72, vocab_size=96, length=12)
GOLDENS = {
    "dream": dream("bfloat16", **dict(SMALL, old=True, hidden_size=60, num_attention_heads=5, num_key_value_heads=1,
                                      mask_token_id=90, bos_token_id=89, eos_token_id=89, pad_token_id=89)),
    "qwen2-tied": row("qwen2", **dict(SMALL, intermediate_size=40, vocab_size=101, num_attention_heads=3,
                                      num_key_value_heads=1, tie_word_embeddings=True, theta=1e6)),
    "qwen3": row("qwen3", "bfloat16", **dict(SMALL, intermediate_size=56, num_attention_heads=4, head_dim=16,
                                             theta=1e6)),
    "llama-bias-llama3": row("llama", "bfloat16", **dict(SMALL, num_attention_heads=3, num_key_value_heads=1,
                                                         attention_bias=True, mlp_bias=True, rope=LLAMA3)),
    "mistral": row("mistral", "float16", **dict(SMALL, intermediate_size=56, old=True, num_attention_heads=4,
                                                sliding_window=5)),
}
PROMPT = 8

HEADER = """/* Prompts and what they become, one row for each run of a model in this directory.
   Written by tests/reference/make_goldens.py; do not edit. In no row is a decision closer than {token:g} (logit of the
   token chosen against the next), {transfer:g} (confidence of the last position filled against the next, or against the
   threshold or p) or {filter:g} (the edge of top_p or top_k): correct code has no ties to break. */
#ifndef GOLDEN_GENERATE_H
#define GOLDEN_GENERATE_H

#include <stddef.h>
#include <stdint.h>

typedef struct golden_generate {{
    const char *model, *name;
    const char *alg; /* "origin", "maskgit_plus", "topk_margin", "entropy"; "greedy": causal; "threshold" */
    int rows, prompt_len, new_tokens, steps;
    int block_length;            /* 0: no cache */
    int dual;                    /* with a cache: 1 = dual, 0 = prefix */
    int top_k;                   /* 0: off */
    float eps, top_p, threshold; /* top_p, threshold 0: off */
    float margin;                /* the closest decision of the run: how much error its ids can bear */
    const int32_t *prompt;       /* (rows, prompt_len), mask ids included */
    const uint8_t *mask;         /* (rows, prompt_len), 0 = left padding; NULL: none */
    const float *u;              /* origin with steps > 1: (steps, prompt_len + new_tokens), fill where u < p */
    const int32_t *ids;          /* (rows, prompt_len + new_tokens) */
}} golden_generate;

"""

README = """# Golden models

Small random checkpoints with the logits and ids that reference code computes from them. They are written by
`python tests/reference/make_goldens.py` (tests/reference/README.md tells how to run it); nothing is edited by hand.
Written with Python {python}, torch {torch}, transformers {transformers}, safetensors {safetensors}, NumPy {numpy}.

| directory | architecture | stored as | what it covers | logits from |
| --- | --- | --- | --- | --- |
{table}

`logits.npy` is float32 `[2, {length}, vocab]` for `ids.npy`, int32 `[2, {length}]`. In `dream/`, `CASE.json` names the
options of `cquant logits` that give `CASE.logits.npy`: positions, a mask of keys, masks of queries and keys (bool,
added float, causal), and a prefill of N tokens with the rest decoded from the cache. `generate.h` holds the prompts
and ids of all generations as C tables. Dream's logits are dream_ref.py's; over the same weights and masks
transformers' Qwen2ForCausalLM differs by at most {error:.1e} (logits have a standard deviation of {std:.1f}).

`tokenizer.h` is written by tests/reference/make_tokenizer_goldens.py.

`arch/*.txt` are 341 tiny models of 235 model types as text, without their weights, which follow from the tensors' names;
the format stands at the top of each. They are written by tests/reference/make_arch_goldens.py.

`gptq_groups.txt` is written by tests/reference/make_groups.py: which linears GPTQModel quantises together, for 191 model
types. `gptq_differences.txt`, edited by hand, says where cquant's descriptions differ from it and why; tests/test_arch.c
derives the groups and checks both.
"""


def c_literal(ctype, value):
    return str(value) if ctype != "float" else c_float(value)


def c_float(value):
    text = f"{value:.9g}"  # nine digits name every float
    return text + ("f" if "." in text or "e" in text else ".0f")


def c_array(ctype, name, values):
    lines = [f"static const {ctype} {name}[] = {{"]
    for i, value in enumerate(values):
        word = c_literal(ctype, value) + (", " if i + 1 < len(values) else "")
        if len(lines[-1]) + len(word) > 118:
            lines[-1] = lines[-1].rstrip()
            lines.append("    ")
        lines[-1] += word
    return "\n".join(lines) + "};\n"


class Table:
    """The arrays and rows of generate.h."""

    def __init__(self):
        self.arrays, self.rows = [], []

    def array(self, ctype, kind, values):
        if values is None:
            return "NULL"
        name = f"golden_{kind}_{len(self.rows)}"
        self.arrays.append(c_array(ctype, name, numpy.asarray(values).reshape(-1).tolist()))
        return name

    def add(self, model, case, alg, prompt, mask, u, ids, margins):
        prompt = numpy.asarray(prompt)
        names = [self.array("int32_t", "prompt", prompt), self.array("uint8_t", "mask", mask),
                 self.array("float", "u", u), self.array("int32_t", "ids", ids)]
        numbers = [*prompt.shape, case["new"], case.get("steps", 0), case.get("block_length", 0),
                   int(case.get("dual", False)), case.get("top_k", 0)]
        floats = [c_float(case.get(key, default)) for key, default in (("eps", 1e-3), ("top_p", 0), ("threshold", 0))]
        floats.append(c_float(min(margins.values())))
        fields = [f'"{model}"', f'"{case["case"]}"', f'"{alg}"', *map(str, numbers), *floats]
        self.rows.append("    {" + ", ".join(fields) + ",\n     " + ", ".join(names) + "},\n")

    def text(self):
        return HEADER.format(**MARGIN) + "".join(self.arrays) + \
            "\nstatic const golden_generate golden_generations[] = {\n" + "".join(self.rows) + "};\n" \
            "static const size_t golden_generation_count =\n" \
            "    sizeof golden_generations / sizeof golden_generations[0];\n\n#endif\n"


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "..", "golden")
    os.makedirs(out, exist_ok=True)
    table, lines, facts = Table(), [], {}
    for name, spec in GOLDENS.items():
        path = os.path.join(out, name)
        reference, ids, logits = build(path, name, spec)
        source = f"transformers {transformers.__version__}"
        if reference.is_dream:
            source = "dream_ref.py"
            facts = dict(error=max(qwen2_agreement(path, ids).values()), std=float(logits.std()))
            cases = logits_cases(reference, name, ids)
            write_cases(path, [case for case in cases if case[0] != f"prefill{ids.shape[1]}"])  # that is logits.npy
            for case in [*GENERATE, dict(case="origin", alg="origin", new=12, steps=4)]:
                prompt, mask, result, margins, u = find_golden(reference, name, case, PROMPT)
                alg = case.get("alg") or ("threshold" if "threshold" in case else "entropy")
                table.add(name, case, alg, prompt, mask, u, result, margins)
        else:
            for case in generate_cases(reference, name, PROMPT):
                table.add(name, dict(case="greedy", new=len(case["ids"][0]) - PROMPT), "greedy", case["prompt"], None,
                          None, case["ids"], case["margins"])
        lines.append(f"| {name} | {spec['model_type']} | {spec['dtype']} | {COVERS[name]} | {source} |")
        print(f"{name}: logits std {logits.std():.2f}", flush=True)
    with open(os.path.join(out, "generate.h"), "w") as file:
        file.write(table.text())
    with open(os.path.join(out, "README.md"), "w") as file:
        file.write(README.format(python=sys.version.split()[0], torch=torch.__version__.split("+")[0],
                                 transformers=transformers.__version__, safetensors=safetensors.__version__,
                                 numpy=numpy.__version__, table="\n".join(lines), length=SMALL["length"], **facts))


COVERS = {
    "dream": "no causal mask, q/k/v bias, one key head for five, hidden 60, head_dim 12; old config spelling",
    "qwen2-tied": "q/k/v bias, tied embeddings",
    "qwen3": "norms on query and key heads, head_dim other than hidden / heads",
    "llama-bias-llama3": "bias on every linear, llama3 rope scaling",
    "mistral": "sliding window of 5, head_dim 12; old config spelling",
}

if __name__ == "__main__":
    main()
