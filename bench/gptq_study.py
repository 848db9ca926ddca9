"""Which steps of GPTQ make a model better: KL divergence from the model itself on held-out text, beside GPTQModel.

    python bench/gptq_study.py BUILD MODEL --calib FILE --eval FILE [--samples N] [--draws N] [--json FILE]
        [--formats 4:64,4:128,3:64,mxfp4] [--steps alone,together,options] [--gptqmodel default,desc_act]

MODEL: a Hugging Face directory. FILE: text, or ids (.npy, int32 or int64, one window a row). Formats are BITS:GROUP or
a word of --wq. The yardstick is plain GPTQ: natural order, scales that just cover a group (of mx formats: by the rule
of their specification, floor), damping .05, no second thoughts. The table has it, then each step of ours alone on top
of it, then ours without each step, then ours. --draws N: calibrates N times on different windows (ids: consecutive
parts of the rows; text: for a diffusion model other masks, --seed), and the spread of the KL is half of its range.
--gptqmodel: GPTQModel (bench/requirements.txt) quantises the same windows by its own API, and its checkpoint is read
back by this script, from the bits, and evaluated by the same program; integers and causal models only.

loss is the mean over the linears of tr((W-Q) H (W-Q)^T) / tr(W H W^T) on the calibration text: it can fall while the
model becomes worse, so it is not what to judge by.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import numpy as np

KEYS = ("kl", "top1", "nll", "loss", "made")
PLAIN = {"order": "natural", "search": "minmax", "sweeps": "0", "refit": False, "damp": "0.05"}
OURS = {"order": "static", "search": "pivots", "sweeps": None, "refit": False, "damp": "0.01"}  # None: within the pass


def options(recipe):
    words = []
    for key, value in recipe.items():
        if key == "refit":
            words += ["--refit"] if value else []
        elif value is not None:
            words += ["--" + key, value]
    return words


def recipes(which, mx):
    """-> {title: options of quantize}"""
    plain = {**PLAIN, "search": "floor"} if mx else PLAIN
    table = {"plain": options(plain)}
    if mx:
        table["plain, scales that cover"] = options(PLAIN)
    if "alone" in which:
        for step, value in OURS.items():
            table[f"plain, {step} as ours"] = options({**plain, step: value})
    if "together" in which:
        for step, value in plain.items():
            table[f"ours, {step} as plain"] = options({**OURS, step: value})
    if "options" in which:
        table["ours, diagonal search"] = options({**OURS, "search": "diagonal"})
        table["ours, uniform search"] = options({**OURS, "search": "uniform"})
        table["ours, damp .001"] = options({**OURS, "damp": "0.001"})
        table["ours, one sweep"] = options({**OURS, "sweeps": "1"})
        table["ours, refit"] = options({**OURS, "refit": True})
        table["ours, two sweeps"] = options({**OURS, "sweeps": "2"})
    table["ours"] = []  # the defaults, whatever they are
    return table


class Study:
    def __init__(self, args, scratch):
        self.args, self.scratch = args, scratch
        self.diffusion = "dream" in self.config()["model_type"].lower()
        self.calib = [self.windows(args.calib, draw) for draw in range(args.draws)]

    def config(self):
        with open(os.path.join(self.args.model, "config.json")) as file:
            return json.load(file)

    def windows(self, path, draw):
        """Options that calibrate on one draw of windows."""
        n = self.args.samples
        if not path.endswith(".npy"):
            return ["--calib", path, "--samples", n, "--seq-len", self.args.seq_len, "--seed", draw]
        ids = np.load(path)
        rows = ids if len(ids) < n else ids[draw * n:(draw + 1) * n]
        if not self.diffusion and (len(rows) < n or (draw and len(ids) < n)):
            raise SystemExit(f"{path}: {len(ids)} rows; {self.args.draws} draws need {self.args.draws * n}")
        part = os.path.join(self.scratch, f"calib-{draw}.npy")
        np.save(part, np.ascontiguousarray(rows))
        return ["--calib-ids", part, "--samples", len(rows), "--seed", draw]

    def run(self, *words):
        words = [os.path.join(self.args.build, "cquant"), *map(str, words), "--json", "--quiet"]
        p = subprocess.run(words, capture_output=True, text=True)
        if p.returncode:
            raise SystemExit(f"{' '.join(words)}: {p.stderr}")
        return json.loads(p.stdout)

    def evaluate(self, model):
        kind = "--ids" if self.args.eval.endswith(".npy") else "--text"
        words = [kind, self.args.eval, "--reference", self.args.model]
        if kind == "--text":
            words += ["--window", 128, "--samples", self.args.eval_samples]
        return self.run("eval", model, *words)

    def ours(self, draw, words):
        out = os.path.join(self.scratch, "q.cq")
        made = self.run("quantize", self.args.model, "-o", out, "--force", *self.calib[draw], *words)
        loss = [m["loss"] for m in made["modules"] if "loss" in m]
        return {**self.evaluate(out), "loss": sum(loss) / max(1, len(loss)), "made": made["seconds"]}

    def gptqmodel(self, draw, bits, group, variant):
        """By its own API, in a process of its own; its checkpoint, dequantised, in the place of the linears."""
        out = os.path.join(self.scratch, "peer")
        shutil.rmtree(out, ignore_errors=True)
        ids = self.calib[draw][1]
        words = [sys.executable, os.path.abspath(__file__), "--peer", self.args.model, ids, out, bits, group, variant]
        p = subprocess.run([str(w) for w in words], capture_output=True, text=True)
        if p.returncode:
            raise SystemExit(f"GPTQModel: {p.stdout[-2000:]}\n{p.stderr[-4000:]}")
        return {**self.evaluate(os.path.join(out, "model")), "loss": float("nan"),
                "made": float(p.stdout.split("SECONDS")[-1])}


def unpack(words, bits, axis, count):
    """Codes of `bits` from int32 words, a little-endian stream of bits along `axis`."""
    stream = np.unpackbits(np.moveaxis(words, axis, -1).copy().view(np.uint8), axis=-1, bitorder="little")
    stream = stream[..., :count * bits].reshape(*stream.shape[:-1], count, bits)
    return np.moveaxis((stream * (1 << np.arange(bits))).sum(-1), -1, axis)


def dequantise(get, bits, v1):
    """A linear of a GPTQ checkpoint: get(suffix) -> array; float32 (rows, cols)"""
    scales, group = get("scales").astype(np.float32), get("g_idx").astype(np.int64)  # (groups, rows), (cols)
    codes = unpack(get("qweight"), bits, 0, len(group))
    zeros = unpack(get("qzeros"), bits, 1, scales.shape[1])
    if v1:  # stores the zero less one
        zeros = (zeros + 1) % (1 << bits)
    return np.ascontiguousarray((scales[group] * (codes - zeros[group])).T.astype(np.float32))


def peer(model, ids, out, bits, group, variant):
    """Quantises with GPTQModel -> OUT/q (its checkpoint), OUT/model (float32)."""
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")  # else it refuses to start on machines of few cores
    import time
    import torch
    from gptqmodel import GPTQModel, QuantizeConfig
    from safetensors.numpy import load_file, save_file
    model, ids, out = map(os.path.abspath, (model, ids, out))
    os.makedirs(out)
    os.chdir(out)  # it leaves logs where it runs
    base = os.path.join(out, "base")  # it wants a tokenizer, and ids need none: a copy with the simplest one
    shutil.copytree(model, base)
    if not os.path.exists(os.path.join(base, "tokenizer.json")):
        from tokenizers import Tokenizer, models
        from transformers import PreTrainedTokenizerFast
        words = {"<unk>": 0, "<s>": 1, "</s>": 2}
        tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
        PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", bos_token="<s>", eos_token="</s>",
                                pad_token="</s>").save_pretrained(base)
    calibration = [{"input_ids": row.tolist(), "attention_mask": [1] * len(row)} for row in np.load(ids)]
    wish = {"desc_act": True, "act_group_aware": False} if variant == "desc_act" else {}
    work = GPTQModel.load(base, QuantizeConfig(bits=bits, group_size=group, **wish), device="cpu", dtype=torch.float32)
    began = time.perf_counter()
    work.quantize(calibration, batch_size=1)
    seconds = time.perf_counter() - began
    work.save(os.path.join(out, "q"))
    stored = {}
    for name in sorted(os.listdir(os.path.join(out, "q"))):
        if name.endswith(".safetensors"):
            stored.update(load_file(os.path.join(out, "q", name)))
    with open(os.path.join(out, "q", "quantize_config.json")) as file:
        v1 = json.load(file).get("checkpoint_format", "gptq") == "gptq"
    tensors, replaced = {}, 0
    for name in sorted(os.listdir(model)):
        if name.endswith(".safetensors"):
            tensors.update(load_file(os.path.join(model, name)))
    for name, value in tensors.items():
        module = name.removesuffix(".weight")
        if module + ".qweight" not in stored:
            continue
        w = dequantise(lambda suffix, module=module: stored[module + "." + suffix], bits, v1)
        assert w.shape == value.shape, name
        tensors[name] = w
        replaced += 1
    if not replaced or replaced != sum(name.endswith(".qweight") for name in stored):
        raise SystemExit(f"{replaced} linears found in the checkpoint of GPTQModel")
    os.makedirs(os.path.join(out, "model"))
    shutil.copy(os.path.join(model, "config.json"), os.path.join(out, "model"))
    save_file(tensors, os.path.join(out, "model", "model.safetensors"), {"format": "pt"})
    shutil.rmtree(base)
    print("SECONDS", seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build", help="where cquant lies")
    parser.add_argument("model")
    parser.add_argument("--calib", required=True)
    parser.add_argument("--eval", required=True)
    parser.add_argument("--samples", type=int, default=32, help="calibration windows in a draw")
    parser.add_argument("--seq-len", type=int, default=256, help="of a text")
    parser.add_argument("--eval-samples", type=int, default=96, help="windows of 128 of a text")
    parser.add_argument("--draws", type=int, default=1)
    parser.add_argument("--formats", default="4:64,4:128,3:64")
    parser.add_argument("--steps", default="alone,together,options")
    parser.add_argument("--gptqmodel", default="", help="default, desc_act")
    parser.add_argument("--json")
    args = parser.parse_args()
    which, table = args.steps.split(","), []
    with tempfile.TemporaryDirectory() as scratch:
        study = Study(args, scratch)
        if args.gptqmodel and (study.diffusion or not args.calib.endswith(".npy")):
            raise SystemExit("--gptqmodel needs a causal model (it knows no masks) and ids (the same windows)")
        print("| format | method | KL | +- | of plain | top-1 % | nll | loss x1e-3 | s |\n" + "| --- " * 9 + "|",
              flush=True)
        for name in args.formats.split(","):
            bits, _, group = name.partition(":")
            form = ["--bits", bits, "--group-size", group] if group else ["--wq", name]
            plain = None
            rows = {title: ("ours", words) for title, words in recipes(which, name.startswith("mx")).items()}
            for variant in filter(None, args.gptqmodel.split(",") if group else []):
                rows[f"GPTQModel, {variant}"] = ("peer", variant)
            for title, (kind, how) in rows.items():
                results = []
                for draw in range(args.draws):
                    if kind == "peer":
                        results.append(study.gptqmodel(draw, bits, group, how))
                    else:
                        results.append(study.ours(draw, [*form, *how]))
                mean = {key: float(np.mean([r[key] for r in results])) for key in KEYS}
                spread = (max(r["kl"] for r in results) - min(r["kl"] for r in results)) / 2
                plain = plain or mean["kl"]
                print(f"| {name} | {title} | {mean['kl']:.5f} | {spread:.5f} | {mean['kl'] / plain:.3f} | "
                      f"{100 * mean['top1']:.2f} | {mean['nll']:.4f} | {1000 * mean['loss']:.3f} | "
                      f"{mean['made']:.0f} |", flush=True)
                table.append({"format": name, "method": title, "spread": spread, **mean,
                              "kls": [r["kl"] for r in results]})
    if args.json:
        with open(args.json, "w") as file:
            json.dump(table, file, indent=1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(*sys.argv[2:5], int(sys.argv[5]), int(sys.argv[6]), sys.argv[7])
    else:
        main()
