"""Writes tests/golden/tokenizer.h: a small byte-level BPE (its merges) and what Hugging Face's `tokenizers` makes of
tricky texts with the rules of Qwen2, Llama-3 and GPT-2. tests/test_tokenizer.c builds the same tokenizers.

    python3 make_tokenizer_goldens.py > tests/golden/tokenizer.h        needs: tokenizers 0.23.3
"""
import json
import textwrap
import tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

RULE = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+")
REGEX = {"qwen2": RULE, "llama3": RULE.replace(r"|\p{N}|", r"|\p{N}{1,3}|")}
# content, special, normalized; ids follow the model's
ADDED = [("<|endoftext|>", 1, 0), ("<|im_start|>", 1, 0), ("<|im_end|>", 1, 0), ("<|mask|>", 1, 0),
("<tool_call>", 0, 0),
         ("<|", 0, 0), ("<|mask|>>", 0, 0), ("|>|", 0, 0), ("\u00e9!", 0, 0), ("\ufb01", 0, 0), ("[N]", 0, 1),
         ("n]x", 1, 1)]
CORPUS = """In the beginning God created the heaven and the earth. And the earth was without form, and void; and darkness
was upon the face of the deep. And the Spirit of God moved upon the face of the waters. And God said, Let there be light:
and there was light. Don't we've they're I'm he'll she'd it's it's it's 2024 2025 1234 1000 aaaaaaaa aaaa bbbb abab abab
na\u00efve caf\u00e9 r\u00e9sum\u00e9 \uac00\uac01\ud55c\uae00 \ud55c\uae00
\u4e2d\u6587\u4e2d\u6587 \U0001f600\U0001f600 \U0001f44d \u00c5ngstr\u00f6m
if (x == 0) {\n    return;\n}\n\n\n    else {\r\n\r\n\t\tx += 1;\r\n}\n/* --- */ !!! ??? ... ((( )))
\u041f\u0440\u0438\u0432\u0435\u0442 \u043c\u0438\u0440 \u0645\u0631\u062d\u0628\u0627
\u0928\u092e\u0938\u094d\u0924\u0947 \u1e69\u0323 \u03b1\u03b2\u03b3 """ * 4

TEXTS = [t if isinstance(t, bytes) else t.encode() for t in [
    "", "a", " ", "  ", "\n", "In the beginning God created the heaven and the earth.",
    # blanks: the last one belongs to the next word, unless a line end or the end of the text follows
    "a b", "a  b", "a   b", "a    b  ", "   a", "\ta", "\t\ta", " \ta", "a \t b", "a\n", "a \n", "a\n\nb",
    "a \n \n b", "a\r\nb",
    "a\r\n\r\n  b", "\r\r\n\n", " \r \n x", "x\n\n\n    return;\n}", "x \n\t", "\n a", "\u00a0a", "a\u00a0\u00a0b",
    "\u3000\u3000a", "\u2028a",
    "a\u2028\nb", "a\u0085b", "\u0085\u0085", "\u1680 \u2000\u200a\u202f\u205f", "\u200ba", "\ufeffa",
    "\x1c\x1d\x1e\x1fa", "\u180ea", "\x0b\x0ca",
    # contractions
    "it's", "IT'S", "it's's", "don't", "DON'T", "we've I'm he'll she'd they're", "WE'VE I'M HE'LL SHE'D THEY'RE",
    "'sa", "'x", "''s", "'",
    "'\u017f", "'\u017ft", "'\u017f\u017f", "a'\u017f", "'l", "'lL", "'r", "'\u00df", "' s", "\u2019s", "'\u212a",
    "' 't", " 's", "'D'd",
    # numbers
    "1", "12", "123", "1234", "12345678", "a1b22c333", "3.14", " 1234", "  12", "\u00bd\u00b2\u2460",
    "\u0967\u0968\u0969\u096a", "\U0001d7d8\U0001d7d9", "\u4e00\u3007", "1,000,000",
    "\u2160\u2161", "x2", "-1",
    # others
    "...", "!!!\n\n", " !!!\r\n a", "(a)", "((a", "a--b", "\u20ac5", "$x", "#\n#", "{\n}\n", "\x00\x01\x02",
    "a\x00b", "\x7f", "_a_", "@\u00e9a",
    # marks, order and composition
    "e\u0301", "e\u0301\u0301", "cafe\u0301", "A\u030a", "\u212b", "\u2126", "\u1e69", "s\u0323\u0307",
    "s\u0307\u0323", "\u1e9b\u0323", "d\u0307\u0323", "a\u0315\u0300\u05ae\u0062",
    "\u0301", "\u0301a", " \u0301", "\n\u0301", "a\u0345\u0301", "\u03b1\u0345\u0301", "\u1f82",
    "\u03b1\u0313\u0300\u0345", "\u0344", "\u0374;\u037e", "\u1fef", "\u0958",
    "\u0915\u093c", "\u0dd9\u0dcf\u0dca", "\u0f71\u0f72\u0f74", "\u0f73", "\u0b47\u0b3e", "\u0cc6\u0cc2\u0cd5",
    "\U0001d157\U0001d165", "\U0001d160", "\U00011099\U000110ba",
    "\uf900\ufa0e\U0002f800\U0002fa1d", "q\u0307\u0323" + "\u0308\u0316" * 9, "\u0334\u0327\u0301" * 7,
    "\u30ab\u3099", "\u0340\u0341",
    # marks that Unicode has and this normaliser does not know as such
    "a\u0301\u1ac1\u0316", "\U00011935\U00011930", "a\u1df6\u0334",
    # Hangul
    "\ud55c\uae00", "\u1112\u1161\u11ab", "\u1100\u1161", "\uac00\u11a8", "\uac00\u11a7", "\uac01\u11a8",
    "\u1100\u1100\u1161", "\u1161\u11a8", "\uac00\u0301\u11a8", "\u1112\u1176",
    # emoji, planes
    "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\u2764\ufe0f", "\U0001f44d\U0001f3fd",
    "\u4e2d\u6587 \u4e2d", "\U00020000\U00030000", "\U0010ffff\ue000", "\U000e0001",
    "\U00010400\U0001e900\U00016800", "\ufffd", "\ufffe\uffff", "\u0e01\u0e33", "\u05d0\u05b8\u05dc",
    "\u0645\u064e\u0651", "\u01c5\u02b0\u1d2c\ua78d\ua7dc",
    # added tokens: next to each other, overlapping, in parts, before marks
    "<|mask|>", "<|mask|><|mask|>", "a<|mask|>b", " <|mask|> ", "a  <|mask|>  b", "<|mask|>>", "<|mask|>>>",
    "<|mask|", "<|mas", "<|<|mask|>", "<|im_start|>user\nHi<|im_end|>\n",
    "<|endoftext|>|>|", "<|mask|>\u0338", "x<|mask|>\u0301", "<tool_call>{}", "<tool_call", "|>|>|", "\u00e9",
    "\u00e9!", "e\u0301!", "caf\u00e9!!", "e\u0301x", "caf\u00e9\u00e9", "\ufb01n", "[N]", "a[N]b", "[n]x",
    "n\u005dx",
    "[N]<|mask|>[N]", "<|im_end|>'s", "1<|mask|>2", "[N\u0301]", "n]\u0323x",
    # bytes that are not UTF-8
    b"\x80", b"\xff\xfe", b"a\xc3", b"\xc3(", b"\xe2\x82", b"\xe2\x82a", b"\xe2\x28\xa1", b"\xed\xa0\x80",
    b"\xed\xa0\x80\xed\xb0\x80", b"\xf0\x9f\x98", b"\xf0\x9f\x98\xe2\x82\xac",
    b"\xf0\x8f\xbf\xbf", b"\xf4\x90\x80\x80", b"\xf5\x80\x80\x80", b"\xc0\x80", b"\xc1\xbf", b"\xe0\x80\x80",
    b"\xe0\x9f\xbf", b"<|mask|\xff>", b"<|mask|>\xff", b"e\xcc\x81\xcc", b"\xbf\xef\xbf\xbd",
    b"\xfc\x80\x80\x80\x80\x80", b"\xf1\x80\x80\xff",
    # BPE: the lowest rank first, of equals the left one
    "a" * 33, "abababa", "bababab", "aaaabaaab", "aaaa aaaaa", "earthearthearth", "theretherethere",
    "unknownwordwithnomerges",
]]


def train():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(REGEX["llama3"]), "isolated"), pre_tokenizers.ByteLevel(False, use_regex=False)])
    t.train_from_iterator([CORPUS], trainers.BpeTrainer(
        vocab_size=640, min_frequency=2, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return [tuple(m) if isinstance(m, list) else tuple(m.split(" ")) for m in json.loads(t.to_str())["model"]["merges"]]


def fast(merges, rule):
    """The same file as tests/test_tokenizer.c writes: bytes in the order of their characters, then what merges make."""
    vocab = {c: i for i, c in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    for a, b in merges:
        vocab.setdefault(a + b, len(vocab))
    if rule == "llama3":  # reached by no merge: only ignore_merges finds it
        vocab["\u0120unknownword"] = len(vocab)
        vocab["unknownwordwithnomerges"] = len(vocab)
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": rule == "gpt2"}
    split = {"type": "Split", "pattern": {"Regex": REGEX.get(rule)}, "behavior": "Isolated", "invert": False}
    added = [{"id": len(vocab) + i, "content": c, "single_word": False, "lstrip": False, "rstrip": False,
              "normalized": bool(n), "special": bool(s)} for i, (c, s, n) in enumerate(ADDED)]
    t = Tokenizer.from_str(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added,
        "normalizer": {"type": "NFC"} if rule == "qwen2" else None,
        "pre_tokenizer": level if rule == "gpt2" else {"type": "Sequence", "pretokenizers": [split, level]},
        "post_processor": None, "decoder": {"type": "ByteLevel",
        "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "ignore_merges": rule == "llama3", "vocab": vocab, "merges": merges}}))
    assert all(t.token_to_id(c) == len(vocab) + i for i, (c, _, _) in enumerate(ADDED))
    return t


def c_string(data):
    """A C literal; no hexadecimal digit may follow a hexadecimal escape, so octal ones of three digits."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\?' else "\\%03o" % b for b in data) + '"'


def c_row(data):
    """An element of a table of texts: {literal, length}, over several lines if it must."""
    lines = [c_string(data[i:i + 26]) for i in range(0, max(len(data), 1), 26)]
    return "    {" + "\n     ".join(lines) + ", %d}," % len(data)


def fill(items):
    return textwrap.fill(", ".join(items), 118, initial_indent="    ", subsequent_indent="    ", break_long_words=False,
                         break_on_hyphens=False)


def main():
    merges = train()
    print("/* Made by tests/reference/make_tokenizer_goldens.py with tokenizers %s. */" % tokenizers.__version__)
    print("static const char golden_merges[] = /* merges.txt without its first line */")
    line = ""
    for a, b in merges:
        item = c_string((a + " " + b + "\n").encode())[1:-1].replace("\\012", "\\n")
        if len(line) + len(item) > 110:
            print('    "%s"' % line)
            line = ""
        line += item
    print('    "%s";' % line)
    print("static const struct { const char *content; int special, normalized; } golden_added[%d] = {" % len(ADDED))
    for c, s, n in ADDED:
        print("    {%s, %d, %d}," % (c_string(c.encode()), s, n))
    print("};")
    print("static const struct { const char *bytes; int len; } golden_texts[%d] = {" % len(TEXTS))
    for t in TEXTS:
        print(c_row(t))
    print("};")
    for rule in ("qwen2", "llama3", "gpt2"):
        t = fast(merges, rule)
        print("static const short golden_%s[] = { /* for each text: the number of ids, the ids */" % rule)
        rows = []
        for text in TEXTS:
            ids = t.encode(text.decode("utf-8", errors="replace"), add_special_tokens=False).ids
            rows += [str(x) for x in [len(ids)] + ids]
        print(fill(rows) + "\n};")
    # decoding: ids whose bytes are not UTF-8, alone and together
    t = fast(merges, "qwen2")
    size = t.get_vocab_size()
    lists = [[], [255], [187], [100, 101, 102], list(range(0, 256, 7)), list(range(128, 256)),
             [230, 150, 230], [size, 0, size + 9],
             list(range(size - len(ADDED), size)), list(range(256, 300))]
    print("static const short golden_decode_ids[] = {")
    print(fill([str(x) for ids in lists for x in [len(ids)] + ids]) + "\n};")
    print("static const struct { const char *bytes; int len; } golden_decode[%d] = {" % len(lists))
    for ids in lists:
        s = t.decode(ids, skip_special_tokens=False).encode()
        print(c_row(s))
    print("};")


main()
