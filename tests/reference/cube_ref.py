"""DualStreamRoFormer, the text-to-shape model of Roblox cube, in plain PyTorch, float32.

Two streams, the text (c) and the shape tokens (x), have weights of their own and attend together, the text first,
under one causal mask.  The last dual layer gives c only keys and values; single layers follow on x alone.  Block
norms are LayerNorms without parameters; queries and keys are normalised by head (RMSNorm, epsilon 1e-5) before rope,
which turns neighbouring pairs; the text stands at position 0, shape tokens from 0 on.
"""
import torch
import torch.nn.functional as F

DEFAULTS = dict(n_layer=12, n_single_layer=0, rope_theta=1000, n_head=16, n_embd=2048, bias=False, eps=1e-6,
                shape_model_vocab_size=4096, shape_model_embed_dim=16, text_model_embed_dim=512, use_bbox=False)
QK_EPS = 1e-5


def shapes(config):
    """Tensor name -> shape of a checkpoint."""
    c = {**DEFAULTS, **config}
    d, head, rows = c["n_embd"], c["n_embd"] // c["n_head"], c["shape_model_vocab_size"] + 3
    result = {}

    def linear(name, out, inp, bias=c["bias"]):
        result[name + ".weight"] = (out, inp)
        if bias:
            result[name + ".bias"] = (out,)

    def mlp(name):
        linear(name + ".gate_proj", 4 * d, d)
        linear(name + ".up_proj", 4 * d, d)
        linear(name + ".down_proj", d, 4 * d)

    def qkv(name, query=True):
        if query:
            linear(name + ".c_qk", 2 * d, d, bias=False)
            result[name + ".q_norm.weight"] = (head,)
        else:
            linear(name + ".c_k", d, d)
        result[name + ".k_norm.weight"] = (head,)
        linear(name + ".c_v", d, d)

    linear("text_proj", d, c["text_model_embed_dim"])
    linear("shape_proj", d, c["shape_model_embed_dim"], bias=True)
    if c["use_bbox"]:
        linear("bbox_proj", d, 3, bias=True)
    result["transformer.wte.weight"] = result["lm_head.weight"] = (rows, d)
    for i in range(c["n_layer"]):
        block, last = f"transformer.dual_blocks.{i}", i == c["n_layer"] - 1
        qkv(block + ".attn.pre_x")
        qkv(block + ".attn.pre_c", query=not last)
        for post in ("post_1",) if last else ("post_1", "post_2"):
            linear(f"{block}.{post}.c_proj", d, d)
            mlp(f"{block}.{post}.mlp")
    for i in range(c["n_single_layer"]):
        block = f"transformer.single_blocks.{i}"
        qkv(block + ".attn")
        linear(block + ".attn.c_proj", d, d)
        mlp(block + ".mlp")
    return result


class Cube:
    def __init__(self, config, tensors, codebook=None):
        self.c = {**DEFAULTS, **config}
        self.w = dict(tensors)
        self.heads = self.c["n_head"]
        self.vocab = self.c["shape_model_vocab_size"]
        self.bos = self.vocab
        if codebook is not None:  # the rows of shape tokens are the projected codes
            table = self.w["transformer.wte.weight"].clone()
            table[:self.vocab] = self.linear(codebook, "shape_proj")
            self.w["transformer.wte.weight"] = table

    # ---- parts ----
    def linear(self, x, name):
        return F.linear(x, self.w[name + ".weight"], self.w.get(name + ".bias"))

    def norm(self, x):
        return F.layer_norm(x, x.shape[-1:], eps=self.c["eps"])

    def split(self, x, name=None):
        """[B, T, D] -> [B, heads, T, D / heads], normalised by head if a name of a norm is given."""
        x = x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)
        return x if name is None else F.rms_norm(x, x.shape[-1:], self.w[name + ".weight"], QK_EPS)

    def qkv(self, x, name):
        """Query (None in the last dual layer's text), key and value, before rope."""
        if name + ".c_qk.weight" in self.w:
            q, k = self.linear(x, name + ".c_qk").chunk(2, -1)
            q = self.split(q, name + ".q_norm")
        else:
            q, k = None, self.linear(x, name + ".c_k")
        return q, self.split(k, name + ".k_norm"), self.split(self.linear(x, name + ".c_v"))

    def mlp(self, x, name):
        gate, up = self.linear(x, name + ".gate_proj"), self.linear(x, name + ".up_proj")
        return self.linear(F.silu(gate) * up, name + ".down_proj")

    def post(self, x, a, name):
        x = x + self.linear(a, name + ".c_proj")
        return x + self.mlp(self.norm(x), name + ".mlp")

    def rope(self, x, positions):
        size = x.shape[-1]
        frequency = self.c["rope_theta"] ** (-torch.arange(0, size, 2, dtype=torch.float32) / size)
        angle = positions[:, None].float() * frequency
        cos, sin = angle.cos(), angle.sin()
        even, odd = x[..., 0::2], x[..., 1::2]
        return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)

    def attend(self, q, k, v, allowed):
        """[B, heads, T, head] and a mask [Tq, Tk] -> [B, Tq, D]."""
        score = q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5
        weight = score.masked_fill(~allowed, float("-inf")).softmax(-1)
        return (weight @ v).transpose(1, 2).flatten(2)

    # ---- inputs ----
    def condition(self, text, bbox=None):
        c = self.linear(text, "text_proj")
        if not self.c["use_bbox"]:
            return c
        return torch.cat([c, self.linear(bbox, "bbox_proj")[:, None]], 1)

    def embed(self, ids):
        return self.w["transformer.wte.weight"][ids]

    # ---- passes ----
    def forward(self, ids, c):
        """Logits [B, L, V + 3] of a whole pass over ids [B, L] under the condition c [B, S, D]."""
        x = self.embed(ids)
        text, length = c.shape[1], x.shape[1]
        at = torch.arange(length)
        both = torch.cat([torch.zeros(text, dtype=torch.long), at])
        causal = torch.ones(text + length, text + length, dtype=torch.bool).tril()
        for i in range(self.c["n_layer"]):
            name = f"transformer.dual_blocks.{i}"
            qx, kx, vx = self.qkv(self.norm(x), name + ".attn.pre_x")
            qc, kc, vc = self.qkv(self.norm(c), name + ".attn.pre_c")
            k, v = self.rope(torch.cat([kc, kx], 2), both), torch.cat([vc, vx], 2)
            q = self.rope(qx, at) if qc is None else self.rope(torch.cat([qc, qx], 2), both)
            a = self.attend(q, k, v, causal[-q.shape[2]:])
            x = self.post(x, a[:, -length:], name + ".post_1")
            if qc is not None:
                c = self.post(c, a[:, :text], name + ".post_2")
        for i in range(self.c["n_single_layer"]):
            name = f"transformer.single_blocks.{i}"
            q, k, v = self.qkv(self.norm(x), name + ".attn")
            a = self.attend(self.rope(q, at), self.rope(k, at), v, causal[:length, :length])
            x = self.post_single(x, a, name)
        return self.linear(self.norm(x), "lm_head")

    def post_single(self, x, a, name):
        x = x + self.linear(a, name + ".attn.c_proj")
        return x + self.mlp(self.norm(x), name + ".mlp")

    def decode(self, ids, c, upstream=False):
        """The same logits token by token from a cache of keys and values.

        upstream: as the published engine does it, where a token from the cache sees only key 0 in single layers.
        """
        text, rows = c.shape[1], []
        cache = []
        for i in range(self.c["n_layer"]):  # the text does not depend on the shape: its keys are there once for all
            name = f"transformer.dual_blocks.{i}"
            q, k, v = self.qkv(self.norm(c), name + ".attn.pre_c")
            cache.append([k, v])  # at position 0: rope turns nothing
            if q is not None:
                a = self.attend(q, k, v, torch.ones(text, text, dtype=torch.bool).tril())
                c = self.post(c, a, name + ".post_2")
        cache += [None] * self.c["n_single_layer"]
        for t in range(ids.shape[1]):
            x, at = self.embed(ids[:, t:t + 1]), torch.tensor([t])
            for i in range(len(cache)):
                dual = i < self.c["n_layer"]
                name = f"transformer.dual_blocks.{i}" if dual else f"transformer.single_blocks.{i - self.c['n_layer']}"
                q, k, v = self.qkv(self.norm(x), name + (".attn.pre_x" if dual else ".attn"))
                k = self.rope(k, at)
                if cache[i] is not None:
                    k, v = torch.cat([cache[i][0], k], 2), torch.cat([cache[i][1], v], 2)
                cache[i] = [k, v]
                seen = torch.ones(1, k.shape[2], dtype=torch.bool)
                if upstream and not dual:
                    seen[:, 1:] = False
                a = self.attend(self.rope(q, at), k, v, seen)
                x = self.post(x, a, name + ".post_1") if dual else self.post_single(x, a, name)
            rows.append(self.linear(self.norm(x), "lm_head"))
        return torch.cat(rows, 1)

    def generate(self, cond, uncond, new, guidance=3.0, upstream=False):
        """Ids [B, new], each the best of (1 + g) cond - g uncond with g falling linearly; and the closest decision."""
        ids = torch.full((cond.shape[0], 1), self.bos)
        margin = float("inf")
        for i in range(new):
            logits = [self.decode(ids, c, True)[:, -1] if upstream else self.forward(ids, c)[:, -1]
                      for c in (cond, uncond)]
            g = guidance * (new - i) / new
            mixed = ((1 + g) * logits[0] - g * logits[1])[:, :self.vocab]
            best = mixed.topk(2, -1)[0]
            margin = min(margin, float((best[:, 0] - best[:, 1]).min()))
            ids = torch.cat([ids, mixed.argmax(-1, keepdim=True)], 1)
        return ids[:, 1:], margin
