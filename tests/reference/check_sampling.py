"""Sampled generation: the distribution of what `BUILD/cquant generate` writes beside that of Dream's own loop in torch.

    python tests/reference/check_sampling.py BUILD [MODEL]

MODEL: a Dream (default: tests/golden/dream). For several settings above temperature 0, DRAWS generations each: ours are
the rows of a batch, those of torch one batch with torch's random numbers, the loop of diffusion_generate written here
anew (dream_ref.py gives the passes). Two pairs of neighbouring new tokens are compared by a chi-squared test of
homogeneity at 99.99 %; both seeds are fixed. At the end the same test must tell a temperature of 0.7 from one of 0.8,
and top_p 0.9 from 0.85.
"""
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter

import numpy as np
import torch
import torch.nn.functional as F
from dream_ref import Dream, shift

DRAWS = 4000
NEW, STEPS, EPS = 4, 3, 1e-3
PROMPT = [3, 12, 21, 30, 39, 48, 57, 66]
SETTINGS = [
    dict(alg="origin", temperature=0.7, top_p=0.9),
    dict(alg="origin", temperature=1.0, top_k=4),
    dict(alg="maskgit_plus", temperature=0.7, top_p=0.9, alg_temp=0.3),
    dict(alg="maskgit_plus", temperature=1.0, top_k=4, padding=3),
    dict(alg="topk_margin", temperature=0.7, top_k=4, alg_temp=0.05),
    dict(alg="entropy", temperature=0.7, top_p=0.9, alg_temp=0.4, padding=3),
    dict(alg="entropy", temperature=0.7, top_p=0.9),
]


def sample(logits, alg, temperature, top_p, top_k):
    """[n, vocab] -> confidence [n], token [n], in the order of the reference: temperature, top_p, top_k."""
    logits = logits / temperature
    if top_p:
        value, index = logits.sort(descending=True)
        drop = value.softmax(-1).cumsum(-1) > top_p
        drop = torch.cat([torch.zeros_like(drop[:, :1]), drop[:, :-1]], -1)
        logits = logits.masked_fill(drop.scatter(-1, index, drop), -torch.inf)
    if top_k:
        logits = logits.masked_fill(logits < logits.topk(top_k).values[:, -1:], -torch.inf)
    p = logits.softmax(-1)
    token = torch.multinomial(p, 1)
    if alg == "topk_margin":
        best = p.topk(2).values
        return best[:, 0] - best[:, 1], token[:, 0]
    if alg == "entropy":
        return (p * (p + 1e-10).log()).sum(-1), token[:, 0]
    return p.gather(-1, token)[:, 0], token[:, 0]


@torch.no_grad()
def reference(model, alg, temperature, top_p=None, top_k=None, alg_temp=None, padding=0):
    x = F.pad(torch.tensor([PROMPT] * DRAWS), (0, NEW), value=model.mask_id)
    attend = positions = None
    if padding:
        keep = torch.ones_like(x)
        keep[:, :padding] = 0
        positions = (keep.cumsum(-1) - 1).masked_fill(keep == 0, 1)
        attend = keep[:, None, :, None].bool() & keep[:, None, None, :].bool()
    ts = torch.linspace(1, EPS, STEPS + 1)
    for i in range(STEPS):
        masked = x == model.mask_id
        confidence, token = sample(shift(model.forward(x, attend, positions))[masked], alg, temperature, top_p, top_k)
        part = 1 - ts[i + 1] / ts[i] if i < STEPS - 1 else torch.tensor(1.0)
        drawn, sure = x.clone(), torch.full(x.shape, -torch.inf)
        drawn[masked], sure[masked] = token, confidence
        if alg == "origin":
            go = masked & (torch.rand(x.shape) < part)
        else:
            count = (masked.sum(-1) * part).int()[:, None]  # row by row, not the mean: a mask may be drawn
            if alg_temp:
                order = torch.multinomial((sure / alg_temp).softmax(-1), NEW)
            else:
                order = sure.argsort(descending=True, stable=True)  # of equals the first, which torch leaves open
            first = torch.arange(order.shape[1]) < count
            go = torch.zeros_like(masked).scatter(-1, order, first) & masked
        x = torch.where(go, drawn, x)
    return x[:, len(PROMPT):].numpy()


def ours(build, path, work, padding=0, **setting):
    prompt = np.array([PROMPT] * DRAWS, np.int32)
    np.save(os.path.join(work, "ids.npy"), prompt)
    words = ["--max-new-tokens", str(NEW), "--steps", str(STEPS), "--seed", "1"]
    for key, value in setting.items():
        words += ["--" + key.replace("_", "-"), str(value)]
    if padding:
        mask = np.ones(prompt.shape, np.uint8)
        mask[:, :padding] = 0
        np.save(os.path.join(work, "mask.npy"), mask)
        words += ["--mask", os.path.join(work, "mask.npy")]
    out = subprocess.run([os.path.join(build, "cquant"), "generate", path, "--ids", os.path.join(work, "ids.npy"),
                          *words, "--json", "--quiet"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return np.array(json.loads(out)["ids"])[:, len(PROMPT):]


def differ(a, b):
    """Chi-squared over its quantile of 99.99 %, the larger of two pairs of neighbours; above 1: not the same."""
    worst = 0.0
    for at in (0, 2):
        counts = [Counter(map(tuple, x[:, at:at + 2])) for x in (a, b)]
        cells, rest = [], [0, 0]
        for key in counts[0].keys() | counts[1].keys():
            pair = counts[0][key], counts[1][key]
            if sum(pair) < 16:
                rest = [rest[0] + pair[0], rest[1] + pair[1]]
            else:
                cells.append(pair)
        if sum(rest) >= 16:
            cells.append(rest)
        chi = sum((p - q) ** 2 / (p + q) for p, q in cells)
        k = len(cells) - 1
        worst = max(worst, chi / (k * (1 - 2 / (9 * k) + 3.719 * (2 / (9 * k)) ** 0.5) ** 3))
    return worst


def main():
    build, path = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "tests/golden/dream"
    model, failed = Dream.load(path), 0
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as work:
        for setting in SETTINGS:
            far = differ(reference(model, **setting), ours(build, path, work, **setting))
            failed += far > 1
            print(f"{'ok  ' if far <= 1 else 'FAIL'} sampling {setting}: {far:.2f} of the most that it may be")
        for one, other in [(dict(temperature=0.7), dict(temperature=0.8)),
                           (dict(temperature=0.7, top_p=0.9), dict(temperature=0.7, top_p=0.85))]:
            far = differ(reference(model, alg="entropy", **one), ours(build, path, work, alg="entropy", **other))
            failed += far <= 1
            print(f"{'ok  ' if far > 1 else 'FAIL'} sampling {one} is told from {other}: {far:.2f}")
    sys.exit(failed > 0)


main()
