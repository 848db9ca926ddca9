"""Tiny checkpoints of many architectures in Hugging Face layout, with the logits that transformers computes from them.

    python tests/reference/make_arch.py OUT [NAME ...]

Writes OUT/NAME/ for every row of arch_configs.py: config.json and model.safetensors as save_pretrained writes them,
so with the names that real checkpoints have on disk; ids.npy int32 [2, 24]; logits.npy float32 [2, 24, vocab]; and
meta.json:
    model_type, origin         "transformers", or "rebuilt": the same layers under another model's names
    decode                     "ok", "by-design" (the rope changes with the length) or "upstream-defect": does the
                               reference's own cached decode give the logits of its full pass?
    decode_vs_full             the largest difference of the two over the standard deviation, or why there is none
    legacy                     config.legacy.json is there: the same in the spelling of older hub checkpoints
    float64                    the largest difference to the same pass in float64, over the standard deviation
    unused                     parameters that do not change the logits; NAME[e]: of expert e
    tensors                    name -> [dtype, shape, a, b]
Beside them OUT/NAME--fused (experts stored as transformers keeps them in memory), OUT/NAME--shards, and OUT/cube-*: the
dual-stream models of cube_ref.py with text.npy, uncond.npy, codebook.npy, bbox.npy, the logits of the published
engine's cached decode in logits.upstream.npy, and generated ids in meta.json.

Weights are a function of the tensor's name, so that they need not be stored to be had elsewhere (see weights()).
"""
import copy
import json
import os
import re
import shutil
import sys
import tempfile
import warnings
import zlib

os.environ.setdefault("HF_HUB_OFFLINE", "1")
warnings.filterwarnings("ignore")

import numpy as np
import torch
import torch.nn.functional as F
import transformers
from safetensors import safe_open
from safetensors.torch import save_file
from torch.overrides import TorchFunctionMode
from transformers import AutoConfig

from arch_configs import ALIASES, BF16, BOX, CONFIGS, CUBES, FUSED, REBUILT, SHARDS
from cube_ref import Cube, shapes

transformers.logging.set_verbosity_error()
transformers.logging.disable_progress_bar()
torch.set_num_threads(1)

LENGTH = 24
MARGIN = 1e-4  # no expert is chosen by less
# Eager attention of falcon in transformers 5.23 adds alibi twice: with the mask and to the scores.
SDPA = {"falcon__rw_alibi"}
# Ropes whose frequencies depend on the length of the sequence: what the cache holds was made for a shorter one.
BY_DESIGN = ("dynamic", "longrope")


# Names of what sees or hears, beside the text model: never used when only ids are given.
TOWERS = r"vision|visual|audio|projector|merger|aligner|connector|resampler|view_separator|vit\b|mlp_AR"


# ---- weights ----
def weights(name, shape, a, b):
    """float32 [shape] of a + b*u, u in [-1, 1) from splitmix64 over the FNV-1a hash of the name; C does the same."""
    mask = (1 << 64) - 1
    h = 0xcbf29ce484222325
    for byte in name.encode():
        h = (h ^ byte) * 0x100000001b3 & mask
    count = int(np.prod(shape, dtype=np.int64))
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    u = (z >> np.uint64(40)).astype(np.float32) * np.float32(2.0 ** -23) - np.float32(1)
    return (np.float32(a) + np.float32(b) * u).reshape(shape)


ROUTERS = ("gate", "router", "wg", "classifier")
QUERIES = ("q_proj", "k_proj", "query_key_value", "qkv_proj", "c_attn", "wqkv", "Wqkv", "W_pack", "q_b_proj", "c_qk")
CONV1D = ("c_attn.weight", "c_proj.weight", "c_fc.weight")  # gpt2 stores [in, out]


def spread(name, value, model_type):
    """(a, b) of a tensor, from its name, shape and initial value: gains around what training leaves.

    Norm gains scatter by half around the initial 1 (or 0, where the layer adds 1), biases by 0.35; matrices have a
    variance of gain^2 / fan_in.
    """
    path = name.split(".")
    last, shape = path[-1], tuple(value.shape)
    module = path[-2] if len(path) > 1 else ""
    if last == "A_log":
        return 0.8, 0.7
    if last == "dt_bias":
        return -1, 0.85
    if last == "D":
        return 1, 0.5
    if last == "e_score_correction_bias" or last == "expert_bias":
        return 0, 0.17
    if last == "sinks":
        return 0, 1.7
    if value.dim() <= 1:
        if model_type == "nemotron" and "norm" in name and last == "weight":
            return 0, 0.5
        if model_type == "rwkv" and "time_" in last:
            return 0.5, 0.5
        if last != "bias" and value.numel() and bool((value == 1).all()):
            return 1, 0.5
        if "norm" in name and last == "weight":
            return 0, 0.5
        return 0, 0.35 if "bias" in last else 0.85
    if "embed" in name or module in ("wte", "wpe"):
        return 0, 0.85 if "pos" in name or module == "wpe" else 1.7
    gain = 1.3
    if value.dim() == 3 and shape[1] == 1:  # depthwise convolution
        fan = shape[2]
    elif value.dim() == 3 and model_type in ("gpt_oss", "llama4_text", "llama4", "qwen3_vl_moe"):
        fan = shape[1]
    elif model_type == "gpt2" and name.endswith(CONV1D):
        fan = shape[0]
    elif model_type == "dbrx" and last == "w2":
        fan = 32
    elif value.dim() > 3:
        fan = int(np.prod(shape[1:]))
    else:
        fan = shape[-1]
    if (module in ROUTERS or (module == "layer" and "router" in name)) and shape[0] <= 16:
        gain = 2.0
    elif module in QUERIES:
        gain = 1.6
    return 0, float(f"{gain * (3 / fan) ** 0.5:.3g}")


def draw(initial, model_type, buffers=()):
    """name -> (float32 tensor, a, b) for every tensor of a checkpoint but constants that are stored in it."""
    result = {}
    for name, value in initial.items():
        if name in buffers or not value.is_floating_point():
            continue
        a, b = spread(name, value, model_type)
        result[name] = (torch.from_numpy(weights(name, tuple(value.shape), a, b)), a, b)
    return result


# ---- reference models ----
def load_file(path):
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}


def load_model(path, cls, attention):
    cls, _, part = cls.partition(".")
    if cls == "Qwen2_5OmniForConditionalGeneration":  # whose from_pretrained wants the file of its voices
        cls, part = "Qwen2_5OmniThinkerForConditionalGeneration", ""
    model, info = getattr(transformers, cls).from_pretrained(
        path, dtype=torch.float32, attn_implementation=attention, output_loading_info=True)
    problems = {kind: sorted(names) for kind, names in info.items() if names}
    if problems:
        raise ValueError(f"transformers reports {str(problems)[:500]}")
    stored = load_file(os.path.join(path, "model.safetensors"))
    changed = [name for name, value in model.state_dict().items()
               if name in stored and stored[name].shape == value.shape
               and not torch.equal(value, stored[name].to(value.dtype))]
    if changed:  # youtu zeroes the row of pad_token_id, also of a checkpoint
        raise ValueError(f"transformers loads other values than stored: {changed[:4]}")
    if hasattr(model, "set_experts_implementation"):
        model.set_experts_implementation("eager")
    return (getattr(model, part) if part else model).eval()


class DeepseekMoE(torch.nn.Module):
    """The experts of DeepSeek-MoE: softmax over all, the best k, shared experts beside as one MLP."""

    def __init__(self, c):
        super().__init__()
        hidden, inner, self.k, self.norm = (c["hidden_size"], c["moe_intermediate_size"], c["num_experts_per_tok"],
                                            c["norm_topk_prob"])

        def mlp(width):
            linear = {name: torch.nn.Linear(hidden, width, bias=False) for name in ("gate_proj", "up_proj")}
            return torch.nn.ModuleDict(dict(linear, down_proj=torch.nn.Linear(width, hidden, bias=False)))
        experts = c.get("n_routed_experts") or c["num_experts"]
        self.experts = torch.nn.ModuleList([mlp(inner) for _ in range(experts)])
        self.gate = torch.nn.Linear(hidden, experts, bias=False)
        self.shared_experts = mlp(inner * (c.get("n_shared_experts") or c["num_shared_experts"]))

    @staticmethod
    def run(mlp, x):
        return mlp["down_proj"](F.silu(mlp["gate_proj"](x)) * mlp["up_proj"](x))

    def forward(self, x):
        weight, index = torch.topk(F.softmax(self.gate(x), -1), self.k, -1)
        if self.k > 1 and self.norm:
            weight = weight / (weight.sum(-1, keepdim=True) + 1e-20)
        y = self.run(self.shared_experts, x)
        for e, expert in enumerate(self.experts):  # an expert without a share adds 0
            y = y + (weight * (index == e)).sum(-1, keepdim=True) * self.run(expert, x)
        return y


def alibi_mask(heads, length):
    """Additive [1, heads, length, length]: causal, and the slopes of alibi."""
    slope = 2.0 ** (-8.0 * torch.arange(1, heads + 1) / heads)  # heads is a power of 2 here
    at = torch.arange(length)
    bias = slope[:, None, None] * (at[None, :] - at[:, None])
    return bias.masked_fill(at[None, :] > at[:, None], torch.finfo(torch.float32).min)[None]


class KlearMoE(DeepseekMoE):
    """Those of Klear: sigmoid, a bias that only chooses, routed and shared experts mixed by a softmax of two."""

    def __init__(self, c):
        super().__init__(c)
        self.expert_bias = torch.nn.Parameter(torch.zeros(c["num_experts"]))
        self.coefficient = torch.nn.Linear(c["hidden_size"], 2)

    def forward(self, x):
        score = torch.sigmoid(self.gate(x))
        index = torch.topk(score + self.expert_bias, self.k, -1)[1]
        weight = score.gather(-1, index)
        if self.norm:
            weight = weight / weight.sum(-1, keepdim=True)
        y = 0
        for e, expert in enumerate(self.experts):
            y = y + (weight * (index == e)).sum(-1, keepdim=True) * self.run(expert, x)
        mix = F.softmax(self.coefficient(x), -1)
        return y * mix[..., :1] + self.run(self.shared_experts, x) * mix[..., 1:]


def norms_before(layer):
    """A layer of olmo2 with its norms before its blocks in place of behind."""
    def run(x, **arguments):
        x = x + layer.self_attn(hidden_states=layer.post_attention_layernorm(x), **arguments)[0]
        return x + layer.mlp(layer.post_feedforward_layernorm(x))
    layer.forward = run


def pieces(base, name, value):
    """What a tensor of base is in pieces on disk: names and views of it."""
    found = re.fullmatch(r"(.*\.experts)\.(gate_up_proj|up_proj|down_proj)", name)
    if found and value.dim() == 3:  # all experts in one
        for e, expert in enumerate(value):
            if found[2] == "gate_up_proj":
                for part, view in zip(("gate_proj", "up_proj"), expert.chunk(2)):
                    yield f"{found[1]}.{e}.{part}.weight", view
            else:
                yield f"{found[1]}.{e}.{found[2]}.weight", expert
    elif base == "dbrx" and name.endswith("Wqkv.weight"):
        inner = value.shape[1]
        for part, view in zip("qkv", value.split([inner, (len(value) - inner) // 2, (len(value) - inner) // 2])):
            yield name.replace("Wqkv", part + "_proj"), view
    elif base == "dbrx" and ".experts.mlp." in name:
        for e, view in enumerate(value.view(8, -1, value.shape[1])):
            yield name.replace("mlp.", f"mlp.{e}.") + ".weight", view.T if name.endswith("w2") else view
    else:
        yield name, value


class Rebuilt:
    """A row of REBUILT: base's model and the way between its tensors and those on disk."""

    def __init__(self, spec):
        self.spec = spec
        config = AutoConfig.for_model(spec["base"], **copy.deepcopy(spec["base_config"]))
        text = config.get_text_config()
        self.heads = (text.num_attention_heads, text.num_key_value_heads) if spec["qkv"] else None
        build = getattr(transformers, spec["cls"]).from_config
        self.model = build(config, attn_implementation="eager").float().eval()
        if hasattr(self.model, "set_experts_implementation"):
            self.model.set_experts_implementation("eager")
        self.patch(spec["patch"], text)
        self.model.eval()

    def patch(self, patch, config):
        c = self.spec["config"]
        c = next((c[key] for key in ("text_config", "language_config") if key in c), c)
        for i, layer in enumerate(getattr(self.model.base_model, "layers", ())):
            if patch == "deepseek_moe" and i >= c["first_k_dense_replace"] and i % c.get("moe_layer_freq", 1) == 0:
                layer.mlp = DeepseekMoE(c)
            elif patch == "klear" and i not in c["mlp_only_layers"]:
                layer.mlp = KlearMoE(c)
            elif patch == "norms_before":
                norms_before(layer)
            elif patch == "kv_heads":
                config.num_key_value_heads = c["num_key_value_heads_per_layer"][i]
                layer.self_attn = type(layer.self_attn)(copy.deepcopy(config), i)
            elif patch == "output_bias":
                layer.self_attn.o_proj = torch.nn.Linear(c["hidden_size"], c["hidden_size"])
                layer.mlp.down_proj = torch.nn.Linear(layer.mlp.down_proj.in_features, c["hidden_size"])
        if patch == "alibi":
            self.model.model.rotary_emb.inv_freq.zero_()  # no angle: no rotation
        if patch == "output_rows":
            self.model.lm_head = torch.nn.Linear(c["hidden_size"], c["output_vocab_size"], bias=False)

    def plan(self):
        """Name on disk -> views of base's tensors: one, or those that are stored as one."""
        tied, state = self.model.config.tie_word_embeddings, self.model.state_dict()
        constant = {name for name, _ in self.model.named_buffers() if not re.search("bias|scalar", name)}
        fused, layout = self.spec["qkv"] or (None, None)
        together = "kv" if layout == "kv" else "qkv" if fused else ""
        result = {}
        for whole, value in state.items():
            if whole in constant or (tied and whole == "lm_head.weight"):
                continue
            if "text_config" in self.spec["base_config"] and re.search(TOWERS, whole):
                continue
            for name, view in pieces(self.spec["base"], whole, value):
                views = [view]
                if any(f"{x}_proj" in name for x in together[1:]):
                    continue
                if together and f"{together[0]}_proj" in name:
                    views = [state[name.replace(f"{together[0]}_proj", f"{x}_proj")] for x in together]
                    name = name.replace(f"{together[0]}_proj", fused)
                for old, new in self.spec["rename"]:
                    name = name.replace(old, new)
                result[name] = views
        return result

    def to_disk(self):  # shapes only; the order is in from_disk
        return {name: torch.cat(views) if len(views) > 1 else views[0] for name, views in self.plan().items()}

    def from_disk(self, tensors):
        heads, groups = self.heads or (0, 0)
        with torch.no_grad():
            for name, views in self.plan().items():
                value, rows = tensors[name], [len(view) for view in views] if views[0].dim() else []
                if len(views) == 1:
                    parts = [value]
                elif self.spec["qkv"][1] == "cat":
                    parts = value.split(rows)
                else:  # in each group of keys its queries, its key and its value
                    size, rest = sum(rows) // (heads + 2 * groups if len(views) == 3 else 2 * groups), value.shape[1:]
                    each = [row // size // groups for row in rows]
                    grouped = value.view(groups, sum(each), size, *rest)
                    parts = [part.reshape(-1, *rest) for part in grouped.split(each, 1)]
                for view, part in zip(views, parts):
                    view.copy_(part)
            if self.spec["patch"] == "normhead":
                self.model.lm_head.weight.copy_(F.normalize(self.model.lm_head.weight))
        self.model.tie_weights()

    def arguments(self, length, mask=None):
        """What the forward pass takes beside ids: a mask where the model is not causal."""
        if self.spec["patch"] == "alibi":
            return dict(attention_mask=alibi_mask(self.heads[0], length))
        if self.spec["patch"] == "bidirectional":
            allowed = torch.ones(length, length, dtype=torch.bool) if mask is None else mask
            floor = torch.finfo(torch.float32).min
            return dict(attention_mask=torch.zeros(length, length).masked_fill(~allowed, floor)[None, None])
        return {}


def forward(model, ids, **arguments):
    with torch.no_grad():
        return model(torch.from_numpy(ids).long(), use_cache=False, **arguments).logits


class Choices(TorchFunctionMode):
    """Notes how clear every top-k of a pass is: the k-th value less the next."""

    def __init__(self):
        super().__init__()
        self.margin = float("inf")

    def __torch_function__(self, function, types, arguments=(), kwargs=None):
        kwargs = kwargs or {}
        if getattr(function, "__name__", "") == "topk":
            x = arguments[0]
            k = arguments[1] if len(arguments) > 1 else kwargs["k"]
            dim = arguments[2] if len(arguments) > 2 else kwargs.get("dim", -1)
            if x.is_floating_point() and 0 < k < x.shape[dim]:
                best = x.detach().sort(dim, descending=True)[0]
                gap = best.select(dim, k - 1) - best.select(dim, k)
                gap = gap[best.select(dim, k) > -1e30]  # no choice where the next is masked
                if gap.numel():
                    self.margin = min(self.margin, float(gap.min()))
        return function(*arguments, **kwargs)


def draw_ids(name, vocab, model, arguments):
    """Ids for which no choice of an expert is close and, as far as a few attempts find them, every expert is chosen."""
    best = None
    for attempt in range(500):
        random = np.random.default_rng(zlib.crc32(f"{name} {attempt}".encode()))
        ids = random.integers(3, vocab - 8, (2, LENGTH)).astype(np.int32)
        ids[:, 0] = 1
        ids[:, 13] = ids[:, 5]
        with Choices() as choices:
            logits = forward(model, ids, **arguments)
        if choices.margin <= MARGIN:
            continue
        unused = unused_parameters(model, ids, arguments)
        if best is None or len(unused) < len(best[3]):
            best = ids, logits.float().numpy(), choices.margin, unused
        if attempt >= 12 or not any("[" in name for name in unused):
            break
    if best is None:
        raise RuntimeError(f"no ids with clear choices; the last margin is {choices.margin:.1e}")
    return best


def cached_decode(model, ids):
    """Logits of a pass token by token over the model's own cache."""
    x, past, rows = torch.from_numpy(ids).long(), None, []
    key = "past_key_values"
    with torch.no_grad():
        for t in range(x.shape[1]):
            out = model(x[:, t:t + 1], use_cache=True, **({} if past is None else {key: past}))
            for key in ("past_key_values", "cache_params", "state"):
                past = getattr(out, key, None)
                if past is not None:
                    break
            if past is None:
                raise ValueError("the model returns no cache")
            rows.append(out.logits[:, -1])
    return torch.stack(rows, 1).float().numpy()


def unused_parameters(model, ids, arguments):
    """Names of parameters whose change would not change the logits."""
    for p in model.parameters():
        p.grad = None
        p.requires_grad_(p.is_floating_point())
    logits = model(torch.from_numpy(ids).long(), use_cache=False, **arguments).logits
    weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1))
    (logits * weight).sum().backward()
    unused = []
    for name, p in model.named_parameters():
        if p.grad is None or not bool(p.grad.abs().max() > 0):
            unused.append(name)
        elif p.dim() == 3 and "expert" in name:
            unused += [f"{name}[{e}]" for e in range(len(p)) if not bool(p.grad[e].abs().max() > 0)]
    return unused


def choosing(model, ids, arguments, logits, unused):
    """Those of the unused parameters that do matter, by what is chosen: other values give other logits."""
    parameters, found = dict(model.named_parameters()), []
    with torch.no_grad():
        for name in unused:
            if name not in parameters:
                continue
            p = parameters[name]
            kept = p.clone()
            p.copy_(-p.flip(0))
            if not np.array_equal(forward(model, ids, **arguments).numpy(), logits):
                found.append(name)
            p.copy_(kept)
    return found


def float64_error(model, ids, arguments, logits):
    arguments = {key: value.double() for key, value in arguments.items()}
    try:
        exact = forward(model.double(), ids, **arguments).double().numpy()
    except (RuntimeError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"[:150]
    finally:
        model.float()
    return float(np.abs(exact - logits).max() / logits.std())


# ---- config.json as older hub checkpoints spell it ----
LETTER = dict(mamba="M", linear_attention="M", attention="*", full_attention="*", mlp="-", moe="E")
MIXERS = dict(linear_attention="mamba", full_attention="attention")
PATTERN = dict(cohere2=4, gemma3_text=6)
NO_LAYER_TYPES = ("cohere2", "gemma2", "gemma3_text", "llama4_text", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe",
                  "qwen3_next", "smollm3", "vaultgemma")


def legacy_config(config, rename=True):
    """The same configuration with rope_theta, rope_scaling, torch_dtype and, with rename, other keys of that time."""
    c, kind = copy.deepcopy(config), config["model_type"]
    for key in ("text_config", "thinker_config"):
        if isinstance(c.get(key), dict):
            c[key] = legacy_config(c[key], rename)
    if "dtype" in c:
        c["torch_dtype"] = c.pop("dtype")
    rope = c.pop("rope_parameters", None)
    if rope and all(isinstance(value, dict) for value in rope.values()):
        full, sliding = rope["full_attention"], rope["sliding_attention"]
        if full["rope_type"] != "default":
            raise ValueError("no older spelling of this rope")
        if kind.startswith("modernbert"):
            c.update(global_rope_theta=full["rope_theta"], local_rope_theta=sliding["rope_theta"])
        else:
            c.update(rope_theta=full["rope_theta"], rope_scaling=None)
            if sliding["rope_theta"] != full["rope_theta"]:
                c["rope_local_base_freq"] = sliding["rope_theta"]
    elif rope:
        theta, scaling = rope.pop("rope_theta", 10000.0), rope.pop("rope_type", "default")
        partial = rope.pop("partial_rotary_factor", None)
        c["rope_theta"] = theta
        c["rope_scaling"] = None if scaling == "default" and not rope else dict(rope, **{
            "rope_type" if scaling in ("default", "llama3") else "type": scaling})
        if kind == "gpt_neox":
            c["rotary_emb_base"] = c.pop("rope_theta")
            c["rotary_pct"] = partial
            del c["rope_scaling"]
        elif partial is not None and not (rename and kind == "minimax_m2"):  # that has rotary_dim
            c["partial_rotary_factor"] = partial
        if kind == "dbrx":
            c["attn_config"]["rope_theta"] = c.pop("rope_theta")
            del c["rope_scaling"]
    if not rename:
        return c
    if kind in NO_LAYER_TYPES:
        c.pop("layer_types", None)
    if kind in PATTERN:
        c["sliding_window_pattern"] = PATTERN[kind]
    if kind == "qwen3_next":
        c["full_attention_interval"] = config["layer_types"].index("full_attention") + 1
    if kind == "granitemoehybrid":
        c["layer_types"] = [MIXERS[name] for name in c["layer_types"]]
    if kind == "zamba2":
        c["layers_block_type"] = [MIXERS.get(name, name) for name in c["layers_block_type"]]
    if kind == "nemotron_h":
        layers = c.pop("layers_block_type")
        c["hybrid_override_pattern"] = "".join(LETTER[name] for name in layers)
        c["num_hidden_layers"] = len(layers)
    if kind == "bloom":
        c["n_embed"], c["num_attention_heads"] = c.pop("hidden_size"), c.pop("n_head")
    layers = c.get("mlp_layer_types")
    if layers and layers == sorted(layers) and kind not in ("cohere2_moe", "laguna", "minimax_m3_vl_text"):
        del c["mlp_layer_types"]
        c["first_k_dense_replace"] = layers.count("dense")
    return c


# ---- directories ----
def write_json(path, value):
    with open(path, "w") as file:
        json.dump(value, file, indent=1)
        file.write("\n")


def read_json(path):
    with open(path) as file:
        return json.load(file)


def write_shards(path, source, count):
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    tensors, where = load_file(os.path.join(source, "model.safetensors")), {}
    for i in range(count):
        file_name = f"model-{i + 1:05d}-of-{count:05d}.safetensors"
        part = {name: value for n, (name, value) in enumerate(tensors.items()) if n % count == i}
        save_file(part, os.path.join(path, file_name), metadata={"format": "pt"})
        where.update({name: file_name for name in part})
    size = sum(value.numel() * value.element_size() for value in tensors.values())
    write_json(os.path.join(path, "model.safetensors.index.json"),
               dict(metadata=dict(total_size=size), weight_map=dict(sorted(where.items()))))
    for name in ("config.json", "ids.npy", "logits.npy", "meta.json"):
        shutil.copy(os.path.join(source, name), path)


def write_fused(path, source, model, cls, attention, ids, logits):
    """The tensors as transformers keeps them in memory: experts.gate_up_proj [E, 2I, h], down_proj [E, h, I]."""
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    tied = model.config.tie_word_embeddings
    state = {name: value.contiguous() for name, value in model.state_dict().items()
             if not (tied and name == "lm_head.weight")}
    save_file(state, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
    for name in ("config.json", "ids.npy", "logits.npy"):
        shutil.copy(os.path.join(source, name), path)
    meta = read_json(os.path.join(source, "meta.json"))
    meta.update(legacy=False, tensors={})
    write_json(os.path.join(path, "meta.json"), meta)
    same(path, cls, attention, ids, logits, "fused experts")


def same(path, cls, attention, ids, logits, what):
    error = float(np.abs(forward(load_model(path, cls, attention), ids).float().numpy() - logits).max())
    if error > 1e-5 * logits.std():
        raise ValueError(f"{what}: transformers' logits differ by {error:.1e}")


def write_legacy(path, cls, attention, ids, logits, rename):
    """config.legacy.json, if transformers reads it as the same model."""
    legacy = legacy_config(read_json(os.path.join(path, "config.json")), rename)
    with tempfile.TemporaryDirectory() as other:
        write_json(os.path.join(other, "config.json"), legacy)
        os.symlink(os.path.abspath(os.path.join(path, "model.safetensors")), os.path.join(other, "model.safetensors"))
        if legacy["model_type"] != "dbrx":  # transformers 5.23 does not read attn_config.rope_theta
            same(other, cls, attention, ids, logits, "legacy config")
    write_json(os.path.join(path, "config.legacy.json"), legacy)


def as_on_the_hub(model_type, tensors):
    """What save_pretrained of transformers 5.23 does not undo of its own names and layouts."""
    if model_type == "kimi_k25":
        return {name.replace("language_model.model.blocks.", "language_model.model.layers."): value
                for name, value in tensors.items()}
    if model_type == "qwen3_vl_moe":  # [E, h, 2I] and [E, I, h]
        return {name: value.transpose(1, 2).contiguous() if "experts" in name else value
                for name, value in tensors.items()}
    return tensors


def build_checkpoint(path, name, spec):
    """config.json and model.safetensors; returns the model that reads them back and the table of tensors."""
    torch.manual_seed(0)
    attention = "sdpa" if name in SDPA else "eager"
    config = AutoConfig.for_model(spec["model_type"], **copy.deepcopy(spec["config"]))
    config._attn_implementation = attention
    model = getattr(transformers, spec["cls"].partition(".")[0])
    build = getattr(model, "from_config", None) or model._from_config
    model = build(config, attn_implementation=attention).float()
    buffers = {key for key, _ in model.named_buffers() if not re.search("bias|scalar", key)}  # those are trained
    model.save_pretrained(path)
    for file_name in os.listdir(path):
        if file_name not in ("config.json", "model.safetensors"):
            os.remove(os.path.join(path, file_name))
    file_name = os.path.join(path, "model.safetensors")
    initial = as_on_the_hub(spec["model_type"], load_file(file_name))
    drawn = draw(initial, spec["model_type"], buffers)
    dtype = torch.bfloat16 if name in BF16 else torch.float32
    tensors = dict(initial, **{key: value.to(dtype) for key, (value, a, b) in drawn.items()})
    save_file(tensors, file_name, metadata={"format": "pt"})
    if name in BF16:
        saved = read_json(os.path.join(path, "config.json"))
        write_json(os.path.join(path, "config.json"), dict(saved, dtype="bfloat16"))
    table = {key: ["BF16" if name in BF16 else "F32", list(value.shape), a, b]
             for key, (value, a, b) in drawn.items()}
    return load_model(path, spec["cls"], attention), table, attention


def build_alias(out, name):
    spec, path, source = ALIASES[name], os.path.join(out, name), os.path.join(out, ALIASES[name]["of"])
    if not os.path.exists(os.path.join(source, "meta.json")):
        build(out, spec["of"])
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    for file_name in ("ids.npy", "logits.npy", "logits.prefill7.npy", "model.safetensors"):
        if os.path.exists(os.path.join(source, file_name)):
            shutil.copy(os.path.join(source, file_name), path)
    legacy = os.path.join(source, "config.legacy.json")
    config = read_json(legacy if os.path.exists(legacy) else os.path.join(source, "config.json"))
    config = {spec["move"].get(key, key): value for key, value in config.items() if key not in spec["drop"]}
    write_json(os.path.join(path, "config.json"), dict(config, model_type=spec["model_type"], **spec["config"]))
    meta = read_json(os.path.join(source, "meta.json"))
    meta.update(origin="rebuilt", model_type=spec["model_type"], legacy=False)
    write_json(os.path.join(path, "meta.json"), meta)
    print(f"ok   {name:30} as {spec['of']}", flush=True)


def build(out, name):
    if name in ALIASES:
        return build_alias(out, name)
    path = os.path.join(out, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    rebuilt = None
    meta = dict(origin="transformers")
    if name in REBUILT:
        spec = REBUILT[name]
        rebuilt = Rebuilt(spec)
        drawn = draw(rebuilt.to_disk(), spec["model_type"])
        tensors = {key: value for key, (value, a, b) in drawn.items()}
        table = {key: ["F32", list(value.shape), a, b] for key, (value, a, b) in drawn.items()}
        save_file(tensors, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
        write_json(os.path.join(path, "config.json"), spec["config"])
        rebuilt.from_disk(tensors)
        model, meta["origin"] = rebuilt.model, "rebuilt"
    else:
        spec = CONFIGS[name]
        model, table, attention = build_checkpoint(path, name, spec)
    arguments = rebuilt.arguments(LENGTH) if rebuilt else {}
    vocab = model.get_input_embeddings().weight.shape[0]
    if rebuilt:
        vocab = min(vocab, model.get_output_embeddings().weight.shape[0])
    ids, logits, margin, meta["unused"] = draw_ids(name, vocab, model, arguments)
    std = float(logits.std())
    if not np.isfinite(logits).all() or not 0.3 < std < 30:
        raise ValueError(f"logits: finite {np.isfinite(logits).mean():.2f} of all, standard deviation {std:.3g}")
    np.save(os.path.join(path, "ids.npy"), ids)
    np.save(os.path.join(path, "logits.npy"), logits.astype(np.float32))

    meta.update(model_type=spec["model_type"], std=std, margin=None if margin == float("inf") else margin, legacy=False)
    bidirectional = rebuilt and spec["patch"] == "bidirectional"
    try:
        if bidirectional:  # tokens from the cache see each other causally: another mask, not another model
            mask = (torch.arange(LENGTH)[None] < 7) | torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
            mask[:7, 7:] = False
            np.save(os.path.join(path, "logits.prefill7.npy"), forward(model, ids, **rebuilt.arguments(LENGTH, mask)))
            raise ValueError("bidirectional: see logits.prefill7.npy")
        if rebuilt and spec["patch"] == "alibi":
            raise ValueError("alibi comes from a mask")
        difference = float(np.abs(cached_decode(model, ids) - logits).max() / std)
        meta["decode_vs_full"] = difference
        meta["decode"] = "ok" if difference < 1e-4 else "upstream-defect"
    except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
        meta["decode_vs_full"] = f"{type(error).__name__}: {error}"[:150]
        meta["decode"] = "ok" if rebuilt else "upstream-defect"
    if meta["decode"] == "upstream-defect" and re.search(f'"({"|".join(BY_DESIGN)})"', json.dumps(spec)):
        meta["decode"] = "by-design"
    chosen = choosing(model, ids, arguments, logits, meta["unused"])
    meta["unused"] = [key for key in meta["unused"] if key not in chosen]
    meta["float64"] = float64_error(model, ids, arguments, logits)
    if not rebuilt:
        for rename in (True, False):
            try:
                write_legacy(path, spec["cls"], attention, ids, logits, rename)
                meta["legacy"] = True
                break
            except Exception as error:  # a spelling that this type never had, or that transformers does not read
                meta["legacy_error"] = f"{type(error).__name__}: {error}"[:200]
    meta["tensors"] = table
    write_json(os.path.join(path, "meta.json"), meta)
    if name in SHARDS:
        write_shards(path + "--shards", path, 3)
    if name in FUSED:
        write_fused(path + "--fused", path, model, spec["cls"], attention, ids, logits)
    decode = meta["decode_vs_full"]
    words = [f"std {std:5.2f} decode {meta['decode']}"]
    for key in ("decode_vs_full", "float64", "margin"):
        if meta[key] is not None:
            words.append(f"{key} {meta[key] if isinstance(meta[key], str) else format(meta[key], '.1e')}")
    hidden = [key for key in meta["unused"] if not re.search(TOWERS, key)]
    words += [f"unused {hidden[:6]}"] if hidden else []
    words += [f"legacy {meta['legacy']}: {meta['legacy_error']}"] if "legacy_error" in meta else []
    print(f"ok   {name:32}", *words, flush=True)


def open_model(config):
    """The published form of the configuration: no config.json but this; other sections have keys of the same names."""
    text = "gpt_model:\n"
    for key, value in config.items():
        text += f"  {key}: {'1.e-6' if key == 'eps' else 'true' if value is True else value}\n"
    return text + """
shape_model:
  encoder_with_cls_token: true
  num_encoder_latents: 12
  embed_dim: 8
  num_heads: 12
  eps: 1.e-3
  encoder_cross_attention_levels: [0, 2, 4, 8]
  num_codes: 128

text_model_pretrained_model_name_or_path: "openai/clip-vit-large-patch14"
"""


def build_cube(out, name):
    """A dual-stream model; text, uncond and codebook are made as weights are, under these names."""
    config, text_tokens, new = CUBES[name]["config"], CUBES[name]["text"], 12
    path = os.path.join(out, name)
    shutil.rmtree(path, ignore_errors=True)
    os.makedirs(path)
    write_json(os.path.join(path, "config.json"), dict(config, model_type="dual_stream_roformer"))
    empty = {key: torch.ones(shape) if "norm" in key else torch.zeros(shape) for key, shape in shapes(config).items()}
    drawn = draw(empty, "dual_stream_roformer")
    tensors = {key: value for key, (value, a, b) in drawn.items()}
    save_file(tensors, os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
    vocab, size = config["shape_model_vocab_size"], [2, text_tokens, config["text_model_embed_dim"]]
    inputs = dict(codebook=[[vocab, config["shape_model_embed_dim"]], 0, 1.2])
    codebook = torch.from_numpy(weights("codebook", *inputs["codebook"]))
    model = Cube(config, tensors, codebook)
    bbox = torch.tensor(BOX) if config.get("use_bbox") else None
    for attempt in range(50):
        inputs.update(text=[size, 0, round(1.8 - 0.01 * attempt, 2)], uncond=[size, 0, 1.5])
        text, uncond = (torch.from_numpy(weights(key, *inputs[key])) for key in ("text", "uncond"))
        c = model.condition(text, bbox)
        u = model.condition(uncond, torch.zeros(2, 3))
        runs = [model.generate(c, u, new, upstream=upstream) for upstream in (False, True)]
        if min(margin for _, margin in runs) > 5e-3:
            break
    else:
        raise RuntimeError("no text with clear decisions")
    random = np.random.default_rng(zlib.crc32(name.encode()))
    ids = random.integers(0, vocab, (2, 16)).astype(np.int32)
    ids[:, 0] = model.bos
    logits = model.forward(torch.from_numpy(ids).long(), c)
    decoded = [model.decode(torch.from_numpy(ids).long(), c, upstream) for upstream in (False, True)]
    arrays = {"ids": ids, "text": text, "uncond": uncond, "codebook": codebook, "logits": logits,
              "logits.upstream": decoded[1]}
    if bbox is not None:
        arrays["bbox"] = bbox
    for key, value in arrays.items():
        np.save(os.path.join(path, key + ".npy"), np.asarray(value))
    std = float(logits.std())
    meta = dict(origin="cube_ref.py", model_type="dual_stream_roformer", std=std, decode="ok", legacy=False,
                decode_vs_full=float((decoded[0] - logits).abs().max()) / std, inputs=inputs,
                generate=dict(new=new, guidance=3.0, ids=runs[0][0].tolist(), upstream_ids=runs[1][0].tolist(),
                              margin=min(margin for _, margin in runs)),
                tensors={key: ["F32", list(value.shape), a, b] for key, (value, a, b) in drawn.items()})
    write_json(os.path.join(path, "meta.json"), meta)
    shutil.rmtree(path + "--yaml", ignore_errors=True)
    shutil.copytree(path, path + "--yaml", ignore=lambda *_: ["config.json"])
    with open(os.path.join(path + "--yaml", "open_model.yaml"), "w") as file:
        file.write(open_model(config))
    print(f"ok   {name:30} std {std:5.2f} decode {meta['decode_vs_full']:.1e} cached as upstream "
          f"{float((decoded[1] - logits).abs().max()) / std:.1e} margin {meta['generate']['margin']:.1e}", flush=True)


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    out, failed = sys.argv[1], 0
    for name in sys.argv[2:] or [*CONFIGS, *REBUILT, *ALIASES, *CUBES]:
        try:
            build_cube(out, name) if name in CUBES else build(out, name)
        except Exception as error:
            failed += 1
            shutil.rmtree(os.path.join(out, name), ignore_errors=True)
            print(f"FAIL {name:30} {type(error).__name__}: {str(error)[:400]}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
