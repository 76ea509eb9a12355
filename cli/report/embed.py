#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""embed.py OUT.cpp HEADER NAME=FILE[,FILE...]...: files, one after the other, as string constants of the program."""
import sys


def literal(data):
    lines = []
    for line in data.split(b"\n"):
        # Octal escapes have an end of their own; hexadecimal ones would swallow what follows.
        lines.append("".join(chr(c) if 32 <= c < 127 and c not in b'"\\?' else f"\\{c:03o}" for c in line))
    return "\n".join(f'  "{line}\\n"' for line in lines)


out = ["// Made by cli/report/embed.py.", f'#include "{sys.argv[2]}"', "namespace vt::cli {"]
for item in sys.argv[3:]:
    name, files = item.split("=", 1)
    data = b""
    for file in files.split(","):
        with open(file, "rb") as f:
            data += f.read()
    out.append(f"static const char {name}Text[] =\n{literal(data)};\nconst std::string_view {name}{{{name}Text, sizeof {name}Text - 1}};")
out.append("}  // namespace vt::cli")
with open(sys.argv[1], "w", encoding="ascii") as f:
    f.write("\n".join(out) + "\n")
