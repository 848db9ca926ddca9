"""tests/golden/gptq_groups.txt: which linears GPTQModel quantises together, for each model_type that it knows.

    python tests/reference/make_groups.py gptq-models.json [OUT]      OUT defaults to tests/golden/gptq_groups.txt

The JSON is what GPTQModel's model definitions say, one object a model_type: layer_modules, layer_nonquant, layers_node,
lm_head, pre_lm_head_norm_module, and hf.base_modules where transformers has the class.
"""
import json
import os
import re
import sys

HEADER = """\
# What the model definitions of GPTQModel {version} say of each model_type.
# Written by tests/reference/make_groups.py; do not edit.
# One word, then its values; a long line goes on in the next ones, which begin with a space.
#   key NAME          a model_type; what follows is of it
#   layers PATH ...   lists of layers
#   groups NAME ...   linears, relative to a layer: those that are calibrated together, a ; between groups; # stands for
#                     an expert's number. No such line: the definition has no list
#   groups = NAME     as those of that key, earlier in this file
#   kept NAME ...     what is not quantised, in a layer
#   base PATH ...     modules before and after the layers: embeddings and norms. No such line: not known
#   norm PATH ...     the norm before the head: alternatives
#   head PATH
"""
TOWER = re.compile(r"rotary_emb|drop|:.*Dropout|visual|vision|audio|project|Encoder")


def wrapped(word, values):
    lines = [word]
    for value in values:
        if len(lines[-1]) + 1 + len(value) > 118:
            lines.append("")
        lines[-1] += " " + value
    return "\n".join(lines) + "\n"


def listed(value):
    return [v for v in (value if isinstance(value, list) else [value]) if v]


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        data = json.load(f)
    out = [HEADER.format(version=data["_meta"]["gptqmodel"])]
    seen = {}
    for key, model in data["models"].items():
        out.append("\n" + wrapped("key", [key]))
        out.append(wrapped("layers", listed(model["layers_node"])))
        groups = model.get("layer_modules") or model.get("seed_layer_modules")
        if groups:
            names = " ; ".join(" ".join(group) for group in groups).replace("{expert_index}", "#").split()
            text = wrapped("groups", ["=", seen[tuple(names)]] if tuple(names) in seen else names)
            seen.setdefault(tuple(names), key)
            out.append(text)
        out.append(wrapped("kept", listed(model.get("layer_nonquant"))))
        base = model.get("base_modules_seed")
        if (model.get("hf") or {}).get("base_modules"):
            base = [b.split(":")[0] for b in model["hf"]["base_modules"] if not TOWER.search(b)]
        if base:
            out.append(wrapped("base", base))
        out.append(wrapped("norm", listed(model["pre_lm_head_norm_module"])))
        out.append(wrapped("head", listed(model["lm_head"])))
    where = os.path.join(os.path.dirname(__file__), "..", "golden", "gptq_groups.txt")
    with open(sys.argv[2] if len(sys.argv) > 2 else where, "w", encoding="utf-8") as f:
        f.write("".join(out))


if __name__ == "__main__":
    main()
