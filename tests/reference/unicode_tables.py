"""Writes the Unicode tables of the tokenizer in cquant_models.h ([TOKENIZER], cq__uni_* and cq__nfc_*) to stdout.

The tokenizer must do what Hugging Face's `tokenizers` does, so the facts are asked of that engine, code point by code
point, and not of a Unicode version: its regular expressions know other assignments (Unicode 16 in tokenizers 0.23.3)
than its normaliser (the combining marks of Unicode 9: marks assigned later neither reorder nor compose there).
Python's unicodedata only names what to ask: the one-step canonical decompositions and the combining classes.

    python3 unicode_tables.py > tables.h        needs: tokenizers 0.23.3, Python 3.9 or newer

The last line on stderr is the sum that tests/test_tokenizer.c compares with what the tables say of every code point.
"""
import sys
import textwrap
import unicodedata
import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

ALL = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
nfc = normalizers.NFC().normalize_str
nfd = normalizers.NFD().normalize_str
SYLLABLES = range(0xAC00, 0xAC00 + 11172)  # composed and decomposed by arithmetic, in C


def matching(pattern):
    """The code points that the engine's regular expressions match with `pattern`."""
    split = pre_tokenizers.Split(Regex(pattern), "removed", invert=True)
    return {ord(x) for piece, _ in split.pre_tokenize_str("".join(map(chr, ALL))) for x in piece}


def combining_classes():
    """The engine's canonical combining class of each code point that has one: found by what reorders with what."""
    probes = {}  # class -> a mark that has it, in this Unicode and, checked below, in the engine
    for c in ALL:
        k = unicodedata.combining(chr(c))
        if k and nfd(chr(c)) == chr(c):
            probes.setdefault(k, []).append(chr(c))
    # a mark that the engine knows moves behind U+0345 (class 240, the highest) or before it
    known = lambda m: nfd("a\u0345" + m) == "a" + m + "\u0345" or m == "\u0345"
    probes = {k: next(m for m in ms if known(m)) for k, ms in probes.items() if any(known(m) for m in ms)}
    classes = {}
    for c in ALL:
        s = chr(c)
        if nfd(s) != s or not known(s):
            continue  # what decomposes takes the class of its parts; nothing in NFC text depends on its own
        lower = [k for k, m in probes.items() if s != m and nfd("a" + s + m) == "a" + m + s]  # class(s) > k
        classes[c] = min(k for k in probes if k > max(lower, default=0))
        assert classes[c] == unicodedata.combining(s), hex(c)
    return classes


def decompositions():
    """c -> (a, b) or (a, 0): the one-step canonical decompositions that the engine follows, without Hangul."""
    steps = {}
    for c in ALL:
        if c in SYLLABLES or nfd(chr(c)) == chr(c):
            continue
        parts = [int(x, 16) for x in unicodedata.decomposition(chr(c)).split()]
        assert 1 <= len(parts) <= 2, hex(c)
        steps[c] = (parts[0], parts[1] if len(parts) == 2 else 0)
    for c in steps:
        full, depth = [c], 0
        while full[0] in steps:
            a, b = steps[full[0]]
            full[0:1] = [a, b] if b else [a]
            depth += 1
        # what the C code relies on: only the first part decomposes further, at most four steps, at most four parts
        assert not any(x in steps for x in full) and depth <= 4 and len(full) <= 4, hex(c)
        assert nfd(chr(c)) == nfd("".join(map(chr, full))), hex(c)
    return steps


def rows(values, form):
    return textwrap.fill(", ".join(form % v for v in values), 119, initial_indent="    ", subsequent_indent="    ")


def checksum(kinds, ccc, unstable):
    """FNV-1a over words: of each code point its kind, class, whether it is unstable, and its NFD and NFC."""
    h = 14695981039346656037
    for c in ALL:
        apart, whole = nfd(chr(c)), nfc(chr(c))
        for v in (kinds(c), ccc.get(c, 0), c in unstable, len(apart), *map(ord, apart), len(whole), *map(ord, whole)):
            h = (h ^ v) * 1099511628211 & 0xFFFFFFFFFFFFFFFF
    return h


def main():
    letters, numbers, blanks = matching(r"\p{L}"), matching(r"\p{N}"), matching(r"\s")
    ccc, steps = combining_classes(), decompositions()
    pairs = {c: ab for c, ab in steps.items() if ab[1]}
    composing = {c for c, (a, b) in pairs.items() if nfc(chr(a) + chr(b)) == chr(c)}
    second = {pairs[c][1] for c in composing} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    changing = {c for c in ALL if nfc(chr(c)) != chr(c)}  # NFC_QC = No; those in `second` are Maybe
    assert all(c in changing for c in pairs if c not in composing)

    # one word a run of code points: first << 11 | unstable << 10 | kind << 8 | combining class
    runs, last = [], None
    kinds = lambda c: 1 if c in letters else 2 if c in numbers else 3 if c in blanks else 0
    unstable = changing | second
    for c in range(0x110000):
        value = (c in unstable) << 10 | kinds(c) << 8 | ccc.get(c, 0)
        if value != last:
            runs.append(c << 11 | value)
            last = value
    # pairs, ordered by the parts: composition is a binary search, decomposition one through an index ordered by c
    table = sorted((a, b, c) for c, (a, b) in pairs.items())
    order = sorted(range(len(table)), key=lambda i: table[i][2])
    words = [a << 43 | b << 22 | c << 1 | (c not in composing) for a, b, c in table]
    singles = sorted((c, a) for c, (a, b) in steps.items() if not b)
    block = lambda lo, hi: [steps.get(c, (0, 0))[0] for c in range(lo, hi + 1)]
    f900, s2f8 = block(0xF900, 0xFAD9), block(0x2F800, 0x2FA1D)
    few = [ca for ca in singles if not 0xF900 <= ca[0] <= 0xFAD9 and not 0x2F800 <= ca[0] <= 0x2FA1D]
    assert all(a < 1 << 16 and c < 1 << 16 for c, a in few)
    size = 4 * len(runs) + 8 * len(words) + 2 * len(order) + 4 * len(few) + 4 * (len(f900) + len(s2f8))

    print("/* Made by tests/reference/unicode_tables.py with tokenizers %s: %d bytes. */"
          % (tokenizers.__version__, size))
    print("static const uint32_t cq__uni_runs[%d] = {" % len(runs))
    print(rows(runs, "0x%x") + "\n};")
    print("static const uint64_t cq__nfc_pairs[%d] = {" % len(words))
    print(rows(words, "0x%x") + "\n};")
    print("static const uint16_t cq__nfc_order[%d] = {" % len(order))
    print(rows(order, "%d") + "\n};")
    print("static const uint16_t cq__nfc_single[%d][2] = {" % len(few))
    print(rows(few, "{0x%x, 0x%x}") + "\n};")
    print("static const uint32_t cq__nfc_f900[%d] = {" % len(f900))
    print(rows(f900, "0x%x") + "\n};")
    print("static const uint32_t cq__nfc_2f800[%d] = {" % len(s2f8))
    print(rows(s2f8, "0x%x") + "\n};")
    print("%d runs, %d pairs (%d compose), %d singles, %d bytes"
          % (len(runs), len(words), len(composing), len(few), size), file=sys.stderr)
    print("0x%016x" % checksum(kinds, ccc, unstable), file=sys.stderr)


main()
