"""Dream (a masked-diffusion language model in Qwen2's clothes) in plain PyTorch, float32: the reference cquant is
compared with.

    from dream_ref import Dream, Cache, generate, generate_blocks
    model = Dream.load("tests/golden/dream")
    logits = model.forward(ids)                                  # ids [B, T] -> [B, T, vocab]
    ids = generate(model, prompt, new=16, steps=8, alg="entropy")

It is written for reading: one function per formula, nothing fused, nothing fast.  make_models.py compares it with
transformers' Qwen2ForCausalLM, which has the same layers: under a causal mask and under every mask used here.

What the papers and the published code leave open is fixed here:
  - equal logits: the lowest token id wins; equal confidences: the lowest position wins;
  - `origin` draws from a table u[step][position] that the caller supplies: a position is filled if u < p;
  - a query that may see no key gets attention output 0, as in PyTorch >= 2.5;
  - rows of a batch are independent: the number of tokens to fill is computed for each row.
Only temperature 0 is covered: with any other, ids depend on somebody's random numbers.
"""
import json
import math
import os

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

ALGORITHMS = ("origin", "maskgit_plus", "topk_margin", "entropy")


def load_tensors(path):
    """Every tensor of a Hugging Face directory, sharded or not, as float32."""
    index = os.path.join(path, "model.safetensors.index.json")
    files = ["model.safetensors"]
    if os.path.exists(index):
        with open(index) as file:
            files = sorted(set(json.load(file)["weight_map"].values()))
    tensors = {}
    for name in files:
        tensors.update(load_file(os.path.join(path, name)))
    return {name: tensor.float() for name, tensor in tensors.items()}


class Cache:
    """Static cache: keys (after rotary embedding) and values of every layer, one slot for each position.

    Slot i holds position i of the sequence.  The first `valid` slots take part in attention; a slot may be written
    again, and then replaces what it held.
    """

    def __init__(self, model, batch, length):
        shape = (model.layers, batch, model.kv_heads, length, model.head_dim)
        self.keys, self.values = torch.zeros(shape), torch.zeros(shape)
        self.valid = 0


class Dream:
    def __init__(self, config, tensors):
        self.config, self.w = config, dict(tensors)
        self.hidden = config["hidden_size"]
        self.layers = config["num_hidden_layers"]
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.head_dim = self.hidden // self.heads  # Dream has no head_dim key
        self.eps = config["rms_norm_eps"]
        self.mask_id = config["mask_token_id"]
        rope = config.get("rope_parameters") or {}  # spelling of transformers 5, else that of 4
        theta = float(rope.get("rope_theta", config.get("rope_theta", 10000.0)))
        scaling = config.get("rope_scaling") or {}
        if rope.get("rope_type", "default") != "default" or scaling.get("type", scaling.get("rope_type")):
            raise ValueError("Dream has no rope scaling")
        if config.get("tie_word_embeddings"):
            self.w["lm_head.weight"] = self.w["model.embed_tokens.weight"]
        exponent = torch.arange(0, self.head_dim, 2, dtype=torch.int64).float() / self.head_dim
        self.inverse_frequency = 1.0 / theta ** exponent  # (head_dim / 2)

    @classmethod
    def load(cls, path):
        with open(os.path.join(path, "config.json")) as file:
            return cls(json.load(file), load_tensors(path))

    # ---- the parts of a layer ----
    def linear(self, name, x):
        return F.linear(x, self.w[name + ".weight"], self.w.get(name + ".bias"))

    def norm(self, name, x):
        """RMSNorm: x / sqrt(mean(x^2) + eps) * gain."""
        return self.w[name + ".weight"] * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps))

    def rope(self, x, positions):
        """Rotates elements j and j + head_dim/2 by position * theta^(-2j/head_dim).  x [B, heads, T, head_dim]"""
        angle = positions[:, None, :, None].float() * self.inverse_frequency
        cos, sin = angle.cos(), angle.sin()
        a, b = x.chunk(2, -1)
        return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)

    def heads_of(self, name, x, count):
        batch, length, _ = x.shape
        return self.linear(name, x).view(batch, length, count, self.head_dim).transpose(1, 2)

    @torch.no_grad()
    def forward(self, ids, mask=None, positions=None, cache=None, slots=None):
        """Logits [B, T, vocab] of ids [B, T].

        mask       None: everything sees everything.  [B, keys]: 0 hides that key from every query.
                   [B, 1, T, keys] bool: true = attend; float: added to the scaled scores.
        positions  [B, T] for the rotary embedding; default: the slots.
        cache      keys and values of the T rows go to `slots` (1-D; default: the next T); then every row sees all
                   valid slots.  Rows computed earlier are not computed again: with two layers or more they still
                   know nothing of what came later, which a full pass would tell them.
        """
        batch, length = ids.shape
        if slots is None:
            start = cache.valid if cache is not None else 0
            slots = torch.arange(start, start + length)
        if positions is None:
            positions = slots[None].expand(batch, length)
        keys = length if cache is None else max(cache.valid, int(slots.max()) + 1)
        bias = additive(mask, batch, length, keys)

        x = self.w["model.embed_tokens.weight"][ids.long()]
        for layer in range(self.layers):
            p = f"model.layers.{layer}."
            h = self.norm(p + "input_layernorm", x)
            q = self.rope(self.heads_of(p + "self_attn.q_proj", h, self.heads), positions)
            k = self.rope(self.heads_of(p + "self_attn.k_proj", h, self.kv_heads), positions)
            v = self.heads_of(p + "self_attn.v_proj", h, self.kv_heads)
            if cache is not None:
                cache.keys[layer][:, :, slots], cache.values[layer][:, :, slots] = k, v
                k, v = cache.keys[layer][:, :, :keys], cache.values[layer][:, :, :keys]
            o = attention(q, k, v, bias).transpose(1, 2).reshape(batch, length, self.hidden)
            x = x + self.linear(p + "self_attn.o_proj", o)
            h = self.norm(p + "post_attention_layernorm", x)
            h = F.silu(self.linear(p + "mlp.gate_proj", h)) * self.linear(p + "mlp.up_proj", h)
            x = x + self.linear(p + "mlp.down_proj", h)
        if cache is not None:
            cache.valid = keys
        return self.linear("lm_head", self.norm("model.norm", x))

    def prefill_decode(self, ids, prefill, causal=False):
        """What `cquant logits --prefill N` computes: N rows at once, the others one by one from the cache."""
        batch, length = ids.shape
        cache = Cache(self, batch, length)
        mask = torch.ones(prefill, prefill, dtype=torch.bool).tril()[None, None] if causal else None
        rows = [self.forward(ids[:, :prefill], mask, cache=cache)]
        rows += [self.forward(ids[:, i:i + 1], cache=cache) for i in range(prefill, length)]
        return torch.cat(rows, 1)


def additive(mask, batch, queries, keys):
    """Any mask that forward() takes, as a float to add to the scores, or None."""
    if mask is None:
        return None
    if mask.dim() == 2:
        mask = mask.bool()[:, None, None, :].expand(batch, 1, queries, keys)
    if mask.dtype == torch.bool:
        mask = torch.zeros(mask.shape).masked_fill(~mask, -torch.inf)
    if mask.shape[-2:] != (queries, keys):
        raise ValueError(f"mask is {tuple(mask.shape)}, needs (.., {queries}, {keys})")
    return mask.float()


def attention(q, k, v, bias):
    """softmax(q k^T / sqrt(head_dim) + bias) v; query head h reads key head h / (heads / kv_heads)."""
    share = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(share, 1), v.repeat_interleave(share, 1)
    score = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if bias is not None:
        score = score + bias
    top = score.amax(-1, keepdim=True)
    weight = torch.exp(score - torch.where(top == -torch.inf, 0.0, top))
    total = weight.sum(-1, keepdim=True)  # >= 1 unless every key is hidden: then 0, and so is the output
    return torch.where(total > 0, weight / total.clamp_min(1e-38), 0.0) @ v


# ---- sampling ----
class Margins(dict):
    """How far each kind of decision was from going the other way; the smallest of a run.

    `token`: logit of the chosen token above the next; `transfer`: confidence of the last position filled above the
    first one left, or distance to the threshold (to p, for origin); `filter`: distance of a cumulative probability to
    top_p, or of the k-th logit to the next.
    """

    def add(self, kind, values):
        values = np.atleast_1d(np.asarray(values, np.float64))
        if values.size:
            self[kind] = min(self.get(kind, math.inf), float(values.min()))


def shift(logits):
    """Row i of the network predicts token i + 1: moves each row to the token it predicts.  Row 0 stays as well."""
    return torch.cat([logits[:, :1], logits[:, :-1]], 1)


def filtered(logits, top_p, top_k, margins):
    """logits [n, vocab] with all but the top_p / top_k tokens pushed to the least float: top_p first, then top_k."""
    least = torch.finfo(logits.dtype).min
    if top_p is not None and top_p < 1 and len(logits):
        value, index = torch.sort(logits, descending=True, stable=True)
        total = torch.cumsum(torch.softmax(value, -1), -1)
        margins.add("filter", (total - top_p).abs().amin(-1).numpy())
        drop = total > top_p
        drop[..., 1:], drop[..., 0] = drop[..., :-1].clone(), False  # the token that crosses top_p is kept
        logits = logits.masked_fill(torch.zeros_like(drop).scatter(-1, index, drop), least)
    if top_k is not None and len(logits):
        value = torch.topk(logits, min(top_k + 1, logits.shape[-1])).values
        if value.shape[-1] > top_k:
            margins.add("filter", (value[:, top_k - 1] - value[:, top_k]).numpy())
        logits = logits.masked_fill(logits < value[:, min(top_k, value.shape[-1]) - 1][:, None], least)
    return logits


def sample(logits, alg, top_p, top_k, margins):
    """logits [n, vocab] -> confidence [n], token [n], and the lead of that token [n]."""
    logits = filtered(logits, top_p, top_k, margins)
    p = torch.softmax(logits, -1)
    token = torch.from_numpy(logits.numpy().argmax(-1))  # NumPy: the first of equals
    if alg == "topk_margin":
        best = torch.topk(p, 2).values
        confidence = best[:, 0] - best[:, 1]
    elif alg == "entropy":
        confidence = (p * torch.log(p + 1e-10)).sum(-1)  # minus the entropy: higher is surer
    else:
        confidence = p.gather(-1, token[:, None])[:, 0]
    best = torch.topk(logits, 2).values
    return confidence.numpy(), token, (best[:, 0] - best[:, 1]).numpy()


def surest(confidence, count, margins):
    """Indices of the `count` highest confidences, the lowest index first among equals."""
    order = np.argsort(-confidence, kind="stable")
    if 0 < count < len(order):
        margins.add("transfer", confidence[order[count - 1]] - confidence[order[count]])
    return order[:count]


def schedule(steps, eps):
    return torch.linspace(1, eps, steps + 1).numpy()


def transfer_count(masked, t, s, last):
    """Masked tokens to fill while time goes from t to s: float32 arithmetic, truncated."""
    return masked if last else int(np.float32(masked) * (np.float32(1) - np.float32(s) / np.float32(t)))


@torch.no_grad()
def generate(model, ids, new, steps, alg="origin", eps=1e-3, mask=None, u=None, top_p=None, top_k=None,
             margins=None):
    """Dream's `diffusion_generate` at temperature 0.  ids [B, P]; mask [B, P] 0 = left padding; u [steps, P + new].

    Masked tokens of the prompt are filled as well.  Returns [B, P + new].
    """
    if alg not in ALGORITHMS:
        raise ValueError(f"alg is {alg!r}, must be one of {ALGORITHMS}")
    margins = Margins() if margins is None else margins
    ts = schedule(steps, eps)
    rows = []
    for row in range(ids.shape[0]):
        x = F.pad(ids[row:row + 1].long(), (0, new), value=model.mask_id)
        attend = positions = None
        if mask is not None and bool((mask[row] == 0).any()):
            keep = F.pad(mask[row:row + 1].long(), (0, new), value=1)
            positions = (keep.cumsum(-1) - 1).masked_fill(keep == 0, 1)
            attend = keep[:, None, :, None].bool() & keep[:, None, None, :].bool()
        for i in range(steps):
            masked = (x[0] == model.mask_id).nonzero()[:, 0]
            logits = shift(model.forward(x, attend, positions))[0]
            last = i == steps - 1
            if alg == "origin":
                chosen = masked
                if not last:
                    p = float(np.float32(1) - ts[i + 1] / ts[i])
                    draw = torch.from_numpy(np.asarray(u[i], np.float32))[masked]
                    margins.add("transfer", (draw - p).abs().numpy())
                    chosen = masked[draw < p]
                if len(chosen):
                    _, token, lead = sample(logits[chosen], alg, top_p, top_k, margins)
                    margins.add("token", lead)
                    x[0, chosen] = token
            elif len(masked):
                confidence, token, lead = sample(logits[masked], alg, top_p, top_k, margins)
                best = surest(confidence, transfer_count(len(masked), ts[i], ts[i + 1], last), margins)
                margins.add("token", lead[best])
                x[0, masked[best]] = token[best]
        rows.append(x)
    return torch.cat(rows)


@torch.no_grad()
def generate_blocks(model, ids, new, steps, block_length, dual=False, threshold=None, eps=1e-3, margins=None):
    """Fast-dLLM's block-wise decoding with a cache, temperature 0, one row: ids [1, P] -> [1, P + new].

    Each block starts with a pass over everything, which fills the cache and gives the block's first token.  Then,
    until the block is full, only part of the sequence is computed again: with the prefix cache the block and all
    that follows it, with the dual cache the block alone, the rest being seen through stale keys and values.
    threshold: each pass fills every token at least that probable, and always the surest one.  None: entropy over
    steps / blocks passes a block, of which the full one is the first.
    """
    margins = Margins() if margins is None else margins
    if new % block_length or steps % (new // block_length):
        raise ValueError("block_length must divide new, and the number of blocks must divide steps")
    passes = steps // (new // block_length)
    if threshold is None and passes < 2:
        raise ValueError("the published code leaves a block masked that has one pass only")
    ts = schedule(passes, eps)
    prompt = ids.shape[1]
    x = F.pad(ids.long(), (0, new), value=model.mask_id)
    total = x.shape[1]
    for start in range(prompt, total, block_length):
        end = start + block_length
        cache = Cache(model, 1, total)
        first = shift(model.forward(x, cache=cache))[0, start:start + 1]
        _, token, lead = sample(first, "maskgit_plus", None, None, margins)
        margins.add("token", lead)
        x[0, start] = token[0]
        window = torch.arange(start, end if dual else total)
        i = 0
        while bool((x[0, start:end] == model.mask_id).any()):
            i += 1
            if not dual:
                cache.valid = start
            # Shifted inside the window: its first token has no predictor here, and needs none, being known.
            logits = shift(model.forward(x[:, window], cache=cache, slots=window))[0]
            masked = (x[0, start:end] == model.mask_id).nonzero()[:, 0]
            if threshold is not None:
                confidence, token, lead = sample(logits[masked], "maskgit_plus", None, None, margins)
                order = surest(confidence, len(masked), margins)
                keep = [j for rank, j in enumerate(order) if rank == 0 or not confidence[j] < threshold]
                margins.add("transfer", np.abs(confidence[order[1:]] - threshold))
                if len(order) > 1 and len(keep) == 1:
                    margins.add("transfer", confidence[order[0]] - confidence[order[1]])
            else:
                confidence, token, lead = sample(logits[masked], "entropy", None, None, margins)
                count = transfer_count(len(masked), ts[i], ts[i + 1], i >= passes - 1)
                keep = list(surest(confidence, count, margins))
            margins.add("token", lead[keep])
            x[0, start + masked[keep]] = token[keep]
    return x
