"""Prints, for each instruction set, the share of multiply-adds among the
instructions of the kernels' innermost loops, from the compiled objects: what
NEON kernels promise can be read here without an ARM machine.

python3 bench/fmashare.py      (from the project's folder; needs gcc, objdump
and, for NEON, gcc-aarch64-linux-gnu)
"""

import os
import re
import shutil
import subprocess
import tempfile

TARGETS = [("", "avx2_amd64"), ("", "avx512_amd64"), ("aarch64-linux-gnu-", "neon_arm64")]
FMA = re.compile(r"vfn?m(add|sub)\d+ps|fml[as]$")
JUMP = re.compile(r"j\w+|b\.\w+|cbn?z|tbn?z")


def loops(lines):
    """Innermost loops of a function: stretches that end in a jump back to
    their start and hold no other such jump."""
    at = {address: i for i, (address, _, _) in enumerate(lines)}
    back = []
    for i, (_, op, target) in enumerate(lines):
        if JUMP.fullmatch(op) and target in at and at[target] <= i:
            back.append((at[target], i))
    return [lines[a : b + 1] for a, b in back if not any(a <= c and d < b for c, d in back)]


def main():
    print(f"{'function':34}{'instructions':>13}{'multiply-adds':>14}{'share':>7}")
    for prefix, name in TARGETS:
        if not all(shutil.which(prefix + tool) for tool in ("gcc", "objdump")):
            print(f"{name}: {prefix}gcc is missing")
            continue
        with tempfile.TemporaryDirectory() as folder:
            objectfile = os.path.join(folder, "k.o")
            subprocess.run([prefix + "gcc", "-std=c11", "-O3", "-c", f"csrc/k_{name}.c", "-o", objectfile], check=True)
            text = subprocess.run([prefix + "objdump", "-d", "--no-show-raw-insn", objectfile], check=True, capture_output=True, text=True).stdout
        for function in text.split("\n\n"):
            head = re.match(r"\s*[0-9a-f]+ <(\S+)>:", function)
            if not head:
                continue
            lines = []
            for line in function.splitlines():
                m = re.match(r"\s+([0-9a-f]+):\s+(\S+)(.*)", line)
                if m:
                    target = re.search(r"\b([0-9a-f]+) <", m[3])
                    lines.append((m[1], m[2], target and target[1]))
            # The loop with the most multiply-adds is that of the full tile.
            counted = [(sum(bool(FMA.match(op)) for _, op, _ in loop), len(loop)) for loop in loops(lines)]
            fmas, size = max(counted, default=(0, 1))
            if fmas >= 8:
                print(f"{head[1]:34}{size:13}{fmas:14}{fmas / size:7.0%}")


main()
