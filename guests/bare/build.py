#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the bare-metal guests: each .cpp stands on rt/ (64 bits, or 32 with a line "// BUILD 32" at its top, or both with
"// BUILD 32 64"), each .asm is a program of its own for nasm. All become Multiboot 1 images, ELF32 as loaders ask for it."""
import argparse
import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

RULES = """# made by guests/bare/build.py
ninja_required_version = 1.3
cflags = -std=c++20 -O2 -g0 -ffreestanding -fno-exceptions -fno-rtti -fno-pie -fno-pic -fno-stack-protector $
  -fcf-protection=none -fno-asynchronous-unwind-tables -fno-threadsafe-statics -fno-tree-loop-distribute-patterns $
  -fno-strict-aliasing -mgeneral-regs-only -nostdlib -Wall -Wextra -Wno-missing-field-initializers -Werror
rule cxx64
  command = g++ $cflags -m64 -mno-red-zone -mcmodel=small -I{rt} -MMD -MF $out.d -c $in -o $out
  depfile = $out.d
  deps = gcc
  description = cxx64 $out
rule cxx32
  command = g++ $cflags -m32 -march=i686 -I{rt} -MMD -MF $out.d -c $in -o $out
  depfile = $out.d
  deps = gcc
  description = cxx32 $out
rule as64
  command = gcc -m64 -c $in -o $out
rule as32
  command = gcc -m32 -c $in -o $out
rule link64
  command = ld -m elf_x86_64 -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments --build-id=none -T {rt}/link.ld -o $out.elf64 $in && objcopy -O elf32-i386 $out.elf64 $out
  description = link $out
rule link32
  command = ld -m elf_i386 -z max-page-size=4096 -z noexecstack --no-warn-rwx-segments --build-id=none -T {rt}/link.ld -o $out $in
  description = link $out
rule nasm
  command = nasm -f elf32 -I {rt}/ -MD $out.d -o $out $in
  depfile = $out.d
  deps = gcc
"""


def bits_of(source):
    m = re.search(r"^// BUILD ((?:32|64)(?: (?:32|64))*)$", source.read_text(), re.M)
    return m.group(1).split() if m else ["64"]


def guests():
    """(name, source, bits) of every guest; a source built for both gets the bits in its name."""
    sources = sorted(HERE.glob("*.cpp")) + [ROOT / "bench/bench.cpp", ROOT / "bench/micro/micro.cpp"]
    for s in sources:
        bits = ["32", "64"] if s.stem == "bench" else bits_of(s)
        for b in bits:
            yield (s.stem + b if len(bits) > 1 else s.stem), s, b
    for s in sorted(HERE.glob("*.asm")):
        yield s.stem, s, "asm"


def write_ninja(out):
    rt = HERE / "rt"
    text = RULES.format(rt=rt)
    for b in ("32", "64"):
        text += f"build obj/start{b}.o: as{b} {rt}/start.S\nbuild obj/rt{b}.o: cxx{b} {rt}/rt.cpp\n"
    names = []
    for name, source, bits in guests():
        names.append(name)
        if bits == "asm":
            text += f"build obj/{name}.o: nasm {source}\nbuild {name}: link32 obj/{name}.o | {rt}/link.ld\n"
        else:
            text += (f"build obj/{name}.o: cxx{bits} {source}\n"
                     f"build {name}: link{bits} obj/start{bits}.o obj/rt{bits}.o obj/{name}.o | {rt}/link.ld\n")
    text += "default " + " ".join(names) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    ninja = out / "build.ninja"
    if not ninja.exists() or ninja.read_text() != text:
        ninja.write_text(text)
    return names


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("-o", "--output", default=str(ROOT / "build/bare"), help="where the images go (build/bare)")
    ap.add_argument("names", nargs="*", help="which guests (all)")
    args = ap.parse_args()
    out = pathlib.Path(args.output)
    names = write_ninja(out)
    unknown = [n for n in args.names if n not in names]
    if unknown:
        sys.exit(f"build.py: no guest {', '.join(unknown)}; there are: {' '.join(names)}")
    done = subprocess.run(["ninja", "-C", str(out), *args.names], capture_output=True, text=True)
    if done.returncode != 0:
        sys.stderr.write(done.stdout + done.stderr)
        sys.exit("build.py: the guests did not build (g++, binutils and nasm are needed)")


if __name__ == "__main__":
    main()
