#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies programs out of unpacked packages, with their interpreter and the shared libraries that they and those need: what a system
needs that has these programs and nothing else.   System V ABI "Dynamic Linking"

usage: guests/with_libraries.py --tree DIR -o DIR PROGRAM...      programs by their paths below the tree"""
import argparse
import pathlib
import shutil
import struct
import sys

DIRECTORIES = ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu", "lib64", "usr/lib64")
PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
DT_NEEDED, DT_STRTAB = 1, 5


def needs(data):
    """-> interpreter or None, names of the shared libraries of an ELF64 file."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit ELF file")
    start, = struct.unpack_from("<Q", data, 0x20)
    size, count = struct.unpack_from("<HH", data, 0x36)
    headers = [struct.unpack_from("<IIQQQQ", data, start + n * size) for n in range(count)]

    def text(at):
        return data[at:data.index(b"\0", at)].decode()

    def in_file(address):
        for kind, _, offset, virtual, _, length in headers:
            if kind == PT_LOAD and virtual <= address < virtual + length:
                return address - virtual + offset
        raise ValueError(f"address {address:#x} is not in the file")

    interpreter, entries = None, []
    for kind, _, offset, _, _, length in headers:
        if kind == PT_INTERP:
            interpreter = text(offset)
        elif kind == PT_DYNAMIC:
            entries = [struct.unpack_from("<QQ", data, at) for at in range(offset, offset + length, 16)]
    strings = [in_file(value) for tag, value in entries if tag == DT_STRTAB]
    return interpreter, [text(strings[0] + value) for tag, value in entries if tag == DT_NEEDED]


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--tree", required=True, type=pathlib.Path)
    ap.add_argument("-o", "--output", required=True, type=pathlib.Path)
    ap.add_argument("programs", nargs="+")
    args = ap.parse_args()
    done, left = set(), [(p.lstrip("/"), args.tree / p.lstrip("/")) for p in args.programs]
    try:
        while left:
            path, source = left.pop()
            if path in done:
                continue
            done.add(path)
            data = source.read_bytes()     # through links: a library is found under its name
            target = args.output / path
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
            target.chmod(0o755)
            interpreter, libraries = needs(data)
            if interpreter:
                left.append((interpreter.lstrip("/"), args.tree / interpreter.lstrip("/")))
            for name in libraries:
                found = [f"{d}/{name}" for d in DIRECTORIES if (args.tree / d / name).exists()]
                if not found:
                    raise ValueError(f"{path} needs {name}, which no package here has")
                left.append((found[0], args.tree / found[0]))
    except (OSError, ValueError) as e:
        sys.exit(f"with_libraries: {e}")


if __name__ == "__main__":
    main()
