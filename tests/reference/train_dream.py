"""Train the small Dream in examples/models/dream-kjv from scratch: tokenizer, weights, Hugging Face layout.

    sh tests/reference/kjv_text.sh > kjv.txt
    python tests/reference/train_dream.py kjv.txt OUT [--steps 6000] [--threads 2] [--bf16]

Needs torch==2.13.0, tokenizers==0.23.3, safetensors==0.8.0, numpy (tests/reference/requirements.txt).

TEXT holds documents separated by blank lines; every 20th is held out (OUT/heldout.txt).  Two objectives, one set
of weights, a schedule counted in steps so that a slower machine trains the same model:
  1. causal warm start: row i predicts token i+1;
  2. Dream's own objective: each token is replaced by <|mask|> with probability t, nothing is masked from
     attention, row p-1 predicts the masked token p ("shift"), the loss of a window is weighted by 1/t, the first
     token is never masked.  t is stratified over the batch.
Windows are 128, 256 or 512 tokens long at random, always 2048 tokens a step, so that the model has seen
every position that `cquant eval` and `cquant generate` use by default.
"""
import argparse
import json
import math
import os
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from safetensors.torch import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

parser = argparse.ArgumentParser()
parser.add_argument("text")
parser.add_argument("out")
parser.add_argument("--steps", type=int, default=6000)
parser.add_argument("--causal", type=float, default=0.2, help="share of the steps with the causal objective")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seed", type=int, default=1)
parser.add_argument("--bf16", action="store_true", help="bfloat16 matrix products (twice as fast with AVX-512 BF16)")
args = parser.parse_args()
torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
os.makedirs(args.out, exist_ok=True)
logfile = open(os.path.join(args.out, "log.txt"), "w")

VOCAB, BASE = 2048, 2000  # BASE learned pieces, then the added tokens, then padding rows as in Dream
HIDDEN, LAYERS, HEADS, KV_HEADS, INTER = 256, 6, 8, 2, 640
HEAD_DIM, ROPE_THETA, EPS = HIDDEN // HEADS, 1e6, 1e-6
TOKENS_PER_STEP, LENGTHS, MAX_POSITION = 2048, (128, 128, 256, 512), 2048
RATIOS = (0.15, 0.3, 0.5, 0.7, 0.9)


def log(*parts):
    for file in (None, logfile):
        print(*parts, file=file, flush=True)


# ---- tokenizer: Qwen2's byte-level BPE, trained here ----
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL = (
    "<|endoftext|> <|im_start|> <|im_end|> <|object_ref_start|> <|object_ref_end|> <|box_start|> <|box_end|> "
    "<|quad_start|> <|quad_end|> <|vision_start|> <|vision_end|> <|vision_pad|> <|image_pad|> <|video_pad|>"
).split()
PLAIN = (
    "<tool_call> </tool_call> <|fim_prefix|> <|fim_middle|> <|fim_suffix|> <|fim_pad|> <|repo_name|> <|file_sep|>"
).split()
LAST = ["<|beginoftext|>", "<|mask|>"]


def train_tokenizer(documents):
    tok = Tokenizer(models.BPE())
    tok.normalizer = normalizers.NFC()
    tok.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tok.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tok.train_from_iterator(
        documents, trainers.BpeTrainer(vocab_size=BASE, show_progress=False, initial_alphabet=alphabet))
    for names, special in ((SPECIAL, True), (PLAIN, False), (LAST, True)):
        tok.add_tokens([AddedToken(name, normalized=False, special=special) for name in names])
    return tok


documents = [d.strip() + "\n" for d in open(args.text, encoding="utf-8").read().split("\n\n") if d.strip()]
train_docs = [d for i, d in enumerate(documents) if i % 20 != 7]
held_docs = [d for i, d in enumerate(documents) if i % 20 == 7]
for name, docs in (("heldout.txt", held_docs), ("calib.txt", train_docs[::16])):  # calib.txt: a sample for GPTQ
    with open(os.path.join(args.out, name), "w", encoding="utf-8") as file:
        file.write("\n".join(docs))
tokenizer = train_tokenizer(train_docs)
EOS, MASK = tokenizer.token_to_id("<|endoftext|>"), tokenizer.token_to_id("<|mask|>")


def encode(docs):
    return torch.tensor([t for d in docs for t in tokenizer.encode(d).ids + [EOS]])


train, held = encode(train_docs), encode(held_docs)
count = torch.bincount(train, minlength=VOCAB) + 1e-3
UNIGRAM = -(count / count.sum()).log()[held].mean().item()
log(f"tokens {len(train)} held out {len(held)} unigram cross-entropy {UNIGRAM:.3f}")


# ---- model: attribute names give the Hugging Face tensor names ----
class Norm(nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(HIDDEN))

    def forward(self, x):
        return F.rms_norm(x, (HIDDEN,), self.weight, EPS)


class Attention(nn.Module):
    past = torch.ones(max(LENGTHS), max(LENGTHS), dtype=torch.bool).tril()

    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(HIDDEN, HIDDEN)
        self.k_proj = nn.Linear(HIDDEN, KV_HEADS * HEAD_DIM)
        self.v_proj = nn.Linear(HIDDEN, KV_HEADS * HEAD_DIM)
        self.o_proj = nn.Linear(HIDDEN, HIDDEN, bias=False)

    def forward(self, x, cos, sin, causal):
        batch, n, _ = x.shape
        half = HEAD_DIM // 2

        def heads(y):
            return y.view(batch, n, -1, HEAD_DIM).transpose(1, 2)

        def rope(y):
            return y * cos[:n] + torch.cat((-y[..., half:], y[..., :half]), -1) * sin[:n]

        q, k, v = rope(heads(self.q_proj(x))), rope(heads(self.k_proj(x))), heads(self.v_proj(x))
        k, v = k.repeat_interleave(HEADS // KV_HEADS, 1), v.repeat_interleave(HEADS // KV_HEADS, 1)
        q, k = q.to(v.dtype), k.to(v.dtype)
        if n > 128:
            o = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        else:  # for short windows the plain form is a third faster on a CPU
            scores = (q @ k.transpose(2, 3)).float() / math.sqrt(HEAD_DIM)
            if causal:
                scores = scores.masked_fill(~self.past[:n, :n], -math.inf)
            o = torch.softmax(scores, -1).to(v.dtype) @ v
        return self.o_proj(o.transpose(1, 2).reshape(batch, n, HIDDEN))


class MLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(HIDDEN, INTER, bias=False)
        self.up_proj = nn.Linear(HIDDEN, INTER, bias=False)
        self.down_proj = nn.Linear(INTER, HIDDEN, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn, self.mlp = Attention(), MLP()
        self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()

    def forward(self, x, *rest):
        x = x + self.self_attn(self.input_layernorm(x), *rest)
        return x + self.mlp(self.post_attention_layernorm(x))


class Inner(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed_tokens, self.norm = nn.Embedding(VOCAB, HIDDEN), Norm()
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))


class Dream(nn.Module):
    def __init__(self):
        super().__init__()
        self.model, self.lm_head = Inner(), nn.Linear(HIDDEN, VOCAB, bias=False)
        for name, w in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(w)
            elif "embed" in name or "lm_head" in name:
                nn.init.normal_(w, std=0.02)
            elif "o_proj" in name or "down_proj" in name:
                nn.init.normal_(w, std=0.05 / math.sqrt(w.shape[1]))
            elif w.ndim == 2:
                nn.init.normal_(w, std=0.5 / math.sqrt(w.shape[1]))
        inv_freq = ROPE_THETA ** (-torch.arange(0, HEAD_DIM, 2).float() / HEAD_DIM)
        angle = torch.outer(torch.arange(max(LENGTHS)).float(), inv_freq)
        self.cos, self.sin = torch.cat((angle, angle), -1).cos(), torch.cat((angle, angle), -1).sin()

    def forward(self, ids, causal=False):  # hidden states; lm_head is applied to the wanted rows only
        x = self.model.embed_tokens(ids)
        for layer in self.model.layers:
            x = layer(x, self.cos, self.sin, causal)
        return self.model.norm(x)


net = Dream()
log("parameters", sum(w.numel() for w in net.parameters()))


def masked_ce(x, masked):  # cross-entropy of every masked token; row p-1 predicts p; masked[:, 0] is False
    rows = net(x.masked_fill(masked, MASK))[masked.roll(-1, 1)]
    return F.cross_entropy(net.lm_head(rows).float(), x[masked], reduction="none")


@torch.no_grad()
def evaluate(windows, length=128):
    x = held[: windows * length].view(-1, length)
    r = torch.rand(x.shape, generator=torch.Generator().manual_seed(7))
    r[:, 0] = 2
    losses = [round(masked_ce(x, r < t).mean().item(), 3) for t in RATIOS]
    return losses, "mean", round(sum(losses) / len(losses), 3)


# ---- optimiser: Muon for the matrices of the layers, Adam for embeddings, head, norms and biases ----
def is_matrix(name, w):
    return w.ndim == 2 and "layers" in name


matrices = [w for n, w in net.named_parameters() if is_matrix(n, w)]
others = [w for n, w in net.named_parameters() if not is_matrix(n, w)]
momentum = [torch.zeros_like(w) for w in matrices]
adam = torch.optim.Adam(others, lr=1, betas=(0.9, 0.97))


def orthogonalise(g):  # quintic Newton-Schulz iteration (Muon, Jordan et al. 2024)
    tall = g.shape[0] > g.shape[1]
    x = (g.T if tall else g) / (g.norm() + 1e-7)
    x = x.bfloat16() if args.bf16 else x
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return (x.T if tall else x).float()


@torch.no_grad()
def update(lr):
    nn.utils.clip_grad_norm_(others, 1.0)
    adam.param_groups[0]["lr"] = 3e-3 * lr
    adam.step()
    for w, m in zip(matrices, momentum):
        m.mul_(0.95).add_(w.grad)
        size = 0.02 * lr * max(1, w.shape[0] / w.shape[1]) ** 0.5
        w.mul_(1 - 0.001 * lr).add_(orthogonalise(w.grad + 0.95 * m), alpha=-size)
    net.zero_grad(set_to_none=True)


def causal_loss(x):
    return F.cross_entropy(net.lm_head(net(x, True)[:, :-1].reshape(-1, HIDDEN)).float(), x[:, 1:].reshape(-1))


def diffusion_loss(x):
    batch, n = x.shape
    t = (0.05 + 0.95 * ((torch.rand(1) + torch.randperm(batch) / batch) % 1)).view(batch, 1)
    masked = torch.rand(batch, n) < t
    masked[:, 0] = False
    return (masked_ce(x, masked) / t.expand(batch, n)[masked]).sum() / (batch * n)


def phase(name, loss_fn, steps, decay):  # lr: short warm-up, constant, linear to 0 over the last share `decay`
    start, mean, mark = time.time(), 0.0, time.time()
    for n in range(steps):
        length = LENGTHS[int(torch.randint(len(LENGTHS), ()))]
        index = torch.randint(len(train) - length, (TOKENS_PER_STEP // length, 1)) + torch.arange(length)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=args.bf16):
            loss = loss_fn(train[index])
        loss.backward()
        left = 1 - n / steps
        update(min(1, (n + 1) / 20) * (min(1, left / decay) if decay else 1))
        mean += (loss.item() - mean) * max(0.03, 1 / (n + 1))
        if time.time() > mark:
            mark = time.time() + 120
            save()
            log(name, n, f"min {(time.time() - BEGIN) / 60:.1f}",
                f"tok/s {(n + 1) * TOKENS_PER_STEP / (time.time() - start):.0f} loss {mean:.3f}",
                evaluate(32) if name == "diffusion" else "")


def save():
    def dump(name, value):
        with open(os.path.join(args.out, name), "w") as file:
            json.dump(value, file, indent=2)

    tokenizer.save(os.path.join(args.out, "tokenizer.json"))
    tokenizer.model.save(args.out)
    dump("config.json", dict(
        architectures=["DreamModel"], model_type="Dream", vocab_size=VOCAB, hidden_size=HIDDEN,
        num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=KV_HEADS,
        intermediate_size=INTER, max_position_embeddings=MAX_POSITION, rms_norm_eps=EPS, rope_theta=ROPE_THETA,
        rope_scaling=None, hidden_act="silu", attention_dropout=0.0, tie_word_embeddings=False,
        use_sliding_window=False, sliding_window=None, max_window_layers=LAYERS, initializer_range=0.02,
        use_cache=True, torch_dtype="bfloat16", mask_token_id=MASK, pad_token_id=EOS, bos_token_id=EOS,
        eos_token_id=EOS))
    added = {
        str(BASE + i): dict(content=s, lstrip=False, rstrip=False, normalized=False, single_word=False,
                            special=s not in PLAIN)
        for i, s in enumerate(SPECIAL + PLAIN + LAST)
    }
    dump("tokenizer_config.json", dict(
        tokenizer_class="Qwen2Tokenizer", added_tokens_decoder=added, unk_token=None, bos_token=LAST[0],
        eos_token=SPECIAL[0], pad_token=SPECIAL[0], mask_token=LAST[1], errors="replace",
        add_prefix_space=False, clean_up_tokenization_spaces=False, split_special_tokens=False,
        model_max_length=MAX_POSITION))
    state = {k: v.detach().to(torch.bfloat16).contiguous() for k, v in net.state_dict().items()}
    save_file(state, os.path.join(args.out, "model.safetensors"), metadata={"format": "pt"})


BEGIN = time.time()
causal_steps = int(args.steps * args.causal)
phase("causal", causal_loss, causal_steps, 0)
with torch.no_grad():
    net.model.embed_tokens.weight[MASK] = net.model.embed_tokens.weight[:BASE].mean(0)
for m in momentum:  # fresh optimiser state for the new objective
    m.zero_()
adam.state.clear()
phase("diffusion", diffusion_loss, args.steps - causal_steps, 0.6)
for w in net.parameters():
    w.data = w.data.bfloat16().float()
for length in sorted(set(LENGTHS)):
    log(f"final (bf16 weights), windows of {length}:", evaluate(len(held) // length, length), "unigram",
        round(UNIGRAM, 3))
log(f"minutes {(time.time() - BEGIN) / 60:.1f} seed {args.seed} steps {args.steps} threads {args.threads}")
save()
