#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes the initramfs: a "newc" cpio archive, gzipped. The same inputs give the same bytes: the order, owners, times and
inode numbers are ours, and no root is needed for the device nodes."""
import argparse
import gzip
import stat
import sys

CHAR, DIR, REG = stat.S_IFCHR, stat.S_IFDIR, stat.S_IFREG


def newc(ino, name, mode, data=b"", rdev=(0, 0), nlink=1):
    """One archive member: header of 8-digit hexadecimal fields, name and data each padded to four bytes."""
    raw = name.encode() + b"\0"
    fields = (ino, mode, 0, 0, nlink, 0, len(data), 0, 0, rdev[0], rdev[1], len(raw), 0)
    head = b"070701" + b"".join(b"%08X" % f for f in fields) + raw
    return head + b"\0" * (-len(head) % 4) + data + b"\0" * (-len(data) % 4)


def archive(busybox, init):
    members = [(d, DIR | 0o755, b"", (0, 0)) for d in ("bin", "dev", "proc", "sys", "tmp")]
    members += [("dev/console", CHAR | 0o600, b"", (5, 1)), ("dev/null", CHAR | 0o666, b"", (1, 3)),
                ("bin/busybox", REG | 0o755, busybox, (0, 0)), ("init", REG | 0o755, init, (0, 0))]
    out = b"".join(newc(i, name, mode, data, rdev, 2 if mode & DIR == DIR and not data else 1)
                   for i, (name, mode, data, rdev) in enumerate(sorted(members), 1))
    out += newc(0, "TRAILER!!!", 0)
    return out + b"\0" * (-len(out) % 512)


def main():
    ap = argparse.ArgumentParser(description=__doc__)
    ap.add_argument("--busybox", required=True)
    ap.add_argument("--init", required=True)
    ap.add_argument("-o", "--output", required=True)
    args = ap.parse_args()
    with open(args.busybox, "rb") as f:
        busybox = f.read()
    with open(args.init, "rb") as f:
        init = f.read()
    if busybox[:4] != b"\x7fELF":
        sys.exit(f"mkinitrd: {args.busybox}: not an ELF program")
    with open(args.output, "wb") as f:
        f.write(gzip.compress(archive(busybox, init), compresslevel=9, mtime=0))


if __name__ == "__main__":
    main()
