"""Compares build/cquant with the checkpoints of many architectures that make_arch.py wrote.

    python tests/reference/check_arch.py BUILD MODELS [NAME ...] [--only WORD]

For each directory of MODELS (or the named ones) and as subprocesses:
    logits     of ids.npy, the same with config.legacy.json, and with a prefill of 7 tokens and the rest decoded
    generate   dual-stream models: the ids of generation with guidance
    rotate     where `cquant models` says so: logits of the rotated directory, here and in transformers, there also in
               float64 (see InDouble), and the same generated ids
    quantize   RTN with 8 bits, GPTQ with 4 bits on random ids: it succeeds, and logits stay finite and near
One line a check, `ok NAME max_err ...` or `FAIL NAME why`; `skip NAME why` where this build does not know the type;
then `N passed, N failed`; exit 1 if any failed.  Logits may differ by 1e-4 of their standard deviation, in float64 by
1e-5.
"""
import argparse
import os
import shutil
import sys
import tempfile

import numpy as np
import torch

from arch_configs import CONFIGS
from check_models import EXACT, LOGITS, Checker, InDouble, ToolFailed
from cube_ref import Cube
from make_arch import SDPA, forward, load_file, load_model, read_json, weights

# Attention that chooses keys is described as one that sees all: exact, and allowed, as far as all are chosen.
EXACT_TO = {"deepseek_v32": 8, "glm_moe_dsa": 8, "minimax_m3_vl_text__sparse": 12}
APART = {  # not compared, and why
    "phimoe__longrope": "transformers takes short_factor at any length, the published code does not",
}
KINDS = ("logits", "generate", "rotate", "quantize")


class ArchChecks:
    def __init__(self, checker, path, known, scratch):
        self.c, self.path, self.scratch = checker, path, scratch
        self.name = os.path.basename(path.rstrip("/"))
        self.meta = read_json(os.path.join(path, "meta.json"))
        self.known = known.get(self.meta["model_type"], {})
        self.expected = np.load(os.path.join(path, "logits.npy"))
        self.limit = LOGITS * self.meta["std"]
        self.ids = ["--ids", os.path.join(path, "ids.npy")]
        if self.name in EXACT_TO:
            self.expected = self.expected[:, :EXACT_TO[self.name]]
            self.ids[1] = self.file("ids.npy")
            np.save(self.ids[1], np.load(os.path.join(path, "ids.npy"))[:, :EXACT_TO[self.name]])
        for option, file_name in (("--text-embeds", "text.npy"), ("--bbox", "bbox.npy")):
            if os.path.exists(os.path.join(path, file_name)):
                self.ids += [option, os.path.join(path, file_name)]

    def file(self, name):
        return os.path.join(self.scratch, name)

    def logits(self, model, *options):
        out = self.file("out.npy")
        if os.path.exists(out):
            os.remove(out)
        self.c.run("logits", model, "-o", out, *self.ids, *options)
        return np.load(out)

    def near(self, text, got, expected=None):
        self.c.near(f"{self.name} {text}", got, self.expected if expected is None else expected, self.limit)

    def attempt(self, text, check, *arguments):
        self.c.attempt(f"{self.name} {text}", check, *arguments)

    # ---- logits ----
    def check_logits(self):
        def plain():
            self.near("logits", self.logits(self.path))

        def legacy():
            other = self.file("legacy")
            os.makedirs(other)
            for name in os.listdir(self.path):
                if name.endswith((".safetensors", ".safetensors.index.json")):
                    os.symlink(os.path.abspath(os.path.join(self.path, name)), os.path.join(other, name))
            shutil.copy(os.path.join(self.path, "config.legacy.json"), os.path.join(other, "config.json"))
            self.near("logits config.legacy.json", self.logits(other))

        def prefill():
            expected = os.path.join(self.path, "logits.prefill7.npy")
            self.near("logits --prefill 7", self.logits(self.path, "--prefill", "7"),
                      np.load(expected) if os.path.exists(expected) else None)

        self.attempt("logits", plain)
        if os.path.exists(os.path.join(self.path, "config.legacy.json")):
            self.attempt("logits config.legacy.json", legacy)
        if self.meta["decode"] != "by-design":  # else the rope of the prefill is another one
            self.attempt("logits --prefill 7", prefill)

    # ---- generate ----
    def check_generate(self, model=None):
        if "generate" not in self.meta:
            return
        case, text = self.meta["generate"], "rotate generate" if model else "generate"

        def run(row):
            options = ["--max-new-tokens", case["new"], "--guidance", case["guidance"]]
            for option, name in (("--text-embeds", "text"), ("--uncond-text-embeds", "uncond"), ("--bbox", "bbox")):
                source = os.path.join(self.path, name + ".npy")
                if os.path.exists(source):
                    np.save(self.file(name + ".npy"), np.load(source)[row:row + 1])
                    options += [option, self.file(name + ".npy")]
            got = np.array(self.c.run("generate", model or self.path, *options)["ids"]).reshape(-1).tolist()
            self.c.report(got == case["ids"][row], f"{self.name} {text} row {row}", f"{got} of {case['ids'][row]}")

        for row in range(len(case["ids"])):
            self.attempt(f"{text} row {row}", run, row)

    # ---- rotate ----
    def check_rotate(self):
        """Where the description can be rotated, unless tensors of a front end are there that would have to turn too."""
        def exact(path):
            """The logits of a directory in double, as the reference computes them; None: there is no reference."""
            if "generate" in self.meta:  # two streams
                tensors = {name: value.double() for name, value in load_file(path + "/model.safetensors").items()}
                source = self.path if os.path.exists(self.path + "/config.json") else self.path.removesuffix("--yaml")
                arrays = [torch.from_numpy(np.load(os.path.join(self.path, name + ".npy")))
                          if os.path.exists(os.path.join(self.path, name + ".npy")) else None
                          for name in ("ids", "text", "codebook", "bbox")]
                ids, text, codes, box = [a.double() if a is not None and a.is_floating_point() else a for a in arrays]
                with InDouble():
                    cube = Cube(read_json(os.path.join(source, "config.json")), tensors, codes)
                    return cube.forward(ids.long(), cube.condition(text, box))
            if self.name not in CONFIGS:
                return None
            model = load_model(path, CONFIGS[self.name]["cls"], "sdpa" if self.name in SDPA else "eager").double()
            with InDouble():
                return forward(model, np.load(self.ids[1]))

        def run():
            out = self.file("rotated")
            # seed 1: float rounds qwen3_next, whose layers make much of little, by 1e-4 whether it is rotated or not
            result = self.c.run("rotate", self.path, "-o", out, "--dtype", "fp32", "--verify", "--seed", "1")
            self.near("rotate max_logit_error", result["max_logit_error"], 0.0)
            self.c.report(bool(result["rotations"]), f"{self.name} rotate rotations", f"{result['rotations']}"[:60])
            self.near("rotate cquant", self.logits(out))
            if self.name in CONFIGS:
                model = load_model(out, CONFIGS[self.name]["cls"], "sdpa" if self.name in SDPA else "eager")
                self.near("rotate transformers", forward(model, np.load(self.ids[1])).float().numpy())
            before = exact(self.path)
            if before is not None:
                self.c.near(f"{self.name} rotate float64", exact(out), before, EXACT * self.meta["std"])
            if "generate" in self.meta:
                self.near("rotate --prefill 7", self.logits(out, "--prefill", "7"))
                self.check_generate(out)

        if not self.known.get("rotates"):
            return
        if self.known.get("carries") and not self.c.run("inspect", self.path)["rotations"]:
            self.c.report("carried" in self.c.run("inspect", self.path)["why"], f"{self.name} rotate", "carried tensors")
            return
        self.attempt("rotate", run)

    # ---- quantize ----
    def check_quantize(self):
        calibration = self.file("calib.npy")
        vocab = self.expected.shape[-1] - 8
        u = weights("calibration", [4, self.expected.shape[1]], 0.5, 0.499)
        np.save(calibration, (3 + u * (vocab - 3)).astype(np.int32))

        def run(label, limit, *options):
            out = self.file(label + ".cq")
            result = self.c.run("quantize", self.path, "-o", out, *options)
            got = self.logits(out)
            rms = float(np.sqrt(((got - self.expected) ** 2).mean())) / self.meta["std"]
            self.c.report(0 < rms < limit and bool(result["modules"]), f"{self.name} quantize {label}",
                          f"rms {rms:.4f} of std (limit {limit}), {len(result['modules'])} modules")

        if not self.known.get("quantizes") or "generate" in self.meta:  # a second input: see check_generate's options
            return
        # few bits in a few wide random layers may do anything to the choice of experts: finite and not far
        self.attempt("quantize rtn8", run, "rtn8", 0.6, "--method", "rtn", "--bits", "8", "--group-size", "32")
        self.attempt("quantize gptq4", run, "gptq4", 2.0, "--bits", "4", "--group-size", "32", "--calib-ids",
                     calibration)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("models")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--only", choices=KINDS)
    args = parser.parse_args()
    found = sorted(n for n in os.listdir(args.models) if os.path.exists(os.path.join(args.models, n, "meta.json")))
    names = args.names or found
    if not names:
        sys.exit(f"{args.models}: no checkpoint with meta.json; run make_arch.py first")
    checker, skipped = Checker(args.build), 0
    known = {row["model_type"]: row for row in checker.run("models")["models"]}
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            checks = ArchChecks(checker, os.path.join(args.models, name), known, scratch)
            if name in APART:
                skipped += 1
                print(f"skip {name:44} {APART[name]}", flush=True)
                continue
            if not checks.known.get("runs"):
                skipped += 1
                try:
                    checks.logits(checks.path)
                    why = "runs, but `cquant models` does not say so"
                except ToolFailed as error:
                    why = str(error)
                print(f"skip {name:44} {checks.meta['model_type']}: {why[-160:]}", flush=True)
                continue
            for kind in [args.only] if args.only else KINDS:
                checker.attempt(f"{name} {kind}", getattr(checks, "check_" + kind))
    print(f"{skipped} skipped")
    print(f"{checker.passed} passed, {checker.failed} failed")
    return 1 if checker.failed else 0


if __name__ == "__main__":
    sys.exit(main())
