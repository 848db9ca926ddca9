"""Small random checkpoints in Hugging Face layout, with the logits that transformers computes from them.

    python tests/reference/make_models.py OUT [NAME ...]

Writes OUT/NAME/ for every row of MODELS: config.json, model.safetensors (or shards with their index), ids.npy
int32 [2, 24], logits.npy float32 [2, 24, vocab], and what check_models.py compares beside the logits:
    CASE.json           options of `cquant logits` beside --ids ids.npy; a file name stands for the array in it
    CASE.OPTION.npy     such an array: a mask, positions
    CASE.logits.npy     the logits then; NaN where they are not defined
    generate.json       prompts, options and resulting ids of `cquant generate`, and how clear each decision was

Logits come from transformers' own classes, float32, eager attention, read back from the files written here; those
of Dream, which transformers does not have, from dream_ref.py, and each is compared with Qwen2ForCausalLM over the
same weights and masks.  Weights are drawn by NumPy from a seed made of the name, so that a model is the same with
any version of PyTorch; norm gains scatter around 1, biases are not 0, logits have a standard deviation near 1.
"""
import json
import os
import shutil
import sys
import warnings
import zlib

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import numpy as np
import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache, Qwen2Config, Qwen2ForCausalLM

import dream_ref
from dream_ref import Dream, Margins

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)

ARCHITECTURE = dict(llama="LlamaForCausalLM", mistral="MistralForCausalLM", qwen2="Qwen2ForCausalLM",
                    qwen3="Qwen3ForCausalLM", Dream="DreamModel")
DTYPE = dict(float32=torch.float32, bfloat16=torch.bfloat16, float16=torch.float16)
LLAMA3 = dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
              original_max_position_embeddings=64)
YARN = dict(rope_type="yarn", factor=4.0, original_max_position_embeddings=32)


def row(model_type, dtype="float32", old=False, shards=1, rope=None, theta=10000.0, length=24, **config):
    """One model.  old: config.json as transformers 4 wrote it (rope_theta, rope_scaling, torch_dtype)."""
    base = dict(vocab_size=211, hidden_size=96, intermediate_size=160, num_hidden_layers=2, num_attention_heads=6,
                num_key_value_heads=2, max_position_embeddings=256, rms_norm_eps=1e-6, hidden_act="silu",
                tie_word_embeddings=False, bos_token_id=0, eos_token_id=1, pad_token_id=1)
    base.update(config)
    base = {key: value for key, value in base.items() if value != "absent"}
    return dict(model_type=model_type, dtype=dtype, old=old, shards=shards, rope=rope, theta=theta, length=length,
                config=base)


def dream(dtype, **config):
    extra = dict(mask_token_id=200, use_sliding_window=False, sliding_window=None, max_window_layers=28,
                 bos_token_id=199, eos_token_id=199, pad_token_id=199, theta=1e6, logit_gain=3.0)
    extra.update(config)
    return row("Dream", dtype, **extra)


MODELS = {
    "llama": row("llama", theta=500000.0),
    "llama-mha-old": row("llama", old=True, hidden_size=64, num_attention_heads=4, num_key_value_heads="absent"),
    "llama-bias-tied": row("llama", attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
    "llama-bias-old": row("llama", "float16", old=True, attention_bias=True, mlp_bias=True, hidden_size=120),
    "llama-llama3": row("llama", rope=LLAMA3),
    "llama-llama3-old": row("llama", "bfloat16", old=True, rope=LLAMA3),
    "llama-linear-old": row("llama", old=True, rope=dict(type="linear", factor=4.0)),
    "llama-yarn": row("llama", rope=dict(YARN, beta_fast=16.0, beta_slow=2.0)),
    "llama-yarn-old": row("llama", "float16", old=True, rope=YARN),
    "llama-headdim": row("llama", "bfloat16", num_attention_heads=4, head_dim=32),
    "mistral": row("mistral", "bfloat16", sliding_window=8, head_dim=16),
    "mistral-old": row("mistral", old=True, sliding_window=None),
    "qwen2-tied": row("qwen2", tie_word_embeddings=True, theta=1e6),
    "qwen2-window-old": row("qwen2", "bfloat16", old=True, num_hidden_layers=3, use_sliding_window=True,
                            sliding_window=8, max_window_layers=1, theta=1e6),
    "qwen3": row("qwen3", tie_word_embeddings=True, head_dim=32, theta=1e6),
    "qwen3-old": row("qwen3", "bfloat16", old=True, num_attention_heads=4, head_dim=20, attention_bias=False),
    "dream": dream("float32", old=True),
    "dream-shards": dream("bfloat16", old=True, shards=3, hidden_size=120),
    "dream-f16": dream("float16", hidden_size=168, intermediate_size=224, num_hidden_layers=3),
}


# ---- checkpoints ----
def seeded(*parts):
    return np.random.default_rng(zlib.crc32(" ".join(map(str, parts)).encode()))


def spell(spec):
    """config.json as a dict, in the old or the new spelling."""
    config = dict(architectures=[ARCHITECTURE[spec["model_type"]]], model_type=spec["model_type"], **spec["config"])
    config.pop("logit_gain", None)
    if spec["old"]:
        config.update(rope_theta=spec["theta"], rope_scaling=spec["rope"], torch_dtype=spec["dtype"])
    else:
        rope = dict(rope_type="default", rope_theta=spec["theta"])
        rope.update(spec["rope"] or {})
        config.update(rope_parameters=rope, dtype=spec["dtype"])
    return config


def qwen2_config(config):
    """The Qwen2 configuration with the layers of a Dream one."""
    ours = {key: value for key, value in config.items() if key not in ("model_type", "architectures", "mask_token_id")}
    return Qwen2Config(**ours)


def draw_tensors(name, spec, config):
    """Name -> float32 tensor for every parameter of the class that transformers builds from config."""
    if spec["model_type"] == "Dream":
        hf = qwen2_config(config)
    else:
        hf = AutoConfig.for_model(**{key: value for key, value in config.items() if key != "architectures"})
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in AutoModelForCausalLM.from_config(hf).state_dict().items()}
    if config["tie_word_embeddings"]:
        shapes.pop("lm_head.weight", None)
    random = seeded(name)
    tensors = {}
    for key in sorted(shapes):
        w = random.standard_normal(shapes[key])
        if "norm" in key:
            w = 1 + 0.25 * w
        elif key.endswith(".bias"):
            w = 0.3 * w
        elif "embed_tokens" in key:
            w = w / np.sqrt(shapes[key][1]) if config["tie_word_embeddings"] else w
        elif "lm_head" in key:
            w = w / np.sqrt(shapes[key][1]) * spec["config"].get("logit_gain", 1.0)
        else:  # queries and keys a little larger, so that attention is not flat
            w = w / np.sqrt(shapes[key][1]) * (1.4 if "q_proj" in key or "k_proj" in key else 1.1)
        tensors[key] = torch.from_numpy(w.astype(np.float32))
    return tensors


def write_checkpoint(path, name, spec):
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    config = spell(spec)
    with open(os.path.join(path, "config.json"), "w") as file:
        json.dump(config, file, indent=2)
        file.write("\n")
    tensors = {key: value.to(DTYPE[spec["dtype"]]) for key, value in draw_tensors(name, spec, config).items()}
    if spec["shards"] == 1:
        save_file(tensors, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
        return
    where = {}
    for i in range(spec["shards"]):
        file_name = f"model-{i + 1:05d}-of-{spec['shards']:05d}.safetensors"
        part = {key: value for n, (key, value) in enumerate(tensors.items()) if n % spec["shards"] == i}
        save_file(part, os.path.join(path, file_name), metadata={"format": "pt"})
        where.update({key: file_name for key in part})
    size = sum(value.numel() * value.element_size() for value in tensors.values())
    with open(os.path.join(path, "model.safetensors.index.json"), "w") as file:
        json.dump(dict(metadata=dict(total_size=size), weight_map=dict(sorted(where.items()))), file, indent=2)
        file.write("\n")


class Reference:
    """A checkpoint directory and what computes its logits: transformers, or dream_ref for Dream."""

    def __init__(self, path):
        with open(os.path.join(path, "config.json")) as file:
            self.config = json.load(file)
        self.is_dream = self.config["model_type"] == "Dream"
        self.vocab = self.config["vocab_size"]
        if self.is_dream:
            self.model = Dream.load(path)
            return
        self.model, info = AutoModelForCausalLM.from_pretrained(
            path, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
        problems = {kind: sorted(names) for kind, names in info.items() if names}
        if problems:
            raise ValueError(f"{path}: transformers reports {problems}")
        self.model.eval()

    @torch.no_grad()
    def logits(self, ids, mask=None, positions=None):
        ids = torch.as_tensor(np.asarray(ids)).long()
        mask = None if mask is None else torch.as_tensor(np.asarray(mask))
        positions = None if positions is None else torch.as_tensor(np.asarray(positions)).long()
        if self.is_dream:
            return self.model.forward(ids, mask, positions).numpy()
        mask = torch.ones_like(ids) if mask is None else mask  # without one, transformers reads gaps as packing
        return self.model(ids, attention_mask=mask, position_ids=positions, use_cache=False).logits.numpy()

    def greedy(self, prompt, new, margins):
        """Prompt and `new` tokens, each the most probable; every step a whole pass."""
        ids = np.asarray(prompt)
        for _ in range(new):
            last = self.logits(ids)[:, -1]
            best = np.sort(last, -1)
            margins.add("token", best[:, -1] - best[:, -2])
            ids = np.concatenate([ids, last.argmax(-1)[:, None].astype(ids.dtype)], 1)
        return ids


# ---- goldens ----
def draw_ids(random, shape, vocab, mask_id=None):
    """Random ids; with a mask id, three in ten are masked, but never the first."""
    ids = random.integers(2, vocab, shape).astype(np.int32)
    if mask_id is not None:
        ids[ids == mask_id] = 2
        hidden = random.random(shape) < 0.3
        hidden[:, 0] = False
        ids[hidden] = mask_id
    return ids


def logits_cases(reference, name, ids):
    """(case, options beyond --ids as {option: array or number}, logits): the same words as in CLI options."""
    random = seeded(name, "cases")
    batch, length = ids.shape
    keep = np.ones((batch, length), np.uint8)
    keep[0, :3] = 0
    positions = (np.cumsum(np.full((batch, length), 2), -1) + np.array([[3], [40]])[:batch]).astype(np.int32)
    cases = [("positions", {"positions": positions}, reference.logits(ids, positions=positions))]
    if not reference.is_dream:
        logits = reference.logits(ids, mask=keep)
        logits[keep == 0] = np.nan  # a causal model's padding row sees no key at all; transformers makes up something
        cases.append(("mask2d", {"mask": keep}, logits))
        for n in sorted({1, length // 3, length}):
            cases.append((f"prefill{n}", {"prefill": n}, reference.logits(ids)))
        return cases
    keep[1:, length // 2] = 0
    cases.append(("mask2d", {"mask": keep}, reference.logits(ids, mask=keep)))
    attend = random.random((batch, 1, length, length)) < 0.6
    attend[0, 0, 4] = False  # a row that sees nothing
    cases.append(("mask4d-bool", {"mask": attend}, reference.logits(ids, mask=attend)))
    bias = random.standard_normal((batch, 1, length, length)).astype(np.float32)
    bias[random.random(bias.shape) < 0.3] = -np.inf
    bias[random.random(bias.shape) < 0.1] = np.finfo(np.float32).min
    bias[:, 0, np.arange(length), np.arange(length)] = 0.5  # no row of nothing but huge negative numbers
    bias[0, 0, 5] = -np.inf
    cases.append(("mask4d-float", {"mask": bias}, reference.logits(ids, mask=bias)))
    causal = np.broadcast_to(np.tri(length, dtype=bool), (batch, 1, length, length)).copy()
    cases.append(("mask4d-causal", {"mask": causal}, reference.logits(ids, mask=causal)))
    for n in sorted({1, length // 3, length}):
        logits = reference.model.prefill_decode(torch.as_tensor(ids), n).numpy()
        cases.append((f"prefill{n}", {"prefill": n}, logits))
    return cases


# Arguments of dream_ref.generate or, with block_length, dream_ref.generate_blocks; prompts are drawn.
# infill: masks inside the prompt; pads: left padding of each row.
GENERATE = [
    dict(case="origin-1", alg="origin", new=12, steps=1),
    dict(case="maskgit", alg="maskgit_plus", new=12, steps=5),
    dict(case="maskgit-1", alg="maskgit_plus", new=12, steps=1),
    dict(case="maskgit-more-steps", alg="maskgit_plus", new=6, steps=11),
    dict(case="maskgit-eps", alg="maskgit_plus", new=12, steps=4, eps=0.1),
    dict(case="maskgit-top-k", alg="maskgit_plus", new=12, steps=5, top_k=5),
    dict(case="margin", alg="topk_margin", new=12, steps=5),
    dict(case="margin-filters", alg="topk_margin", new=8, steps=4, top_p=0.8, top_k=7),
    dict(case="entropy", alg="entropy", new=12, steps=5),
    dict(case="entropy-steps-new", alg="entropy", new=8, steps=8),
    dict(case="entropy-top-p", alg="entropy", new=8, steps=4, top_p=0.9),
    dict(case="infill", alg="entropy", new=4, steps=6, infill=True),
    dict(case="infill-inside", alg="topk_margin", new=1, steps=3, infill=True),
    dict(case="padding", alg="maskgit_plus", new=8, steps=4, pads=[3]),
    dict(case="padding-batch", alg="entropy", new=8, steps=4, pads=[0, 5]),
    dict(case="prefix", block_length=8, new=16, steps=8),
    dict(case="dual", block_length=4, new=12, steps=9, dual=True),
    dict(case="prefix-threshold", block_length=8, new=16, steps=2, threshold=0.3),
    dict(case="dual-threshold", block_length=8, new=16, steps=2, dual=True, threshold=0.3),
]
MARGIN = dict(token=1e-3, transfer=1e-3, filter=1e-4)  # ids with less to spare are not compared


def cli_options(case):
    """The options of `cquant generate` for a row of GENERATE."""
    options = ["--max-new-tokens", case["new"], "--steps", case["steps"]]
    for key, option in dict(alg="--alg", eps="--eps", top_p="--top-p", top_k="--top-k", threshold="--threshold",
                            block_length="--block-length").items():
        if key in case:
            options += [option, case[key]]
    if "block_length" in case:
        options += ["--cache", "dual" if case.get("dual") else "prefix"]
    return [str(option) for option in options]


def find_golden(reference, name, case, prompt_length):
    """Draws prompts until no decision of the run is closer than MARGIN; returns prompt, mask or None, ids, margins."""
    model = reference.model
    for attempt in range(2000):
        random = seeded(name, case["case"], attempt)
        pads = case.get("pads", [0])
        shape = (len(pads), prompt_length)
        prompt = draw_ids(random, shape, reference.vocab, model.mask_id if case.get("infill") else None)
        if not case.get("infill"):
            prompt[prompt == model.mask_id] = 2
        mask = None
        if "pads" in case:
            mask = (np.arange(prompt_length)[None] >= np.array(pads)[:, None]).astype(np.uint8)
            prompt[mask == 0] = reference.config["pad_token_id"]
        margins = Margins()
        arguments = {key: value for key, value in case.items() if key not in ("case", "infill", "pads")}
        if "block_length" in case:
            ids = dream_ref.generate_blocks(model, torch.from_numpy(prompt), margins=margins, **arguments)
        else:
            keep = None if mask is None else torch.from_numpy(mask)
            if case.get("alg") == "origin" and case["steps"] > 1:
                arguments["u"] = random.random((case["steps"], prompt_length + case["new"])).astype(np.float32)
            ids = dream_ref.generate(model, torch.from_numpy(prompt), mask=keep, margins=margins, **arguments)
        if all(margins[kind] > MARGIN[kind] for kind in margins) and not bool((ids == model.mask_id).any()):
            return prompt, mask, ids.numpy().astype(np.int32), margins, arguments.get("u")
    raise RuntimeError(f"{name}: no prompt with clear margins for {case['case']}")


def generate_cases(reference, name, prompt_length=8):
    """Rows of generate.json."""
    rows = []
    if not reference.is_dream:
        for attempt in range(200):
            random, margins = seeded(name, "greedy", attempt), Margins()
            prompt = draw_ids(random, (1, prompt_length), reference.vocab)
            ids = reference.greedy(prompt, 12, margins)
            if margins["token"] > MARGIN["token"] and not (ids == reference.config["eos_token_id"]).any():
                break
        else:
            raise RuntimeError(f"{name}: no prompt with clear margins for greedy decoding")
        return [dict(case="greedy", options=["--max-new-tokens", "12"], prompt=prompt.tolist(), mask=None,
                     ids=ids.tolist(), margins=margins)]
    for case in GENERATE:
        prompt, mask, ids, margins, _ = find_golden(reference, name, case, prompt_length)
        rows.append(dict(case=case["case"], options=cli_options(case), prompt=prompt.tolist(),
                         mask=None if mask is None else mask.tolist(), ids=ids.tolist(), margins=margins))
    return rows


def qwen2_agreement(path, ids):
    """Largest difference of logits between dream_ref and transformers' Qwen2 on the same weights, by kind of pass."""
    ours = Dream.load(path)
    theirs = Qwen2ForCausalLM(qwen2_config(ours.config)).float().eval()
    theirs.config._attn_implementation = "eager"
    theirs.load_state_dict(dream_ref.load_tensors(path), strict=not ours.config["tie_word_embeddings"])
    theirs.tie_weights()
    ids = torch.as_tensor(ids).long()
    batch, length = ids.shape
    square = (batch, 1, length, length)
    random = torch.Generator().manual_seed(1)
    attend = (torch.rand(square, generator=random) < 0.6) | torch.eye(length, dtype=torch.bool)
    bias = torch.randn(square, generator=random)
    positions = (torch.arange(length) * 3 + 7)[None].expand(batch, length)
    masks = dict(causal=torch.ones(square, dtype=torch.bool).tril(), full=torch.ones(square, dtype=torch.bool),
                 bool=attend, float=bias)
    error = {}
    with torch.no_grad():
        for kind, mask in masks.items():
            added = dream_ref.additive(mask, batch, length, length)
            error[kind] = theirs(ids, attention_mask=added, use_cache=False).logits - ours.forward(ids, mask)
        full = torch.zeros(square)
        error["positions"] = theirs(ids, attention_mask=full, position_ids=positions, use_cache=False).logits \
            - ours.forward(ids, None, positions)
        prefill, cache, rows = length // 2, DynamicCache(), []
        for start, end in [(0, prefill)] + [(i, i + 1) for i in range(prefill, length)]:
            rows.append(theirs(ids[:, start:end], attention_mask=torch.zeros(batch, 1, end - start, end),
                               position_ids=torch.arange(start, end)[None].expand(batch, -1),
                               past_key_values=cache, use_cache=True).logits)
        error["prefill"] = torch.cat(rows, 1) - ours.prefill_decode(ids, prefill)
        error["plain causal"] = theirs(ids, use_cache=False).logits - ours.forward(ids, masks["causal"])
    return {kind: float(value.abs().max()) for kind, value in error.items()}


def build(path, name, spec):
    """Checkpoint, ids.npy and logits.npy; returns the reference, ids and logits."""
    write_checkpoint(path, name, spec)
    reference = Reference(path)
    mask_id = reference.model.mask_id if reference.is_dream else None
    ids = draw_ids(seeded(name, "ids"), (2, spec["length"]), reference.vocab, mask_id)
    logits = reference.logits(ids)
    np.save(os.path.join(path, "ids.npy"), ids)
    np.save(os.path.join(path, "logits.npy"), logits)
    return reference, ids, logits


def write_cases(path, cases):
    """CASE.json (options of `cquant logits`), CASE.OPTION.npy and CASE.logits.npy for what logits_cases returned."""
    for case, options, expected in cases:
        plain = {}
        for option, value in options.items():
            plain[option] = value
            if isinstance(value, np.ndarray):
                plain[option] = f"{case}.{option}.npy"
                np.save(os.path.join(path, plain[option]), value)
        with open(os.path.join(path, f"{case}.json"), "w") as file:
            json.dump(plain, file)
            file.write("\n")
        np.save(os.path.join(path, f"{case}.logits.npy"), expected)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    out, names = sys.argv[1], sys.argv[2:] or list(MODELS)
    for name in names:
        path = os.path.join(out, name)
        reference, ids, logits = build(path, name, MODELS[name])
        write_cases(path, logits_cases(reference, name, ids))
        with open(os.path.join(path, "generate.json"), "w") as file:
            json.dump(generate_cases(reference, name), file)
        text = f"{name:18} {reference.config['model_type']:8} vocab {reference.vocab}  logits std {logits.std():.2f}"
        if reference.is_dream:
            error = qwen2_agreement(path, ids)
            text += "  vs Qwen2: " + " ".join(f"{kind} {value:.1e}" for kind, value in error.items())
            if max(error.values()) > 1e-4 * logits.std():
                raise RuntimeError(text)
        print(text, flush=True)


if __name__ == "__main__":
    main()
