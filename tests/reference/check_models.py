"""Compares build/cquant with transformers and PyTorch over the checkpoints that make_models.py wrote.

    python tests/reference/check_models.py BUILD MODELS [NAME ...] [--only WORD]

For each directory of MODELS (or the named ones) runs logits, eval, generate, rotate and quantize as subprocesses.
One line a check, `ok NAME max_err ...` or `FAIL NAME why`, then `N passed, N failed`; exit 1 if any failed.
--only WORD: checks of one kind (logits, determinism, eval, generate, rotate, quantize).

Tolerances: logits 1e-4 of their standard deviation, 1e-5 where rotated and computed in double (see InDouble); masked
loss 1e-4 nats; ids, and bytes across --isa and --threads,
must be equal.
"""
import argparse
import json
import math
import os
import subprocess
import sys
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from dream_ref import load_tensors, shift
from make_models import Reference, seeded

LOGITS, EXACT, LOSS = 1e-4, 1e-5, 1e-4
KINDS = ("logits", "determinism", "eval", "generate", "rotate", "quantize")
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


class InDouble(TorchFunctionMode):
    """A pass in float64 throughout: where a model turns to float32 in between (norms, softmax), it stays in float64."""

    def __torch_function__(self, function, types, arguments=(), kwargs=None):
        name = getattr(function, "__name__", "")
        if name == "float" and isinstance(arguments[0], torch.Tensor):
            return arguments[0].double()

        def wide(x):
            return torch.float64 if x is torch.float32 or x is torch.bfloat16 else x

        kwargs = {key: wide(value) for key, value in (kwargs or {}).items()}
        return function(*[wide(x) for x in arguments], **kwargs)

    def __enter__(self):
        torch.set_default_dtype(torch.float64)
        return super().__enter__()

    def __exit__(self, *why):
        torch.set_default_dtype(torch.float32)
        return super().__exit__(*why)


def double_logits(reference, ids):
    """What a Reference gives in double; it is left in double."""
    if reference.is_dream:
        reference.model.w = {key: value.double() for key, value in reference.model.w.items()}
    else:
        reference.model.double()
    with InDouble():
        return reference.logits(ids)


class ToolFailed(Exception):
    pass


class Checker:
    def __init__(self, build):
        self.tool = os.path.join(build, "cquant")
        self.passed = self.failed = 0

    def run(self, *arguments):
        """The JSON object that the tool prints; ToolFailed with its message otherwise."""
        command = [self.tool, *map(str, arguments), "--json", "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines() or ["(nothing on stderr)"]
            raise ToolFailed(f"exit {done.returncode} of `{' '.join(command[1:])}`: {lines[-1]}")
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise ToolFailed(f"stdout of `{' '.join(command[1:])}` is not one JSON object: {done.stdout[:200]!r}")

    def report(self, good, name, text):
        self.passed += bool(good)
        self.failed += not good
        print(("ok   " if good else "FAIL ") + f"{name:44} {text}", flush=True)

    def near(self, name, got, expected, limit):
        """got within limit of expected, both arrays; where expected is NaN anything goes."""
        got, expected = np.asarray(got), np.asarray(expected)
        if got.shape != expected.shape:
            return self.report(False, name, f"shape is {got.shape}, must be {expected.shape}")
        where = ~np.isnan(expected)
        error = np.abs(got.astype(np.float64) - expected)[where]
        worst = float(error.max()) if error.size else 0.0
        self.report(worst <= limit, name, f"max_err {worst:.2e} (limit {limit:.2e})")  # NaN is not <= limit

    def attempt(self, name, check, *arguments):
        """Runs one check; whatever goes wrong in it is that check's failure, not the end of the run."""
        try:
            check(*arguments)
        except (ToolFailed, OSError, KeyError, ValueError, TypeError, RuntimeError, subprocess.TimeoutExpired) as error:
            self.report(False, name, f"{type(error).__name__}: {error}")


class ModelChecks:
    def __init__(self, checker, path, scratch):
        self.c, self.path, self.scratch = checker, path, scratch
        self.name = os.path.basename(path.rstrip("/"))
        self.ids_file = os.path.join(path, "ids.npy")
        self.ids = np.load(self.ids_file)
        self.expected = np.load(os.path.join(path, "logits.npy"))
        self.std = float(self.expected.std())
        self.limit = LOGITS * self.std
        self.reference = Reference(path)

    def file(self, name):
        return os.path.join(self.scratch, f"{self.name}.{name}")

    def logits(self, model, *options):
        out = self.file("out.npy")
        if os.path.exists(out):
            os.remove(out)
        result = self.c.run("logits", model, "-o", out, *options)
        got = np.load(out)
        if got.dtype != np.float32:
            raise ToolFailed(f"dtype of the logits is {got.dtype}, must be float32")
        return got, result

    def each(self, kind):
        getattr(self, "check_" + kind)()

    # ---- logits ----
    def check_logits(self):
        def plain():
            got, result = self.logits(self.path, "--ids", self.ids_file)
            self.c.near(f"{self.name} logits", got, self.expected, self.limit)
            missing = {"tokens", "seconds", "arena_bytes"} - set(result)
            self.c.report(not missing and result["tokens"] == self.ids.size, f"{self.name} logits json",
                          f"missing {sorted(missing)}, tokens {result.get('tokens')} of {self.ids.size}")

        def one_row():  # 1-D ids give 2-D logits; int64 ids are read as int32 ones
            ids = self.file("row.npy")
            np.save(ids, self.ids[1].astype(np.int64))
            got, _ = self.logits(self.path, "--ids", ids)
            self.c.near(f"{self.name} logits 1-D int64 ids", got, self.expected[1], self.limit)

        def case(name, options):
            words = ["--ids", self.ids_file]
            for option, value in options.items():
                words += ["--" + option, os.path.join(self.path, value) if isinstance(value, str) else value]
            got, _ = self.logits(self.path, *words)
            expected = np.load(os.path.join(self.path, name + ".logits.npy"))
            self.c.near(f"{self.name} logits {name}", got, expected, self.limit)

        self.c.attempt(f"{self.name} logits", plain)
        self.c.attempt(f"{self.name} logits 1-D int64 ids", one_row)
        for entry in sorted(os.listdir(self.path)):
            name = entry.removesuffix(".json")
            if os.path.exists(os.path.join(self.path, name + ".logits.npy")) and entry.endswith(".json"):
                with open(os.path.join(self.path, entry)) as file:
                    self.c.attempt(f"{self.name} logits {name}", case, name, json.load(file))

    def check_determinism(self):
        """Every ISA and every thread count gives the bytes of the default."""
        def same(options):
            base, _ = self.logits(self.path, "--ids", self.ids_file)
            got, _ = self.logits(self.path, "--ids", self.ids_file, *options)
            differ = int((base.view(np.uint32) != got.view(np.uint32)).sum())
            self.c.report(differ == 0, f"{self.name} {' '.join(options)}", f"{differ} of {base.size} values differ")

        for options in (["--isa", "scalar"], ["--isa", "avx2"], ["--threads", "1"], ["--threads", "2"],
                        ["--threads", "3"], ["--threads", "3", "--isa", "scalar"]):
            if "avx2" in options and not has_avx2():
                continue
            self.c.attempt(f"{self.name} {' '.join(options)}", same, options)

    # ---- eval ----
    def check_eval(self):
        def run(ids, nll, *options):
            np.save(self.file("eval.npy"), ids)
            result = self.c.run("eval", self.path, "--ids", self.file("eval.npy"), *options)
            self.c.near(f"{self.name} eval nll", result["nll"], nll, LOSS)
            self.c.near(f"{self.name} eval perplexity", result["perplexity"] / math.exp(nll), 1.0, LOSS)

        random = seeded(self.name, "eval")
        ids = random.integers(2, 190, self.ids.shape).astype(np.int32)  # none of them special
        if not self.reference.is_dream:
            logits = torch.from_numpy(self.reference.logits(ids))[:, :-1]
            target = torch.from_numpy(ids).long()[:, 1:]
            nll = F.cross_entropy(logits.reshape(-1, logits.shape[-1]), target.reshape(-1)).item()
            return self.c.attempt(f"{self.name} eval", run, ids, nll)
        pattern = (random.random(ids.shape) < 0.5).astype(np.uint8)
        pattern[:, 0], pattern[:, 5] = 0, 1
        np.save(self.file("pattern.npy"), pattern)
        masked = np.where(pattern == 1, self.reference.model.mask_id, ids)
        logits = shift(torch.from_numpy(self.reference.logits(masked)))
        where = torch.from_numpy(pattern == 1)
        nll = F.cross_entropy(logits[where], torch.from_numpy(ids).long()[where]).item()
        self.c.attempt(f"{self.name} eval", run, ids, nll, "--mask-pattern", self.file("pattern.npy"))

    # ---- generate ----
    def check_generate(self):
        def run(case):
            prompt = np.array(case["prompt"], np.int32)
            np.save(self.file("prompt.npy"), prompt[0] if len(prompt) == 1 and not case["mask"] else prompt)
            options = list(case["options"])
            if case["mask"]:
                np.save(self.file("mask.npy"), np.array(case["mask"], np.uint8))
                options += ["--mask", self.file("mask.npy")]
            result = self.c.run("generate", self.path, "--ids", self.file("prompt.npy"), *options)
            got, expected = np.array(result["ids"]).reshape(-1), np.array(case["ids"]).reshape(-1)
            if got.shape != expected.shape:
                return self.c.report(False, f"{self.name} generate {case['case']}",
                                     f"{got.size} ids, must be {expected.size}")
            wrong = np.flatnonzero(got != expected)
            text = f"{got.size} ids equal"
            if wrong.size:
                at = wrong[0]
                text = f"{wrong.size} of {got.size} ids differ, the first at {at}: {got[at]}, must be {expected[at]}"
            self.c.report(not wrong.size, f"{self.name} generate {case['case']}", text)

        with open(os.path.join(self.path, "generate.json")) as file:
            for case in json.load(file):
                self.c.attempt(f"{self.name} generate {case['case']}", run, case)

    # ---- rotate ----
    def check_rotate(self):
        """The rotated directory gives the same logits, in transformers and in the tool, and its weights did change."""
        exact = double_logits(Reference(self.path), self.ids)

        def run(seed):
            out = self.file(f"rotated{seed}")
            name = f"{self.name} rotate seed {seed}"
            result = self.c.run("rotate", self.path, "-o", out, "--dtype", "fp32", "--verify", "--seed", seed)
            self.c.near(f"{name} max_logit_error", result["max_logit_error"], 0.0, self.limit)
            rotated = Reference(out)
            self.c.near(f"{name} transformers", rotated.logits(self.ids), self.expected, self.limit)
            self.c.near(f"{name} float64", double_logits(rotated, self.ids), exact, EXACT * self.std)
            got, _ = self.logits(out, "--ids", self.ids_file)
            self.c.near(f"{name} cquant", got, self.expected, self.limit)
            key = "model.layers.0.self_attn.q_proj.weight"
            before, after = load_tensors(self.path)[key], load_tensors(out)[key]
            moved = float((before - after).norm() / before.norm())
            self.c.report(moved > 0.1 and result["rotations"], f"{name} moved", f"q_proj by {moved:.2f} of its norm")
            embed, head = (load_tensors(out).get(n) for n in ("model.embed_tokens.weight", "lm_head.weight"))
            tied = bool(rotated.config.get("tie_word_embeddings"))
            self.c.report(tied == (head is None), f"{name} tie", f"tie_word_embeddings {tied}, lm_head.weight "
                          + ("absent" if head is None else f"present, {float((embed - head).abs().max()):.2f} off"))

        for seed in (0, 7):
            self.c.attempt(f"{self.name} rotate seed {seed}", run, seed)

    # ---- quantize ----
    def check_quantize(self):
        """A dequantised directory loads in transformers, gives there what it gives here, and is near the original."""
        def run(label, near, *options):
            out = self.file("hf-" + label)
            name = f"{self.name} quantize {label}"
            result = self.c.run("quantize", self.path, "-o", out, "--format", "hf", "--calib-ids", self.ids_file,
                                *options)
            expected = Reference(out).logits(self.ids)
            got, _ = self.logits(out, "--ids", self.ids_file)
            self.c.near(f"{name} transformers = cquant", got, expected, self.limit)
            rms = float(np.sqrt(((expected - self.expected) ** 2).mean())) / self.std
            self.c.report(0 < rms < near, f"{name} quality", f"rms {rms:.4f} of std (limit {near})")
            before, after = load_tensors(self.path), load_tensors(out)
            names = {m["name"] for m in result["modules"]}
            wanted = {key.removesuffix(".weight") for key in before if key.removesuffix(".weight").endswith(LINEARS)}
            kept = [key for key in before if key.removesuffix(".weight") not in wanted
                    and not torch.equal(before[key], after[key])]
            self.c.report(names == wanted and not kept and set(before) == set(after), f"{name} modules",
                          f"{len(names)} of {len(wanted)}, changed though not quantised: {kept[:3]}")
            worse = [m["name"] for m in result["modules"] if m["loss"] > m["rtn_loss"] * 1.02]
            self.c.report(not worse, f"{name} loss <= rtn_loss", f"{len(worse)} modules worse {worse[:2]}")
            for key in ("bytes_in", "bytes_out", "peak_bytes", "seconds"):
                if key not in result:
                    self.c.report(False, f"{name} json", f"no {key}")

        def artefact():
            out = self.file("model.cq")
            self.c.run("quantize", self.path, "-o", out, "--bits", 8, "--group-size", 32, "--method", "rtn", "--force")
            got, _ = self.logits(out, "--ids", self.ids_file)
            rms = float(np.sqrt(((got - self.expected) ** 2).mean())) / self.std
            self.c.report(0 < rms < 0.1, f"{self.name} quantize cq 8 bits", f"rms {rms:.4f} of std (limit 0.1)")

        sets = (("rtn8", 0.05, "--method", "rtn", "--bits", "8", "--group-size", "32"),
                ("gptq4", 0.6, "--bits", "4", "--group-size", "32"),
                ("gptq4-asym-row", 0.7, "--bits", "4", "--group-size", "-1", "--asym", "--act-order"))
        for label, near, *options in sets:
            self.c.attempt(f"{self.name} quantize {label}", run, label, near, *options)
        self.c.attempt(f"{self.name} quantize cq 8 bits", artefact)


def has_avx2():
    try:
        with open("/proc/cpuinfo") as file:
            return " avx2" in file.read()
    except OSError:
        return False


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("models")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--only", choices=KINDS)
    args = parser.parse_args()
    found = sorted(n for n in os.listdir(args.models) if os.path.exists(os.path.join(args.models, n, "logits.npy")))
    names = args.names or found
    if not names:
        sys.exit(f"{args.models}: no checkpoint with logits.npy; run make_models.py first")
    checker = Checker(args.build)
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            checks = ModelChecks(checker, os.path.join(args.models, name), scratch)
            for kind in [args.only] if args.only else KINDS:
                checker.attempt(f"{name} {kind}", checks.each, kind)
    print(f"{checker.passed} passed, {checker.failed} failed")
    return 1 if checker.failed else 0


if __name__ == "__main__":
    sys.exit(main())
