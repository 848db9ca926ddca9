"""Small floats (e2m1, e2m3, e3m2, e4m3, e5m2) and E8M0, bit for bit against ml_dtypes and torch.

    python tests/reference/check_numbers.py BUILD             compiles cquant.h as a shared library and compares
    python tests/reference/check_numbers.py --golden FILE     writes tests/golden/numbers.h for the C tests

Compared are every code to a number, and to a code every float whose lower 16 bits are one of 16 patterns (2^20 floats:
all bf16 numbers, their neighbours, and ties), 4 million random ones, and every tie with its neighbours. Out of range
ours saturates where ml_dtypes' and torch's e4m3 and e5m2 give NaN or infinity; there the largest number is expected.
"""
import ctypes
import os
import subprocess
import sys

import ml_dtypes
import numpy as np
import torch

MINIS = [("e2m1", ml_dtypes.float4_e2m1fn, None, 4), ("e2m3", ml_dtypes.float6_e2m3fn, None, 6),
         ("e3m2", ml_dtypes.float6_e3m2fn, None, 6), ("e4m3", ml_dtypes.float8_e4m3fn, torch.float8_e4m3fn, 8),
         ("e5m2", ml_dtypes.float8_e5m2, torch.float8_e5m2, 8)]
SOURCE = r"""
#define CQUANT_IMPLEMENTATION
#include "cquant.h"
void minis_of(int mini, const float *x, uint8_t *out, size_t n) {
    for (size_t i = 0; i < n; i++) out[i] = cq_f32_to_mini((cq_mini)mini, x[i]);
}
void of_minis(int mini, float *out) { for (int i = 0; i < 256; i++) out[i] = cq_mini_to_f32((cq_mini)mini, (uint8_t)i); }
void of_e8m0(float *out) { for (int i = 0; i < 256; i++) out[i] = cq_e8m0_to_f32((uint8_t)i); }
"""


def decoded(dtype, bits):
    return np.arange(1 << bits, dtype=np.uint8).view(dtype).astype(np.float32)


def edges(table):
    """Every number, every tie of neighbours, and the floats next to them; both signs."""
    v = np.unique(table[np.isfinite(table) & (table >= 0)])
    ties = ((v[1:].astype(np.float64) + v[:-1]) / 2).astype(np.float32)
    top = np.float32(v[-1] + (v[-1] - v[-2]) / 2)
    x = np.concatenate([v, ties, [top, v[-1] * 2]]).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(0))])
    return np.concatenate([x, -x])


def expected(dtype, table, x):
    """What ml_dtypes says, with saturation."""
    top = np.nanmax(np.where(np.isfinite(table), table, 0))
    inside = np.where(np.isnan(x), x, np.clip(x, -top, top))
    with np.errstate(all="ignore"):
        return inside.astype(np.float32).astype(dtype).view(np.uint8)


def golden(path):
    lines = ["/* made by tests/reference/check_numbers.py --golden from ml_dtypes %s: small floats */"
             % ml_dtypes.__version__]
    for name, dtype, _, bits in MINIS:
        table = decoded(dtype, bits)
        x = edges(table)
        x = np.concatenate([x[:len(x) // 2], x[len(x) // 2::7], np.array([np.inf, -np.inf, 3e38, -3e38, 1e-30, -1e-45, 0.0, -0.0, np.nan], np.float32)])
        code = expected(dtype, table, x)
        lines.append("static const uint32_t %s_numbers[%d] = {" % (name, len(table)))
        lines.append(",\n".join("    " + ", ".join("0x%08x" % u for u in table.view(np.uint32)[i:i + 9])
                                for i in range(0, len(table), 9)) + "};")
        lines.append("static const mini_case %s_cases[%d] = {" % (name, len(x)))
        pairs = ["{0x%08x, %d}" % (u, c) for u, c in zip(x.view(np.uint32), code)]
        lines.append(",\n".join("    " + ", ".join(pairs[i:i + 6]) for i in range(0, len(pairs), 6)) + "};")
    with open(path, "w") as f:
        f.write("\n".join(lines) + "\n")


def main(build):
    source = os.path.join(build, "numbers.c")
    library = os.path.abspath(os.path.join(build, "numbers.so"))
    with open(source, "w") as f:
        f.write(SOURCE)
    subprocess.run([os.environ.get("CC", "cc"), "-O2", "-shared", "-fPIC", "-I.", source, "-o", library], check=True)
    c = ctypes.CDLL(library)
    passed = failed = 0

    def check(what, got, want, x=None):
        nonlocal passed, failed
        same = got == want
        if same.all():
            passed += 1
            return
        failed += 1
        i = int(np.argmin(same))
        print("FAIL %s: %s gives %s, should be %s" % (what, i if x is None else x[i], got[i], want[i]))

    low = np.array([0, 1, 0x7fff, 0x8000, 0x8001, 0xffff, 0x4000, 0xc000, 0x3fff, 0x4001, 0x5555, 0xaaaa, 0x1000, 0xfffe,
                    2, 0x7ffe], np.uint32)
    dense = ((np.arange(1 << 16, dtype=np.uint32) << 16)[:, None] | low).reshape(-1).view(np.float32)
    rng = np.random.default_rng(0)
    some = (rng.standard_normal(4 << 20) * np.exp2(rng.integers(-20, 20, 4 << 20))).astype(np.float32)
    for mini, (name, dtype, in_torch, bits) in enumerate(MINIS):
        table = decoded(dtype, bits)
        out = np.zeros(256, np.float32)
        c.of_minis(mini, out.ctypes.data_as(ctypes.c_void_p))
        out = out[:len(table)]
        nan = np.isnan(table)
        check(name + " to numbers", np.where(nan, 0, out.view(np.uint32)), np.where(nan, 0, table.view(np.uint32)))
        check(name + " NaN", np.isnan(out), nan)
        for kind, x in (("dense", dense), ("random", some), ("edges", edges(table))):
            x = np.ascontiguousarray(x)
            code = np.zeros(len(x), np.uint8)
            c.minis_of(mini, x.ctypes.data_as(ctypes.c_void_p), code.ctypes.data_as(ctypes.c_void_p),
                       ctypes.c_size_t(len(x)))
            number = ~np.isnan(x)
            check("%s from %s numbers" % (name, kind), code[number], expected(dtype, table, x)[number], x[number])
            if in_torch is None:
                continue
            top = float(np.nanmax(np.where(np.isfinite(table), table, 0)))
            theirs = torch.from_numpy(x[number]).clamp(-top, top).to(in_torch).view(torch.uint8).numpy()
            check("%s from %s numbers, torch" % (name, kind), code[number], theirs, x[number])
    out = np.zeros(256, np.float32)
    c.of_e8m0(out.ctypes.data_as(ctypes.c_void_p))
    check("e8m0", out[:255], np.arange(255, dtype=np.uint8).view(ml_dtypes.float8_e8m0fnu).astype(np.float32))
    check("e8m0 NaN", np.isnan(out[255:]), np.array([True]))
    print("%d passed, %d failed" % (passed, failed))
    return failed != 0


if __name__ == "__main__":
    if sys.argv[1] == "--golden":
        golden(sys.argv[2])
    else:
        sys.exit(main(sys.argv[1]))
