"""What each way of denoising costs, and what it does to the text: one table.

    python bench/modes.py BUILD MODEL --text FILE [--prompts N] [--prompt-tokens P] [--new N] [--run FILE] [--json FILE]

N prompts are cut from the text at equal distances. For each mode, all prompts together: passes, rows, rows through
lm_head, and how many times fewer than without any saving (a pass over all rows in every step, all of them through
lm_head); seconds, those of all processors (which a busy machine changes little), and how many times fewer than in the
first mode;
the share of new tokens equal to those of the first mode, position by position; the masked loss of the new tokens under
MODEL, each masked once: in 8 groups (new token i is in group i % 8, and all else is visible), mean negative log
likelihood in nats, as `cquant eval` gives it; and the share of distinct triples among all triples of neighbouring new
tokens of one text. Text that repeats itself has a low loss and few distinct triples: read both. The last row is the
text itself. Needs numpy.
"""
import argparse
import json
import os
import resource
import subprocess
import tempfile

import numpy as np

GROUPS = 8


def modes(new):
    full, half, quarter = (["--steps", str(new // k)] for k in (1, 2, 4))
    entropy, block = ["--alg", "entropy"], ["--block-length", "32"]

    def window(cache, *more):
        return ["--cache", cache, *block, *more]

    yield "plain, a step a token", entropy + full
    yield "half the steps", entropy + half
    yield "a quarter", entropy + quarter
    for nats in ("2", "3", "4"):
        yield f"exit {nats}", entropy + full + ["--exit", nats]
    for cache in ("prefix", "dual"):
        yield f"{cache}, a step a token", window(cache, *full)
        yield f"{cache}, a quarter", window(cache, *quarter)
        for chance in ("0.9", "0.5", "0.3"):
            yield f"{cache}, threshold {chance}", window(cache, "--threshold", chance)
        yield f"{cache}, exit 3", window(cache, *full, "--exit", "3")
    for refresh in ("4", "8", "16"):
        yield f"steps, refresh {refresh}", entropy + full + ["--cache", "steps", "--refresh", refresh]
    yield "steps, a quarter", entropy + quarter + ["--cache", "steps"]
    yield "steps, exit 3", entropy + full + ["--cache", "steps", "--exit", "3"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("model")
    parser.add_argument("--text", required=True)
    parser.add_argument("--prompts", type=int, default=64)
    parser.add_argument("--prompt-tokens", type=int, default=32)
    parser.add_argument("--new", type=int, default=64)
    parser.add_argument("--run", help="generates in MODEL's place: a .cq file made of it")
    parser.add_argument("--json")
    args = parser.parse_args()
    if args.new % 32:
        parser.error("--new must be a multiple of 32, the length of a block")
    work = tempfile.mkdtemp()
    n = args.prompt_tokens + args.new

    def processors():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    def cquant(*words):
        out = subprocess.run([os.path.join(args.build, "cquant"), *words, "--json", "--quiet"], check=True,
                             stdout=subprocess.PIPE, text=True).stdout
        return json.loads(out)

    def loss(ids):
        """Mean masked loss of the new tokens, each masked once."""
        pattern = np.zeros((GROUPS, len(ids), n), np.uint8)
        for i in range(args.new):
            pattern[i % GROUPS, :, args.prompt_tokens + i] = 1
        np.save(os.path.join(work, "eval.npy"), np.tile(ids, (GROUPS, 1)).astype(np.int32))
        np.save(os.path.join(work, "pattern.npy"), pattern.reshape(-1, n))
        return cquant("eval", args.model, "--ids", os.path.join(work, "eval.npy"), "--mask-pattern",
                      os.path.join(work, "pattern.npy"))["nll"]

    def distinct(ids):
        fresh = ids[:, args.prompt_tokens:]
        triples = [len({tuple(row[i:i + 3]) for i in range(args.new - 2)}) for row in fresh]
        return sum(triples) / (len(ids) * (args.new - 2))

    tokens = np.array(cquant("tokenize", args.model, "--text", args.text)["ids"], np.int32)
    starts = [len(tokens) // args.prompts * i for i in range(args.prompts)]
    text = np.stack([tokens[s:s + n] for s in starts])
    prompts = os.path.join(work, "prompts.npy")
    np.save(prompts, text[:, :args.prompt_tokens])

    print(f"{args.prompts} prompts of {args.prompt_tokens} tokens, {args.new} new tokens each\n")
    print(f"{'mode':24} {'passes':>7} {'rows':>8} {'fewer':>6} {'head rows':>9} {'fewer':>6} {'seconds':>8} "
          f"{'CPU s':>7} {'faster':>6} {'equal':>6} {'loss':>6} {'distinct':>8}")
    table, first, slow = [], None, 0.0
    for name, options in modes(args.new):
        began = processors()
        r = cquant("generate", args.run or args.model, "--ids", prompts, "--max-new-tokens", str(args.new), *options)
        cpu = processors() - began
        ids = np.array(r["ids"])
        if first is None:
            first, slow = ids, cpu
            naive = r["naive_forwards"], r["naive_rows"], r["naive_head_rows"]
            print(f"{'(without any saving)':24} {naive[0]:7} {naive[1]:8} {1:6.1f} {naive[2]:9} {1:6.1f}")
        equal = float((ids == first)[:, args.prompt_tokens:].mean())
        row = dict(mode=name, forwards=r["forwards"], rows=r["rows"], head_rows=r["head_rows"], seconds=r["seconds"],
                   cpu=cpu, equal=equal, loss=loss(ids), distinct=distinct(ids), options=" ".join(options))
        table.append(row)
        print(f"{name:24} {r['forwards']:7} {r['rows']:8} {naive[1] / r['rows']:6.1f} {r['head_rows']:9} "
              f"{naive[2] / r['head_rows']:6.1f} {r['seconds']:8.2f} {cpu:7.2f} {slow / cpu:6.1f} {100 * equal:5.1f}% "
              f"{row['loss']:6.3f} {100 * row['distinct']:7.1f}%", flush=True)
    print(f"{'(the text itself)':24} {'':59} {loss(text):24.3f} {100 * distinct(text):7.1f}%")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(table, file, indent=1)


main()
