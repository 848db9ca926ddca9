"""Compares `cquant tokenize` with the tokenizers library on random text.

    python tests/reference/check_tokenizer.py BUILD MODEL N [--seed S]

Writes N files of a few KB in which words of several scripts, blanks, digits, contractions, combining marks, Hangul,
emoji, control characters, whole and broken special tokens and random code points follow each other; the ids must be
those of MODEL/tokenizer.json, and decoding them (and random ids, whose bytes are seldom UTF-8) must give its text.
A file that differs is cut down to a short text that still does.  One line a file, then `N passed, N failed`.
"""
import argparse
import json
import os
import random
import subprocess
import sys
import tempfile

import numpy as np
from tokenizers import Tokenizer

BLANKS = [" ", "  ", "   ", "\n", "\n\n", "\r\n", "\r", "\t", " \n", "\n ", " \t \n  ", "\u00a0", "\u0085",
          "\u2003", "\u3000", "\u1680", "\u2028", "\u202f", "\u205f", "\x0b", "\x0c", "\x1c", "\x1f", "\u180e",
          "\u200b", "\ufeff"]
WORDS = ("the LORD Nebuchadnezzar naïve Straße İstanbul ſtart Ελλάδα русский שלום مرحبا हिन्दी ภาษาไทย 日本語 中文字 한국어 "
         "ǅungla ﬁne ʰ ª x² Ⅷ ⅷ １２ ٣٤ १२ ½ 𝟘𝟙 𐍈 𝒳 🜁 Å Ａ").split()
CONTRACTIONS = "'s 'S 't 're 'RE 've 'm 'LL 'll 'd 'D 'ſ ’s 'x ''s ' 'lL".split()
SIGNS = list("!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~€…„∑→©") + ["...", "--", "?!", " .", " -\n", "://", "()\r\n"]
MARKS = ["e\u0301", "\u0301", "a\u0323\u0307", "a\u0307\u0323", "\u1100\u1161\u11a8", "\uac00\u11a8",
         "\u1100\u1161", "\u11a8", "\u212b", "\u2126", "\u0344", "\u0958", "\ufb2a", "\u0f73", "\u0340",
         "\u1e9b\u0323", "q\u0307\u0323", "\u3099か", "か\u3099", "n\u0338", ">\u0338", "=\u0338", "\U0001d15e",
         "\U0002f800", "\uf900", "\u0d4a", "\u0d46\u0d3e"]
EMOJI = ["🙂", "👩\u200d👩\u200d👧", "🇩🇪", "❤\ufe0f", "👍🏽", "\u20e3", "\ufe0f"]
BROKEN = "<| |> <|im_ <|mask <|mask| <|MASK|> <||> <|<|mask|> <tool_ </tool_call <|im_end|>>".split()
CONTROL = ["\x00", "\x01", "\x08", "\x1b", "\x7f", "\x80", "\x9f", "\ue000", "\ufffd", "\uffff", "\U0010ffff",
           "\u200d"]


def random_text(rng, specials):
    def code_point():
        top = rng.choice([0x80, 0x250, 0x800, 0x3000, 0xd800, 0x10000, 0x20000, 0x110000])
        value = rng.randrange(top)
        return chr(value) if not 0xd800 <= value < 0xe000 else "\ud7ff"

    kinds = [
        lambda: " ", lambda: " ",
        *(lambda choices=choices: rng.choice(choices) for choices in
          (WORDS, WORDS, BLANKS, BLANKS, CONTRACTIONS, SIGNS, MARKS, EMOJI, BROKEN, CONTROL, specials)),
        lambda: str(rng.randrange(10 ** rng.randrange(1, 9))), code_point,
        lambda: "".join(chr(rng.randrange(97, 123)) for _ in range(rng.randrange(1, 12))),
        lambda: rng.choice(WORDS).upper(), lambda: rng.choice([" ", "\n", "a", "=", "é"]) * rng.randrange(2, 70),
    ]
    # some files draw from all kinds, others dwell on two or three of them
    chosen = kinds if rng.random() < 0.5 else [rng.choice(kinds) for _ in range(3)]
    size, parts = rng.choice([0, 1, 3, 20, 300, 800]), []
    for _ in range(size):
        parts.append(rng.choice(chosen)())
    return "".join(parts)


class Tool:
    def __init__(self, build, model, scratch):
        self.command, self.model, self.scratch = os.path.join(build, "cquant"), model, scratch

    def run(self, *options):
        done = subprocess.run([self.command, "tokenize", self.model, *options, "--json", "--quiet"],
                              capture_output=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"exit {done.returncode}: {done.stderr.decode(errors='replace').strip()[-300:]}")
        return json.loads(done.stdout)

    def encode(self, text):
        path = os.path.join(self.scratch, "text")
        with open(path, "wb") as file:
            file.write(text.encode())
        return self.run("--text", path)["ids"]

    def decode(self, ids):
        path = os.path.join(self.scratch, "ids.npy")
        np.save(path, np.array(ids, np.int32))
        return self.run("--decode", "--ids", path)["text"]


def shorten(items, differs, calls=200):
    """A short part of items for which differs() still holds: drops ever smaller pieces while it does."""
    piece = len(items) // 2
    while piece and calls:
        start = 0
        while start < len(items) and calls:
            shorter = items[:start] + items[start + piece:]
            calls -= 1
            if differs(shorter):
                items = shorter
            else:
                start += piece
        piece //= 2
    return items


def first_difference(a, b):
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("model")
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    peer = Tokenizer.from_file(os.path.join(args.model, "tokenizer.json"))
    specials = [token.content for token in peer.get_added_tokens_decoder().values()]
    passed = failed = 0

    def expected_ids(text):
        return peer.encode(text, add_special_tokens=False).ids

    def expected_text(ids):
        return peer.decode(ids, skip_special_tokens=False)

    def check(name, given, ours, theirs):
        nonlocal passed, failed
        try:
            got, expected = ours(given), theirs(given)
            if got == expected:
                passed += 1
                print(f"ok   {name} {len(given)} -> {len(got)}", flush=True)
                return
            short = shorten(given, lambda part: ours(part) != theirs(part))
            got, expected = ours(short), theirs(short)
            at = first_difference(got, expected)
            # ascii(): which characters they are matters more than how they look
            why = f"{ascii(short)[:200]} gives {ascii(got[at:at + 8])}, must be {ascii(expected[at:at + 8])} at {at}"
        except (RuntimeError, ValueError, KeyError, OSError, subprocess.TimeoutExpired) as error:
            why = str(error)
        failed += 1
        print(f"FAIL {name} {why}", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        tool = Tool(args.build, args.model, scratch)
        for i in range(args.count):
            rng = random.Random(args.seed * 1000003 + i)
            text = random_text(rng, specials)
            check(f"{i} encode", text, tool.encode, expected_ids)
            check(f"{i} decode", expected_ids(text), tool.decode, expected_text)
            ids = [rng.randrange(peer.get_vocab_size()) for _ in range(rng.choice([1, 5, 200]))]
            check(f"{i} decode random ids", ids, tool.decode, expected_text)
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
