#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the initramfs: a "newc" cpio archive, gzipped. The same inputs give the same bytes: the order, owners, times and
inode numbers are ours, and no root is needed for the device nodes.

usage: guests/mkinitrd.py --busybox FILE --init FILE [--modules DIR GROUP]... [--add PATH=FILE]... [--add-tree DIR]... -o OUTPUT
--modules takes a group's kernel modules (guests/kernel_modules.py), which /init loads in that order; --add puts a file at a path,
--add-tree all that is below a directory. Files keep their executable bit; /etc/rc, if there is one, is what /init runs at its end."""
import argparse
import gzip
import os
import pathlib
import stat
import sys

CHAR, DIR, REG, LINK = stat.S_IFCHR, stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK


def newc(ino, name, mode, data=b"", rdev=(0, 0), nlink=1):
    """One archive member: header of 8-digit hexadecimal fields, name and data each padded to four bytes."""
    raw = name.encode() + b"\0"
    fields = (ino, mode, 0, 0, nlink, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + raw
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


class Tree:
    """What the archive will hold, by path."""

    def __init__(self):
        self.members = {}
        for d in ("bin", "dev", "proc", "sys", "tmp"):
            self.directory(d)
        self.members["dev/console"] = (CHAR | 0o600, b"", (5, 1))
        self.members["dev/null"] = (CHAR | 0o666, b"", (1, 3))

    def directory(self, path):
        path = pathlib.PurePosixPath(path)
        for d in [*path.parents][::-1] + [path]:
            if str(d) != ".":
                self.members.setdefault(str(d), (DIR | 0o755, b"", (0, 0)))

    def put(self, path, data, executable=True):
        path = path.lstrip("/")
        self.directory(pathlib.PurePosixPath(path).parent)
        self.members[path] = (REG | (0o755 if executable else 0o644), data, (0, 0))

    def file(self, path, source):
        path, source = path.lstrip("/"), pathlib.Path(source)
        if source.is_symlink():
            self.directory(pathlib.PurePosixPath(path).parent)
            self.members[path] = (LINK | 0o777, os.readlink(source).encode(), (0, 0))
        else:
            self.put(path, source.read_bytes(), os.access(source, os.X_OK))

    def below(self, top):
        for f in sorted(pathlib.Path(top).rglob("*")):
            if f.is_symlink() or f.is_file():
                self.file(str(f.relative_to(top)), f)
            elif f.is_dir():
                self.directory(f.relative_to(top))

    def modules(self, where, group):
        names = (pathlib.Path(where) / f"{group}.order").read_text().split()
        before = self.members.get("etc/modules", (0, b""))[1]
        paths = [f"/lib/modules/{name}" for name in names if f"/lib/modules/{name}\n".encode() not in before]
        for path in paths:
            self.file(path, pathlib.Path(where) / pathlib.PurePosixPath(path).name)
        self.put("etc/modules", before + "".join(f"{path}\n" for path in paths).encode(), False)

    def archive(self):
        out = b"".join(newc(i, name, mode, data, rdev, 2 if stat.S_ISDIR(mode) else 1)
                       for i, (name, (mode, data, rdev)) in enumerate(sorted(self.members.items()), 1))
        out += newc(0, "TRAILER!!!", 0)
        return out + b"\0" * (-len(out) % 512)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("--busybox", required=True)
    ap.add_argument("--init", required=True)
    ap.add_argument("--modules", nargs=2, action="append", default=[], metavar=("DIR", "GROUP"))
    ap.add_argument("--add", action="append", default=[], metavar="PATH=FILE")
    ap.add_argument("--add-tree", action="append", default=[], metavar="DIR")
    ap.add_argument("-o", "--output", required=True)
    args = ap.parse_args()
    try:
        tree = Tree()
        tree.put("bin/busybox", pathlib.Path(args.busybox).read_bytes())
        tree.put("init", pathlib.Path(args.init).read_bytes())
        if tree.members["bin/busybox"][1][:4] != b"\x7fELF":
            sys.exit(f"mkinitrd: {args.busybox}: not an ELF program")
        for where, group in args.modules:
            tree.modules(where, group)
        for top in args.add_tree:
            tree.below(top)
        for pair in args.add:
            path, equals, source = pair.partition("=")
            if not equals:
                sys.exit(f"mkinitrd: --add {pair}: PATH=FILE expected")
            tree.file(path, source)
        with open(args.output, "wb") as f:
            f.write(gzip.compress(tree.archive(), compresslevel=6 if args.add_tree or args.modules else 9, mtime=0))
    except OSError as e:
        sys.exit(f"mkinitrd: {e.filename}: {e.strerror}")


if __name__ == "__main__":
    main()
