"""Generation of LLaDA: ids of `BUILD/cquant generate` against LLaDA's own loop.

    python tests/reference/check_llada.py BUILD MODELS

MODELS is what make_arch.py wrote (its model `llada`). The forward pass and the loop are written here anew, in float64,
after LLaDA's modeling and generate.py: blocks from left to right; in each, masks / steps tokens a step and one more in
the first masks % steps; the surest (probability of the likeliest token) of the masks up to the block's end. A run in
which two probabilities that decide, or two logits, are closer than 1e-5 is left out. Output as check_arch.py's.
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file


class Llada:
    def __init__(self, path):
        with open(os.path.join(path, "config.json")) as file:
            self.config = json.load(file)
        weights = load_file(os.path.join(path, "model.safetensors"))
        self.w = {name.removeprefix("model.transformer."): w.double() for name, w in weights.items()}
        self.mask = self.config["mask_token_id"]

    def norm(self, x, name):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.config["rms_norm_eps"]) * self.w[name]

    def heads(self, x):
        return x.view(len(x), self.config["n_heads"], -1).transpose(0, 1)

    def rope(self, x):
        half = x.shape[-1] // 2
        angle = torch.arange(x.shape[1]).double()[:, None] * self.config["rope_theta"] ** (-torch.arange(half) / half)
        a, b = x[..., :half], x[..., half:]
        return torch.cat([a * angle.cos() - b * angle.sin(), b * angle.cos() + a * angle.sin()], -1)

    def __call__(self, ids):
        x = self.w["wte.weight"][ids]
        for i in range(self.config["n_layers"]):
            at = f"blocks.{i}."
            h = self.norm(x, at + "attn_norm.weight")
            q, k, v = (self.heads(h @ self.w[at + name + "_proj.weight"].T) for name in "qkv")
            q, k = self.rope(q), self.rope(k)
            p = torch.softmax(q @ k.transpose(1, 2) / q.shape[-1] ** 0.5, -1)
            x = x + (p @ v).transpose(0, 1).reshape(len(ids), -1) @ self.w[at + "attn_out.weight"].T
            h = self.norm(x, at + "ff_norm.weight")
            gate, up = h @ self.w[at + "ff_proj.weight"].T, h @ self.w[at + "up_proj.weight"].T
            x = x + (torch.nn.functional.silu(gate) * up) @ self.w[at + "ff_out.weight"].T
        return self.norm(x, "ln_f.weight") @ self.w["ff_out.weight"].T


def generate(model, prompt, fresh, steps, block):
    """ids, and how close the closest decision was"""
    x = torch.cat([torch.tensor(prompt), torch.full((fresh,), model.mask)])
    blocks, margin = fresh // block, 1.0
    for b in range(blocks):
        end = len(prompt) + (b + 1) * block
        masks = int((x[end - block:end] == model.mask).sum())
        base, rest = divmod(masks, steps // blocks)
        for i in range(steps // blocks):
            count = base + (i < rest)
            logits = model(x)
            best = logits.argmax(-1)
            sure = torch.softmax(logits, -1).gather(-1, best[:, None])[:, 0]
            sure[x != model.mask] = -1
            sure[end:] = -1
            top = sure.sort(descending=True)
            chosen = top.indices[:count]
            for p in chosen:
                two = logits[p].topk(2).values
                margin = min(margin, float(two[0] - two[1]))
            if count and count < int((sure >= 0).sum()):
                margin = min(margin, float(top.values[count - 1] - top.values[count]))
            x[chosen] = best[chosen]
    return x.tolist(), margin


def main():
    build, models = sys.argv[1:3]
    path = os.path.join(models, "llada")
    model = Llada(path)
    rng = np.random.default_rng(5)
    failed = ran = 0
    with tempfile.TemporaryDirectory() as work:
        stored = np.load(os.path.join(path, "ids.npy"))
        logits = np.load(os.path.join(path, "logits.npy"))
        if stored.ndim == 2:
            stored, logits = stored[0], logits[0]
        off = float(np.abs(model(torch.from_numpy(stored.astype(np.int64))).numpy() - logits).max())
        if off > 1e-3:
            print(f"FAIL llada: this script's logits differ from make_arch.py's by {off:.2g}")
            failed += 1
        for fresh, steps, block in [(24, 24, 24), (24, 7, 24), (24, 12, 8), (24, 24, 4), (16, 6, 8), (32, 4, 8),
                                    (5, 9, 5)]:
            for trial in range(4):
                prompt = rng.integers(0, 250, rng.integers(1, 24)).tolist()
                want, margin = generate(model, prompt, fresh, steps, block)
                if margin < 1e-5:
                    continue
                np.save(os.path.join(work, "ids.npy"), np.array(prompt, np.int32))
                out = subprocess.run([os.path.join(build, "cquant"), "generate", path, "--ids",
                                      os.path.join(work, "ids.npy"), "--max-new-tokens", str(fresh), "--steps",
                                      str(steps), "--block-length", str(block), "--json", "--quiet"],
                                     capture_output=True, text=True)
                ran += 1
                if out.returncode or json.loads(out.stdout)["ids"] != want:
                    print(f"FAIL llada: {fresh} tokens, {steps} steps, blocks of {block}, trial {trial}: {out.stderr}"
                          f" {out.stdout[:300]} instead of {want}, margin {margin}")
                    failed += 1
    print(f"llada: {ran} generations compared, {failed} failed")
    sys.exit(failed > 0 or ran < 20)


main()
