#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes the ELF out of a bzImage: what Xen would otherwise decompress itself, billions of instructions long. For tests that ask
about platforms, not about the kernel.   Linux "The Linux/x86 Boot Protocol": payload_offset, payload_length

usage: guests/plain_kernel.py [VMLINUZ [VMLINUX]]      build/guests/vmlinuz and build/guests/vmlinux if not said"""
import bz2
import gzip
import lzma
import pathlib
import struct
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def zstd(data):
    return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout


# by how the payload begins; the boot protocol has the compressor's name nowhere
KINDS = [(b"\xfd7zXZ\0", lambda d: lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(d)), (b"\x1f\x8b", lambda d: gzip.decompress(d)),
         (b"BZh", lambda d: bz2.decompress(d)), (b"\x5d\0\0", lambda d: lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(d)),
         (b"\x28\xb5\x2f\xfd", zstd), (b"\x7fELF", lambda d: d)]


def payload(image):
    if len(image) < 0x250 or image[0x202:0x206] != b"HdrS":
        raise ValueError("not a bzImage: no HdrS")
    if struct.unpack_from("<H", image, 0x206)[0] < 0x208:
        raise ValueError("boot protocol older than 2.08: it does not say where the payload is")
    setup = image[0x1f1] or 4
    offset, length = struct.unpack_from("<II", image, 0x248)
    start = (setup + 1) * 512 + offset
    if length < 4 or start + length > len(image):
        raise ValueError("the payload is not within the file")
    return image[start:start + length - 4], struct.unpack_from("<I", image, start + length - 4)[0]  # its last four bytes: the plain size


def plain(image):
    data, size = payload(image)
    for magic, unpack in KINDS:
        if data.startswith(magic):
            out = unpack(data)
            if not out.startswith(b"\x7fELF"):
                raise ValueError("the payload is no ELF")
            if len(out) != size:
                raise ValueError(f"the payload has {len(out)} bytes, its header says {size}")
            return out
    raise ValueError(f"payload of an unknown kind: it begins with {data[:6].hex()}")


def main():
    if any(a.startswith("-") for a in sys.argv[1:]) or len(sys.argv) > 3:
        sys.exit(__doc__)
    given = dict(enumerate(sys.argv[1:]))
    source = pathlib.Path(given.get(0, ROOT / "build/guests/vmlinuz"))
    target = pathlib.Path(given.get(1, source.parent / "vmlinux"))
    try:
        if target.exists() and target.stat().st_mtime >= source.stat().st_mtime:
            return
        out = plain(source.read_bytes())
    except (OSError, ValueError, lzma.LZMAError, subprocess.CalledProcessError) as e:
        sys.exit(f"plain_kernel.py: {source}: {e}")
    part = target.with_suffix(".part")
    part.write_bytes(out)
    part.rename(target)


if __name__ == "__main__":
    main()
