#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes modules out of an unpacked kernel package, with those they depend on: what depmod and modprobe do on a running system. A module says
itself what it depends on ("depends=" in its .modinfo section); the package's modules.builtin has those that need no file.

usage: guests/kernel_modules.py --tree lib/modules/VERSION --list guests/modules.list -o DIR
Leaves DIR/*.ko, and for each group of the list DIR/GROUP.order: its modules in the order in which they can be loaded."""
import argparse
import pathlib
import shutil
import struct
import sys


def name_of(path):
    """A module's name: '-' and '_' are one character."""
    return pathlib.PurePath(path).name.removesuffix(".ko").replace("-", "_")


def modinfo(data):
    """The "key=value" strings of an ELF64 file's .modinfo section."""
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit ELF file")
    start, = struct.unpack_from("<Q", data, 0x28)
    size, count, names = struct.unpack_from("<HHH", data, 0x3a)
    sections = [struct.unpack_from("<IIQQQQ", data, start + n * size) for n in range(count)]
    table = sections[names][4]
    for name, _, _, _, offset, length in sections:
        end = data.index(b"\0", table + name)
        if data[table + name:end] == b".modinfo":
            return [tuple(s.decode().split("=", 1)) for s in data[offset:offset + length].split(b"\0") if b"=" in s]
    raise ValueError("no .modinfo")


def read_list(path):
    groups = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        line = line.split("#")[0].strip()
        if not line:
            continue
        name, colon, modules = line.partition(":")
        if not colon or not name.strip().isidentifier():
            raise ValueError(f"{path}:{number}: 'group: module...' expected")
        groups[name.strip()] = [name_of(m) for m in modules.split()]
    return groups


def order(wanted, files, builtin):
    """Modules in an order in which each comes after those it depends on."""
    done, under_way = [], []

    def add(name):
        if name in builtin or name in done:
            return
        if name in under_way:
            raise ValueError(f"modules depend on each other: {' '.join(under_way)} {name}")
        if name not in files:
            raise ValueError(f"the package has no module {name}" + (f", which {under_way[-1]} needs" if under_way else ""))
        under_way.append(name)
        for key, value in modinfo(files[name].read_bytes()):
            if key == "depends":
                for other in filter(None, value.split(",")):
                    add(name_of(other))
        done.append(under_way.pop())

    for name in wanted:
        add(name)
    return done


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--tree", required=True, type=pathlib.Path)
    ap.add_argument("--list", required=True, type=pathlib.Path)
    ap.add_argument("-o", "--output", required=True, type=pathlib.Path)
    args = ap.parse_args()
    try:
        files = {name_of(f): f for f in sorted(args.tree.rglob("*.ko"))}
        builtin = {name_of(line) for line in (args.tree / "modules.builtin").read_text().split()}
        args.output.mkdir(parents=True, exist_ok=True)
        for group, wanted in read_list(args.list).items():
            names = order(wanted, files, builtin)
            for name in names:
                shutil.copyfile(files[name], args.output / files[name].name)
            (args.output / f"{group}.order").write_text("".join(f"{files[n].name}\n" for n in names))
    except (OSError, ValueError) as e:
        sys.exit(f"kernel_modules: {e}")


if __name__ == "__main__":
    main()
