"""Rotation of checkpoints with a front end: logits of ids among which stand an image's or a sound's features.

    python tests/reference/check_front.py BUILD MODELS [NAME ...]

For each model below, of those that make_arch.py wrote into MODELS: rotates it, and compares the logits that
transformers computes in float64 before and after, which may differ by 1e-5 of their standard deviation.  The features
must matter, and some tensors of the front end, but not all, must have turned.  Output as check_arch.py's.
"""
import os
import re
import sys
import tempfile

import numpy as np
import torch

from arch_configs import CONFIGS
from check_models import EXACT, Checker, InDouble
from make_arch import load_file, load_model, read_json


def noise(*shape):
    return torch.from_numpy(np.random.default_rng(1).standard_normal(shape))


def picture(count=1, **more):
    return lambda: dict(pixel_values=noise(count, 3, 28, 28), **more)


def patches():  # 4 x 4 of 14 x 14, twice in time
    return dict(pixel_values=noise(16, 3 * 2 * 14 * 14), image_grid_thw=torch.tensor([[1, 4, 4]]))


def numbered():  # patches of one picture, as siglip2 takes them
    return dict(pixel_values=noise(1, 16, 3 * 14 * 14), spatial_shapes=torch.tensor([[4, 4]]),
                pixel_attention_mask=torch.ones(1, 16, dtype=torch.long))


def sound(count, length, **more):
    return lambda: dict(input_features=noise(count, 8, length), **more)


INPUTS = {
    "llava": picture(), "llava__qwen2": picture(), "paligemma": picture(), "aya_vision": picture(),
    "mistral3": picture(2, image_sizes=torch.tensor([[28, 28]] * 2)),
    "mistral3__ministral3": picture(2, image_sizes=torch.tensor([[28, 28]] * 2)),
    "idefics3": lambda: dict(pixel_values=noise(1, 1, 3, 28, 28)),
    "smolvlm": lambda: dict(pixel_values=noise(1, 1, 3, 28, 28)),
    "internvl": picture(), "internvl__qwen3_moe": picture(), "llama4": picture(), "ovis2": picture(),
    "deepseek_vl": picture(), "qwen2_vl": patches, "qwen2_5_vl": patches, "qwen3_vl": patches, "qwen3_vl_moe": patches,
    "qwen3_5": patches, "qwen3_5_moe": patches, "glm4v_moe": patches, "cohere_compass": patches, "lfm2_vl": numbered,
    "qwen2_audio": sound(1, 16, feature_attention_mask=torch.ones(1, 16, dtype=torch.long)),
    "voxtral": sound(3, 16), "glmasr": sound(1, 24, input_features_mask=torch.ones(1, 24, dtype=torch.long)),
    "qwen2_5_omni_thinker": patches, "qwen3_omni_moe_thinker": patches,
}
FRONT = re.compile("vis|audio|project|connector|aligner")  # names of tensors of a front end
TOKENS = ("image_token_id", "image_token_index", "audio_token_id", "audio_token_index")


def logits(path, name, places):
    """Of 24 ids, `places` of which are those of features; and of the same with other features."""
    config = read_json(os.path.join(path, "config.json"))
    model = load_model(path, CONFIGS[name]["cls"], "eager").double()
    key = next(key for key in TOKENS if key in config)
    if config[key] > 255:  # beyond the rows of the tiny embedding
        setattr(model.config, key, 250)
    ids = np.random.default_rng(2).integers(3, 200, (1, 24))
    ids[0, 5:5 + places] = getattr(model.config, key)
    ids = torch.from_numpy(ids)
    inputs = INPUTS[name]()
    if name.startswith(("qwen2_vl", "qwen2_5", "qwen3", "glm4v", "cohere_compass")):
        inputs["mm_token_type_ids"] = (ids >= 200).long()
    rows = []
    for flip in ([], [-1]):
        features = {key: value.flip(flip) if value.is_floating_point() else value for key, value in inputs.items()}
        with InDouble(), torch.no_grad():
            rows.append(model(ids, use_cache=False, **features).logits.numpy())
    return rows


def check(checker, models, name):
    path = os.path.join(models, name)
    before, error = None, None
    for places in range(1, 17):  # as many as the front end gives features: else transformers refuses
        try:
            before = logits(path, name, places)
            break
        except (ValueError, RuntimeError, TypeError, IndexError) as why:
            error = error or why
    if before is None:
        raise ValueError(f"no number of features fits: {error}")
    with tempfile.TemporaryDirectory() as scratch:
        out = os.path.join(scratch, "rotated")
        result = checker.run("rotate", path, "-o", out, "--dtype", "fp32")
        after = logits(out, name, places)
        std = float(before[0].std())
        checker.report(result["rotations"] and result["rotations"][0]["name"] == "r1", f"{name} R1", "")
        matter = float(np.abs(before[0] - before[1]).max()) / std
        checker.report(matter > 1e-3, f"{name} features", f"{places}; others change the logits by {matter:.1e}")
        for k in range(2):
            checker.near(f"{name} float64", after[k], before[k], EXACT * std)
        old, new = load_file(path + "/model.safetensors"), load_file(out + "/model.safetensors")
        front = [key for key in old if FRONT.search(key)]
        turned = [key for key in front if not torch.equal(old[key], new[key])]
        checker.report(0 < len(turned) < len(front), f"{name} turned", f"of {len(front)} " + " ".join(turned))


def main():
    build, models, *names = sys.argv[1:]
    checker = Checker(build)
    for name in names or INPUTS:
        checker.attempt(f"{name} front end", check, checker, models, name)
    print(f"{checker.passed} passed, {checker.failed} failed")
    return 1 if checker.failed else 0


if __name__ == "__main__":
    sys.exit(main())
