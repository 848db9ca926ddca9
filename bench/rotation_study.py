"""What rotations do to a quantised model: a table of the KL divergence from the model itself.

    python bench/rotation_study.py BUILD MODEL --calib IDS.npy --eval IDS.npy [--samples N] [--scratch DIR] [--only WORD]

Weights in 4 bits (groups of 64, or of 32 where that is said; GPTQ and to nearest), activations as they are (A16), in 8
and in 4 bits; weights in microscaling formats (mxfp4, mxfp6: numpy and ml_dtypes, blocks of 32, the scale 2^(floor(log2
max) - emax) of the OCP specification), activations as they are. Rotations: none; R1 and R2 over all channels (auto);
the same in blocks of 32; each with an online R4 before down (4-bit integers only). Needs numpy and ml_dtypes.
"""
import argparse
import json
import os
import shutil
import subprocess

import ml_dtypes
import numpy as np

BLOCK = 32  # of microscaling formats
MX = {"mxfp4": (ml_dtypes.float4_e2m1fn, 2, 6.0), "mxfp6 e2m3": (ml_dtypes.float6_e2m3fn, 2, 7.5),
      "mxfp6 e3m2": (ml_dtypes.float6_e3m2fn, 4, 28.0)}
ROTATIONS = {"none": [], "R1 R2": ["auto"], "R1 R2 in blocks of 32": [f"auto:{BLOCK}"]}


def sylvester(n):
    h = np.ones((1, 1))
    while len(h) < n:
        h = np.block([[h, h], [h, -h]])
    return h / np.sqrt(n)


def mx_round(w, dtype, emax, largest, turn=None):
    """Rows in blocks of 32: an exponent for each, elements rounded to nearest even and saturated. turn: in that basis."""
    x = w.reshape(-1, BLOCK).astype(np.float64)
    if turn is not None:
        x = x @ turn
    peak = np.abs(x).max(axis=1, keepdims=True)
    scale = np.exp2(np.floor(np.log2(np.where(peak > 0, peak, 1))) - emax)
    q = np.clip(x / scale, -largest, largest).astype(np.float32).astype(dtype).astype(np.float64)
    q = q * scale if turn is None else (q * scale) @ turn.T
    return q.astype(np.float32).reshape(w.shape)


def mx_model(source, target, dtype, emax, largest, turn=None):
    """A copy of a directory of float32 tensors whose linears are rounded; embedding and head stay."""
    shutil.copytree(source, target)
    path = os.path.join(target, "model.safetensors")
    with open(path, "r+b") as f:
        size = int.from_bytes(f.read(8), "little")
        header = json.loads(f.read(size))
        for name, t in header.items():
            if name == "__metadata__" or len(t["shape"]) != 2 or "embed" in name or "lm_head" in name:
                continue
            assert t["dtype"] == "F32", name
            f.seek(8 + size + t["data_offsets"][0])
            w = np.frombuffer(f.read(t["data_offsets"][1] - t["data_offsets"][0]), np.float32).reshape(t["shape"])
            f.seek(8 + size + t["data_offsets"][0])
            f.write(mx_round(w, dtype, emax, largest, turn).tobytes())


class Study:
    def __init__(self, args):
        self.args, self.tool = args, os.path.join(args.build, "cquant")
        os.makedirs(args.scratch, exist_ok=True)

    def run(self, *words):
        p = subprocess.run([self.tool, *map(str, words), "--json", "--quiet"], capture_output=True, text=True)
        if p.returncode:
            raise SystemExit(f"{' '.join(map(str, words))}: {p.stderr}")
        return json.loads(p.stdout)

    def path(self, name):
        path = os.path.join(self.args.scratch, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.remove(path)
        return path

    def kl(self, model, *options):
        return self.run("eval", model, "--ids", self.args.eval, "--reference", self.args.model, *options)["kl"]

    def integers(self, method, group):
        for label, rotation in ROTATIONS.items():
            for online in ([], ["r4"], [f"r4:{BLOCK}"]):
                if online and (label.endswith(str(BLOCK))) != (online != ["r4"]):
                    continue  # R4 is of the size of the others
                out = self.path("q.cq")
                options = ["--bits", 4, "--group-size", group, "--method", method]
                if method == "gptq":
                    options += ["--calib-ids", self.args.calib, "--samples", self.args.samples]
                if rotation:
                    options += ["--rotate", *rotation]
                if online:
                    options += ["--online", *online]
                self.run("quantize", self.args.model, "-o", out, *options)
                row = [self.kl(out), self.kl(out, "--act-bits", 8), self.kl(out, "--act-bits", 4)]
                self.say(f"int4 g{group} {method}", label + (" R4" if online else ""), row)

    def microscaling(self):
        for label, rotation in ROTATIONS.items():
            source = self.path("rotated")
            if rotation:
                self.run("rotate", self.args.model, "-o", source, "--dtype", "fp32", "--config",
                         *rotation)
            else:
                shutil.copytree(self.args.model, source)
            for name, (dtype, emax, largest) in MX.items():
                target = self.path("mx")
                mx_model(source, target, dtype, emax, largest)
                self.say(f"{name} rtn", label, [self.kl(target)])
                if not rotation:  # what turning the input of each linear at run time, norms as they are, would give
                    target = self.path("mx")
                    mx_model(source, target, dtype, emax, largest, sylvester(BLOCK))
                    self.say(f"{name} rtn", f"each linear's input in blocks of {BLOCK}", [self.kl(target)])

    @staticmethod
    def say(weights, rotation, row):
        row = [f"{kl:.5f}" for kl in row] + ["-"] * (3 - len(row))
        print(f"| {weights} | {rotation} | {' | '.join(row)} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("model")
    parser.add_argument("--calib", required=True)
    parser.add_argument("--eval", required=True)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--scratch", default="build/rotation_study")
    parser.add_argument("--only", choices=("gptq", "rtn", "mx"))
    args = parser.parse_args()
    study = Study(args)
    print("| weights | rotation | KL, A16 | A8 | A4 |\n| --- | --- | --- | --- | --- |")
    for method in ("gptq", "rtn"):
        for group in (64, 32):
            if args.only in (None, method):
                study.integers(method, group)
    if args.only in (None, "mx"):
        study.microscaling()


if __name__ == "__main__":
    main()
