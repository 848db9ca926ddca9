#!/usr/bin/env python3
"""One denoising step of the shape of Dream 7B: `cquant generate` on int4 beside llama.cpp's diffusion program on its
4-bit formats, by turns in one run. bench/peers.sh llama builds llama.cpp and calls this.

    peers_llama.py BUILD LLAMA... [--fraction N] [--turns N] [--threads N] [--tokens N] [--work DIR]

LLAMA is a directory with llama-diffusion-cli; of several (built for different instruction sets) each is measured. Both
sides run without a cache: every step computes all rows. cquant computes the head only for rows that predict a masked
token, llama.cpp for all. Per step:

    wall    seconds of a run of 3 steps less those of 1, halved, as the engines themselves report them, so that nothing
            of the start is in it; the least of the turns
    cpu     the same of CPU seconds: it says more on a busy machine. With one thread no waiting is in it, with more
            there is
    memory  most memory resident, mapped weights included
"""
import argparse
import json
import os
import re
import subprocess
import sys
import time

import make_dream
import numpy as np

OURS = "cquant int4"
FORMATS = ["q4_0", "q4_k_m"]
PROMPT = "llamas a"  # 8 tokens of a byte each
HERE = os.path.dirname(os.path.abspath(__file__))


class Failed(Exception):
    pass


def run(command, env=None):
    """(wall seconds, CPU seconds, bytes resident at most, what it said)"""
    start = time.monotonic()
    p = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})})
    said = p.stdout.read().decode(errors="replace")
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    if p.returncode:
        how = f"signal {-p.returncode}" if p.returncode < 0 else f"exit status {p.returncode}"
        raise Failed(f"{how}: {' '.join(command)}\n{said[-500:]}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024, said


def prepare(args):
    """the models, made once"""
    os.makedirs(args.work, exist_ok=True)
    python, fraction = sys.executable, ["--fraction", str(args.fraction)]
    files = {"cquant": os.path.join(args.work, f"dream-{args.fraction}.cq")}
    if not os.path.exists(files["cquant"]):
        source = os.path.join(args.work, f"dream-{args.fraction}")
        subprocess.check_call([python, os.path.join(HERE, "make_dream.py"), source, *fraction])
        subprocess.check_call([f"{args.build}/cquant", "export", source, "-o", files["cquant"], "--dtype", "int4"])
        for name in os.listdir(source):
            os.remove(os.path.join(source, name))
        os.rmdir(source)
    for form in FORMATS:
        files[form] = os.path.join(args.work, f"dream-{args.fraction}-{form}.gguf")
        if not os.path.exists(files[form]):
            new = files[form] + ".new"
            subprocess.check_call([python, os.path.join(HERE, "make_gguf.py"), new, "--type", form, *fraction])
            os.rename(new, files[form])
    files["ids"] = os.path.join(args.work, "prompt.npy")
    np.save(files["ids"], np.frombuffer(PROMPT.encode(), np.uint8).astype(np.int32))
    return files


def ours(args, files, steps):
    wall, cpu, memory, said = run([
        f"{args.build}/cquant", "generate", files["cquant"], "--ids", files["ids"], "--max-new-tokens",
        str(args.tokens - len(PROMPT)), "--steps", str(steps), "--alg", "maskgit_plus", "--act", "int8", "--threads",
        str(args.threads), "--json", "--quiet"])
    report = json.loads(said)
    if report["forwards"] != steps:
        raise Failed(f"{steps} steps were asked of cquant, and {report['forwards']} forward passes made")
    return report["seconds"], cpu, memory


def theirs(args, program, model, steps):
    pin = {"OMP_PROC_BIND": "true"} if args.threads > 1 else {}
    wall, cpu, memory, said = run([
        os.path.join(program, "llama-diffusion-cli"), "-m", model, "-p", PROMPT, "-t", str(args.threads), "-tb",
        str(args.threads), "-ub", str(args.tokens), "-b", str(args.tokens), "-c", str(args.tokens), "--diffusion-eps",
        "0.001", "--diffusion-algorithm", "4", "--diffusion-steps", str(steps), "--temp", "0", "--top-k", "1"], pin)
    found = re.search(r"time per step: ([0-9.]+)ms", said)
    if not found:
        raise Failed(f"llama-diffusion-cli did not say how long a step takes\n{said[-500:]}")
    return steps * float(found.group(1)) / 1000, cpu, memory


def main():
    ap = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    ap.add_argument("build")
    ap.add_argument("llama", nargs="+")
    ap.add_argument("--fraction", type=int, default=8)
    ap.add_argument("--turns", type=int, default=3)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--tokens", type=int, default=256)
    ap.add_argument("--work", help="where the models lie (BUILD/peers)")
    ap.add_argument("--json")
    args = ap.parse_args()
    args.work = args.work or os.path.join(args.build, "peers")
    files = prepare(args)
    engines = {OURS: lambda steps: ours(args, files, steps)}
    for program in args.llama:
        for form in FORMATS:
            name = f"{os.path.basename(os.path.normpath(program))} {form}"
            engines[name] = lambda steps, p=program, f=form: theirs(args, p, files[f], steps)
    least = {name: [float("inf"), float("inf"), 0] for name in engines}
    for turn in range(args.turns):
        for name, step in list(engines.items()):
            try:
                wall1, cpu1, _ = step(1)
                wall3, cpu3, memory = step(3)
            except Failed as failed:
                if name == OURS:
                    sys.exit(f"peers_llama: {name}: {failed}")
                print(f"{name}: left out: {failed}", flush=True)
                del engines[name], least[name]
                continue
            now = [(wall3 - wall1) / 2, (cpu3 - cpu1) / 2, memory]
            best = least[name]
            least[name] = [min(best[0], now[0]), min(best[1], now[1]), max(best[2], now[2])]
            print(f"turn {turn + 1}: {name:24} wall {now[0]:8.3f} s  cpu {now[1]:8.3f} s a step", flush=True)
    layers, vocab = make_dream.shape(args.fraction)
    print(f"\n{layers} layers, vocabulary {vocab}, {args.tokens} tokens, {args.threads} threads, best of {args.turns}")
    print(f"{'':24} {'wall s/step':>12} {'cpu s/step':>12} {'memory MB':>10} {'cquant is':>12} {'by cpu':>8}")
    base = least[OURS]
    for name, (wall, cpu, memory) in least.items():
        print(f"{name:24} {wall:12.3f} {cpu:12.3f} {memory / 1e6:10.0f} {wall / base[0]:11.2f}x {cpu / base[1]:7.2f}x")
    if args.json:
        with open(args.json, "w", encoding="utf-8") as f:
            json.dump([{"name": n, "wall": w, "cpu": c, "memory": m} for n, (w, c, m) in least.items()], f, indent=1)


if __name__ == "__main__":
    main()
