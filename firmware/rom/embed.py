#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""embed.py IN OUT NAME: the bytes of a file as a C array."""
import pathlib
import sys

data = pathlib.Path(sys.argv[1]).read_bytes()
lines = [", ".join(f"0x{b:02x}" for b in data[at:at + 24]) for at in range(0, len(data), 24)]
pathlib.Path(sys.argv[2]).write_text(f"constexpr unsigned char {sys.argv[3]}[{len(data)}] = {{\n" + ",\n".join(lines) + "\n};\n")
