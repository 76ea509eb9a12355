#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""embed_profiles.py OUT FILE.json ...: the profiles as C arrays, and a table of them by name."""
import pathlib
import re
import subprocess
import sys
import tempfile

embed = pathlib.Path(__file__).parent / "rom" / "embed.py"
text, table = "", []
with tempfile.TemporaryDirectory() as scratch:
    for file in sorted(map(pathlib.Path, sys.argv[2:])):
        name = "profile_" + re.sub(r"\W", "_", file.stem)
        subprocess.run([sys.executable, embed, file, pathlib.Path(scratch) / "one", name], check=True)
        text += (pathlib.Path(scratch) / "one").read_text()
        table.append(f'    {{"{file.stem}", {name}, sizeof {name}}},')
text += "struct Embedded { std::string_view name; const unsigned char* text; std::size_t size; };\n"
text += "constexpr Embedded kProfiles[] = {\n" + "\n".join(table) + "\n};\n"
pathlib.Path(sys.argv[1]).write_text(text)
