"""Quantised checkpoints between build/cquant and the packages that others read and write them with.

    python tests/reference/check_quantized.py BUILD MODELS [--only WORD]

Quantises checkpoints that make_arch.py wrote as GPTQ and compressed-tensors directories and compares what they give:

    same          `cquant logits` of the directory and of the .cq file of the same options: equal bits (where a .cq file
                  cannot hold the groups: of --format hf, within ROUNDING)
    by hand       the tensors unpacked bit by bit below, as a float checkpoint in transformers
    transformers  which reads GPTQ through optimum and gptqmodel, and compressed-tensors through its package
    gptqmodel     GPTQModel.load, BACKEND.TORCH, fp16
    back          checkpoints that GPTQModel and compressed-tensors wrote, read by cquant, against unpacking by hand

Differences are relative, |a - b| / |b| over all logits. One line a check, then `N passed, N failed`; exit 1 if any
failed. --only WORD: one of these kinds. What a package cannot read is not tried, and said in `CANNOT`.
"""
import argparse
import contextlib
import glob
import json
import os
import shutil
import sys
import tempfile

os.environ["CUDA_VISIBLE_DEVICES"] = ""
os.environ.setdefault("GPTQMODEL_CPU_WORKERS", "2")

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from check_models import Checker

ROUNDING, HALF = 1e-5, 3e-3  # float32 against float32; loaders that multiply in fp16
CANNOT = {
    "gptqmodel qwen2_moe": "it wants experts in every layer",
    "gptqmodel mixtral": "it reads the experts' names that transformers 5 has inside, not those of the hub; they are "
                         "renamed for it here",
    "gptqmodel groups": "group sizes other than -1, 16, 32, 64, ...",
    "transformers mixed": "optimum does not read `dynamic`; a skip that is the same in each layer it reads",
    "transformers gpt2": "it initialises c_proj.weight, which a quantised module has not",
    "transformers experts": "optimum replaces linears, and transformers 5 keeps experts in one parameter",
    "transformers asym": "its empty model has the zero points of compressed-tensors unpacked; checked with the "
                         "package's own decompress instead",
    "transformers three formats": "it unpacks all modules in the first one's way when it loads; checked likewise",
}
MIXED = {"default": {"wq": "int4", "group_size": 32},
         "overrides": [{"pattern": "*.o_proj", "wq": "int8"}, {"pattern": "lm_head", "wq": "int8"},
                       {"pattern": "*.layers.0.mlp.down_proj", "skip": True},
                       {"pattern": "*.1.self_attn.v_proj", "asym": True}]}
EXPERTS = ("mixtral", "olmoe", "qwen2_moe")
KINDS = ("same", "by hand", "transformers", "gptqmodel")
THREE = {"default": {"wq": "int4", "group_size": 32},
         "overrides": [{"pattern": "*.down_proj", "wq": "mxfp4"}, {"pattern": "*.o_proj", "wq": "fp8"}]}
SKIP = {"overrides": [{"pattern": "*.down_proj", "skip": True}]}
CASES = [  # model, name, options; cq: a .cq file can hold it; gptq, ct: only that; by whom it is read; half: its
    # scales are fp16, and transformers multiplies codes with them in that
    ("llama", "int4", "--bits 4 --group-size 32", "cq hand transformers gptqmodel"),
    ("llama", "int3 asym", "--bits 3 --group-size 32 --asym", "cq hand gptqmodel"),
    ("llama", "int2 g16", "--bits 2 --group-size 16", "hand gptqmodel"),
    ("llama", "int8 rows", "--bits 8 --group-size -1", "cq hand transformers gptqmodel"),
    ("llama", "int4 g24", "--bits 4 --group-size 24", "gptq hand"),
    ("llama", "int4 act-order", "--bits 4 --group-size 32 --act-order", "gptq hand transformers gptqmodel"),
    ("llama", "mixed", "--config mixed.json", "cq hand gptqmodel"),
    ("llama", "skip", "--group-size 32 --config skip.json", "cq hand transformers gptqmodel"),
    ("llama", "rotated", "--bits 4 --group-size 32 --rotate auto", "cq hand transformers gptqmodel"),
    ("llama", "shards", "--bits 4 --group-size 32 --shard-size 40KB", "cq hand transformers gptqmodel"),
    ("llama", "mxfp4", "--wq mxfp4", "cq ct hand"),
    ("llama", "mxfp6", "--wq mxfp6", "cq ct hand"),
    ("llama", "mxfp8", "--wq mxfp8", "cq ct hand"),
    ("llama", "fp8 rows", "--wq fp8", "cq ct hand"),
    ("qwen2", "fp8 g32", "--wq fp8 --group-size 32", "cq ct hand"),
    ("qwen2_moe", "mxfp4", "--wq mxfp4", "cq ct hand"),
    ("llama", "three formats", "--group-size 32 --config three.json", "cq ct hand"),
    ("llama__odd_bias", "int4", "--bits 4 --group-size 16", "gptq hand"),
    ("llama__odd_bias", "int3 asym rows", "--bits 3 --group-size -1 --asym", "cq hand"),
    ("llama__bias_tied", "int4", "--bits 4 --group-size 32", "cq hand transformers gptqmodel half"),
    ("qwen2", "int4 asym", "--bits 4 --group-size 32 --asym", "cq hand gptqmodel"),
    ("qwen2", "int8 g64, the last shorter", "--bits 8 --group-size 64", "cq gptq hand transformers gptqmodel"),
    ("gpt2", "int4", "--bits 4 --group-size 32", "cq gptq hand gptqmodel"),
    ("qwen2_moe", "int4", "--bits 4 --group-size 32", "cq hand"),
    ("mixtral", "int4", "--bits 4 --group-size 32", "cq hand gptqmodel"),
    ("olmoe", "int4", "--bits 4 --group-size 32", "cq hand gptqmodel"),
]


@contextlib.contextmanager
def silence():
    """The packages print on both streams, also from C."""
    saved = os.dup(1), os.dup(2)
    sys.stdout.flush()
    sys.stderr.flush()
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 1)
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os.dup2(saved[0], 1)
            os.dup2(saved[1], 2)
            os.close(saved[0])
            os.close(saved[1])


def read_json(path):
    with open(path) as file:
        return json.load(file)


def tensors_of(directory):
    every = {}
    for path in sorted(glob.glob(os.path.join(directory, "*.safetensors"))):
        every.update(load_file(path))
    return every


# ---- by hand: nothing here knows of cquant, and little of the packages ----
def stream(words, bits, count):
    """(n, words) int32, a stream of numbers a row -> (n, count)."""
    octets = np.ascontiguousarray(words.astype("<i4")).view(np.uint8).reshape(len(words), -1)
    flat = np.unpackbits(octets, axis=1, bitorder="little")[:, :count * bits].reshape(len(words), count, bits)
    return (flat << np.arange(bits)).sum(-1).astype(np.int64)


def unpack_gptq(tensors, module, config):
    part = {name: tensors[f"{module}.{name}"].numpy() for name in ("qweight", "qzeros", "scales", "g_idx")}
    inputs, outputs = len(part["g_idx"]), part["scales"].shape[1]
    bits = [b for b in (2, 3, 4, 8) if -(-inputs * b // 32) == len(part["qweight"])
            and -(-outputs * b // 32) == part["qzeros"].shape[1]]
    bits = bits[0] if len(bits) == 1 else config["bits"]
    codes = stream(part["qweight"].T, bits, inputs)
    zeros = stream(part["qzeros"], bits, outputs) + (config["checkpoint_format"] == "gptq")
    return (codes - zeros.T[:, part["g_idx"]]) * part["scales"].astype(np.float32).T[:, part["g_idx"]]


def mini(codes, exponent, mantissa):
    """Numbers of the codes of a small float: sign, exponent, mantissa bits; bias 2^(exponent - 1) - 1."""
    sign = codes >> (exponent + mantissa) & 1
    e = codes >> mantissa & ((1 << exponent) - 1)
    m = codes & ((1 << mantissa) - 1)
    bias = (1 << (exponent - 1)) - 1
    value = np.where(e == 0, m * 2.0 ** (1 - bias - mantissa), (1 + m / (1 << mantissa)) * 2.0 ** (e - bias))
    return np.where(sign, -value, value)


def unpack_floats(tensors, module):
    scales = tensors[module + ".weight_scale"]
    scales = 2.0 ** (scales.numpy().astype(np.float64) - 127) if scales.dtype == torch.uint8 \
        else scales.double().numpy()
    packed = tensors.get(module + ".weight_packed")
    if packed is None:
        numbers = mini(tensors[module + ".weight"].view(torch.uint8).numpy().astype(np.int64), 4, 3)
    else:
        row = packed.numpy()
        bits = 4 if row.shape[1] == 16 * scales.shape[1] else 6
        flat = np.unpackbits(row, axis=1, bitorder="little").reshape(len(row), -1, bits)
        numbers = mini((flat.astype(np.int64) << np.arange(bits)).sum(-1), 2, bits - 3)
    group = np.arange(numbers.shape[1]) // -(-numbers.shape[1] // scales.shape[1])
    return (numbers * scales[:, group]).astype(np.float32)


def unpack_compressed(tensors, module, config):
    if module + ".weight_shape" not in tensors:
        return unpack_floats(tensors, module)
    outputs, inputs = tensors[module + ".weight_shape"].tolist()
    words = tensors[module + ".weight_packed"].numpy()
    scales = tensors[module + ".weight_scale"].float().numpy()
    bits = [b for b in (2, 3, 4, 8) if -(-inputs * b // 32) == words.shape[1]][0]
    zero = tensors.get(module + ".weight_zero_point")
    zeros = np.full(scales.shape, 1 << (bits - 1)) if zero is None else stream(zero.numpy().T, bits, outputs).T
    group = np.arange(inputs) // -(-inputs // scales.shape[1])
    return (stream(words, bits, inputs) - zeros[:, group]) * scales[:, group]


SUFFIXES = {"gptq": ("qweight", "qzeros", "scales", "g_idx"),
            "compressed-tensors": ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point")}


def unpack_directory(directory, into, transposed=()):
    """The float checkpoint that a quantised one stands for. transposed: modules that a Conv1D holds."""
    config = read_json(os.path.join(directory, "config.json"))
    quantised = config.pop("quantization_config")
    method = quantised["quant_method"]
    tensors, new = tensors_of(directory), {}
    unpack = unpack_gptq if method == "gptq" else unpack_compressed
    for name, value in tensors.items():
        module, _, suffix = name.rpartition(".")
        if suffix == SUFFIXES[method][0] or value.dtype == torch.float8_e4m3fn:
            weight = unpack(tensors, module, quantised).astype(np.float32)
            new[module + ".weight"] = torch.from_numpy(weight.T.copy() if module in transposed else weight.copy())
        elif suffix not in SUFFIXES[method]:
            new[name] = value.float()
    os.makedirs(into)
    with open(os.path.join(into, "config.json"), "w") as file:
        json.dump(config, file)
    save_file(new, os.path.join(into, "model.safetensors"), metadata={"format": "pt"})
    return into


def directory_method(directory):
    return read_json(os.path.join(directory, "config.json")).get("quantization_config", {}).get("quant_method")


def transformers_logits(directory, ids):
    from transformers import AutoModelForCausalLM, CompressedTensorsConfig
    options = {}
    if directory_method(directory) == "compressed-tensors":
        options["quantization_config"] = CompressedTensorsConfig(run_compressed=False)
    with silence():
        model, info = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, device_map="cpu",
                                                           output_loading_info=True, **options)
        model.eval()
        if options:
            torch.nn.Module.float(model)  # microscaling weights are unpacked to bf16, exactly
        with torch.no_grad():
            logits = model(input_ids=ids, use_cache=False).logits.float().numpy()
    missing = [name for name in info["missing_keys"]]
    if missing:
        raise ValueError(f"transformers misses {missing[:3]}")
    return logits


def gptqmodel_logits(directory, ids):
    config = read_json(os.path.join(directory, "config.json"))
    with silence(), tempfile.TemporaryDirectory() as renamed:
        if config["model_type"] == "mixtral":
            shutil.copytree(directory, renamed, dirs_exist_ok=True)
            new = {}
            for name, value in tensors_of(directory).items():
                for old, other in (("block_sparse_moe", "mlp"), (".w1.", ".gate_proj."), (".w2.", ".down_proj."),
                                   (".w3.", ".up_proj.")):
                    name = name.replace(old, other)
                new[name] = value
            save_file(new, os.path.join(renamed, "model.safetensors"), metadata={"format": "pt"})
            directory = renamed
        from gptqmodel import BACKEND, GPTQModel
        model = GPTQModel.load(directory, device="cpu", backend=BACKEND.TORCH, dtype=torch.float16).model.eval()
        with torch.no_grad():
            return model(input_ids=ids, use_cache=False).logits.float().numpy()


def write_tokenizer(directory, vocab):
    """GPTQModel wants one beside the model."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast
    words = Tokenizer(models.WordLevel({f"t{i}": i for i in range(vocab)}, unk_token="t0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="t0", pad_token="t0", eos_token="t1",
                            bos_token="t2").save_pretrained(directory)


def batch(ids):
    given = torch.from_numpy(np.load(ids)).long()
    return given if given.ndim == 2 else given[None]


class QuantizedChecks:
    def __init__(self, checker, models, scratch, only):
        self.c, self.models, self.scratch, self.only = checker, models, scratch, only
        for name, policy in (("mixed.json", MIXED), ("skip.json", SKIP), ("three.json", THREE)):
            with open(os.path.join(scratch, name), "w") as file:
                json.dump(policy, file)

    def file(self, name):
        return os.path.join(self.scratch, name)

    def attempt(self, name, check, *arguments):
        """Whatever goes wrong in a package is a failure of this check."""
        try:
            check(*arguments)
        except Exception as error:  # pylint: disable=broad-exception-caught
            self.c.report(False, name, f"{type(error).__name__}: {str(error).strip()[-300:]}")

    def wanted(self, kind):
        return not self.only or self.only == kind

    def logits(self, model, ids):
        out = self.file("out.npy")
        if os.path.exists(out):
            os.remove(out)
        self.c.run("logits", model, "-o", out, "--ids", ids)
        return np.load(out)

    def near(self, name, got, expected, limit):
        """In fp16 a router may choose another expert where two are as good: there a token in twenty may differ more."""
        got, expected = (x.reshape(-1, x.shape[-1]).astype(np.float64) for x in (got, expected))
        each = np.linalg.norm(got - expected, axis=-1)
        keep = np.argsort(each)[:len(each) - (len(each) // 20 if limit == HALF and name.startswith(EXPERTS) else 0)]
        error = float(np.linalg.norm(each[keep]) / np.linalg.norm(expected[keep]))
        agree = float((got.argmax(-1) == expected.argmax(-1)).mean())
        self.c.report(got.shape == expected.shape and error <= limit, name,
                      f"rel {error:.2e} (limit {limit:.0e}), argmax {agree:.3f}")

    def source(self, model):
        """A copy with a tokenizer, and calibration ids."""
        path = self.file(model)
        if not os.path.isdir(path):
            shutil.copytree(os.path.join(self.models, model), path)
            config = read_json(os.path.join(path, "config.json"))
            with silence():
                write_tokenizer(path, config["vocab_size"])
            rng = np.random.default_rng(1)
            np.save(self.file(model + ".calib.npy"), rng.integers(0, config["vocab_size"], (16, 64), dtype=np.int32))
        return path, os.path.join(path, "ids.npy"), self.file(model + ".calib.npy")

    def quantized(self, model, name, style, options):
        path, _, calib = self.source(model)
        out = self.file(f"{model} {name} {style}".replace(" ", "-") + (".cq" if style == "cq" else ""))
        words = [self.file(word) if word.endswith(".json") else word for word in options.split()]
        if not os.path.exists(out):
            self.c.run("quantize", path, "-o", out, "--format", style, "--calib-ids", calib, *words)
        return out

    def case(self, kind, model, name, options, can):
        path, ids, _ = self.source(model)
        given = batch(ids)
        can = can.split()
        alone = "asym" in name or name in ("mixed", "three formats")
        for style in ("gptq", "compressed-tensors"):
            if ("ct" if style == "gptq" else "gptq") in can:
                continue
            label = f"{model} {name}, {style}: {kind}"

            def compare(get, limit):
                directory = self.quantized(model, name, style, options)
                self.near(label, get(directory), self.logits(directory, ids).reshape(*given.shape, -1), limit)

            def same():
                directory = self.quantized(model, name, style, options)
                other = self.quantized(model, name, "cq" if "cq" in can else "hf", options)
                a, b = self.logits(directory, ids), self.logits(other, ids)
                if "cq" in can:
                    self.c.report(np.array_equal(a, b), label, f"as {os.path.basename(other)}, bit for bit")
                else:
                    self.near(label, a, b, ROUNDING)

            def hand(directory):
                return transformers_logits(self.unpacked(directory, model), given)

            if kind == "same":
                self.attempt(label, same)
            elif kind == "by hand":
                self.attempt(label, compare, hand, ROUNDING)
            elif kind == "transformers" and style != "gptq" and alone:
                self.attempt(label, self.decompress, label, self.quantized(model, name, style, options))
            elif kind == "transformers" and (style != "gptq" or "transformers" in can):
                self.attempt(label, compare, lambda directory: transformers_logits(directory, given),
                             HALF if style == "gptq" or "half" in can else ROUNDING)
            elif kind == "gptqmodel" and style == "gptq" and "gptqmodel" in can:
                self.attempt(label, compare, lambda directory: gptqmodel_logits(directory, given), HALF)

    def unpacked(self, directory, model):
        into = self.file("hand")
        shutil.rmtree(into, ignore_errors=True)
        conv = set()
        if model.startswith("gpt2"):
            conv = {name[:-7] for name in tensors_of(self.source(model)[0])
                    if name.endswith(".weight") and "c_" in name}
        return unpack_directory(directory, into, conv)

    def decompress(self, label, directory):
        """Weights as the package itself unpacks them, where transformers does not get to."""
        import compressed_tensors.compressors  # registers them
        from compressed_tensors.compressors.base import BaseCompressor
        from compressed_tensors.quantization import QuantizationScheme
        config = read_json(os.path.join(directory, "config.json"))["quantization_config"]
        every, worst, count = tensors_of(directory), 0.0, 0
        for name, value in every.items():
            module, _, suffix = name.rpartition(".")
            if suffix != "weight_packed" and value.dtype != torch.float8_e4m3fn:
                continue
            group = [g for g in config["config_groups"].values() if "Linear" in g["targets"] or module in g["targets"]]
            tensors = {n[len(module) + 1:]: v for n, v in every.items() if n.startswith(module + ".")}
            if tensors["weight_scale"].dtype == torch.float16:
                tensors["weight_scale"] = tensors["weight_scale"].float()
            compressor = BaseCompressor.get_value_from_registry(group[0]["format"])
            got = compressor.decompress(tensors, QuantizationScheme(**group[0]))["weight"].float().numpy()
            worst = max(worst, float(np.abs(got - unpack_compressed(every, module, None)).max()))
            count += 1
        self.c.report(count and worst == 0, f"{label}: decompress", f"{count} modules, max {worst}")

    # ---- read back ----
    def back_gptqmodel(self, model, **options):
        path, ids, calib = self.source(model)
        given = batch(ids)
        out = self.file("back")
        shutil.rmtree(out, ignore_errors=True)
        with silence():
            from gptqmodel import GPTQModel, QuantizeConfig
            quantizer = GPTQModel.load(path, QuantizeConfig(**options), device="cpu", dtype=torch.float32)
            rows = np.load(calib).tolist()
            quantizer.quantize([{"input_ids": row, "attention_mask": [1] * len(row)} for row in rows], batch_size=1)
            quantizer.save(out)
        got = self.logits(out, ids).reshape(*given.shape, -1)
        label = f"{model} by GPTQModel {options}: back"
        if options.get("sym", True) or options["format"] == "gptq_v2":
            self.near(label, got, transformers_logits(self.unpacked(out, model), given), ROUNDING)
        else:  # zeros less 1, with borrows
            self.near(label, got, gptqmodel_logits(out, given), HALF)
        cq = self.file("back.cq")
        if os.path.exists(cq):
            os.remove(cq)
        if not options.get("desc_act") and options["group_size"] % 32 == 0 and model != "gpt2":
            self.c.run("export", out, "-o", cq, "--dtype", "int8")
            self.c.report(np.isfinite(self.logits(cq, ids)).all(), f"{label}, then exported", "int8")

    def back_compressed(self, model, bits, symmetric, group):
        """Weights rounded and packed by compressed_tensors itself."""
        from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
        from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
        path, _, _ = self.source(model)
        args = dict(num_bits=bits, type="int", symmetric=symmetric, strategy="group", group_size=group)
        scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**args))
        new = {}
        for name, value in load_file(os.path.join(path, "model.safetensors")).items():
            if not name.endswith("proj.weight"):
                new[name] = value
                continue
            grouped = value.float().reshape(value.shape[0], -1, group)
            low, high = grouped.amin(-1).clamp(max=0), grouped.amax(-1).clamp(min=0)
            top = (1 << bits) - 1
            scale = torch.maximum(-low, high) * 2 / top if symmetric else (high - low) / top
            zero = torch.zeros_like(scale) if symmetric else torch.round(-low / scale) - (1 << (bits - 1))
            part = PackedQuantizationCompressor.compress(
                {"weight": value.float(), "weight_scale": scale, "weight_zero_point": zero.to(torch.int8)}, scheme)
            new.update({f"{name[:-7]}.{key}": tensor.contiguous() for key, tensor in part.items()})
        self.compressed_directory(model, new, args, "pack-quantized", f"{model} by compressed-tensors {args}: back")

    def back_mx(self, model, kind):
        from compressed_tensors.compressors.mxfp4.base import MXFP4PackedCompressor
        from compressed_tensors.compressors.mxfp6.base import MXFP6PackedCompressor
        from compressed_tensors.compressors.mxfp8.base import MXFP8QuantizationCompressor
        from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
        path, _, _ = self.source(model)
        compressor, bits, top, form = {"mxfp4": (MXFP4PackedCompressor, 4, 6.0, "mxfp4-pack-quantized"),
                                       "mxfp6": (MXFP6PackedCompressor, 6, 7.5, "mxfp6-pack-quantized"),
                                       "mxfp8": (MXFP8QuantizationCompressor, 8, 448.0, "mxfp8-quantized")}[kind]
        args = dict(num_bits=bits, type="float", symmetric=True, strategy="group", group_size=32,
                    scale_dtype="torch.uint8", zp_dtype="torch.uint8")
        scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**args))
        new = {}
        for name, value in load_file(os.path.join(path, "model.safetensors")).items():
            if not name.endswith("proj.weight"):
                new[name] = value
                continue
            scale = 2.0 ** torch.ceil(torch.log2(value.float().reshape(len(value), -1, 32).abs().amax(-1) / top))
            part = compressor.compress({"weight": value.float(), "weight_scale": scale}, scheme)
            new.update({f"{name[:-7]}.{key}": tensor.detach().contiguous() for key, tensor in part.items()})
        self.compressed_directory(model, new, args, form, f"{model} by compressed-tensors {kind}: back")

    def compressed_directory(self, model, tensors, args, form, label):
        path, ids, _ = self.source(model)
        given = batch(ids)
        out = self.file("back")
        shutil.rmtree(out, ignore_errors=True)
        os.makedirs(out)
        save_file(tensors, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
        config = read_json(os.path.join(path, "config.json"))
        config["quantization_config"] = {
            "quant_method": "compressed-tensors", "format": form, "ignore": ["lm_head"],
            "config_groups": {"group_0": {"targets": ["Linear"], "format": form, "weights": args}}}
        with open(os.path.join(out, "config.json"), "w") as file:
            json.dump(config, file)
        expected = transformers_logits(self.unpacked(out, model), given)
        self.near(label, self.logits(out, ids).reshape(*given.shape, -1), expected, ROUNDING)

    def back(self):
        each = [("llama", dict(bits=4, group_size=32, format="gptq")),
                ("llama", dict(bits=4, group_size=32, format="gptq", sym=False)),
                ("llama", dict(bits=2, group_size=16, format="gptq_v2", sym=False)),
                ("qwen2", dict(bits=3, group_size=32, format="gptq_v2", sym=False, desc_act=True,
                               act_group_aware=False)),
                ("qwen2", dict(bits=8, group_size=-1, format="gptq", act_group_aware=False)),
                ("gpt2", dict(bits=4, group_size=32, format="gptq")),
                ("olmoe", dict(bits=4, group_size=32, format="gptq")),
                ("mixtral", dict(bits=4, group_size=32, format="gptq"))]
        for model, options in each:
            self.attempt(f"{model} by GPTQModel {options}: back", lambda: self.back_gptqmodel(model, **options))
        for kind in ("mxfp4", "mxfp6", "mxfp8"):
            self.attempt(f"llama by compressed-tensors {kind}: back", self.back_mx, "llama", kind)
        for bits, symmetric in ((4, True), (4, False), (3, False), (8, True)):
            self.attempt(f"llama by compressed-tensors {bits}: back", self.back_compressed, "llama", bits, symmetric,
                           32)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("build")
    parser.add_argument("models")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--only")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    checker = Checker(os.path.abspath(arguments.build))
    models = os.path.abspath(arguments.models)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)  # GPTQModel writes its logs where it stands
        checks = QuantizedChecks(checker, models, scratch, arguments.only)
        for kind in KINDS:  # GPTQModel last: once imported, it changes how transformers makes experts
            for model, name, options, can in CASES:
                if (not arguments.names or model in arguments.names) and checks.wanted(kind):
                    checks.case(kind, model, name, options, can)
        if checks.wanted("back") and not arguments.names:
            checks.back()
        os.chdir("/")
    print(f"{checker.passed} passed, {checker.failed} failed")
    sys.exit(1 if checker.failed else 0)


if __name__ == "__main__":
    main()
