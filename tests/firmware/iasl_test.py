#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""iasl_test.py IASL DUMP_TABLES PLATFORM...: every table disassembles without a complaint, and what
iasl compiles from that is the same table but for the compiler's name in its header, or reads the same: a constant that was
filled in need not have the shortest form."""
import os, re, subprocess, sys, tempfile

iasl, dump, platforms = sys.argv[1], sys.argv[2], sys.argv[3:]
failures = []

def run(*args, cwd):
    r = subprocess.run(args, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return r.returncode, r.stdout

def anonymous(table):
    """Without checksum and creator, which the compiler writes itself."""
    return table[:9] + table[10:28] + table[36:]

for platform in platforms:
    with tempfile.TemporaryDirectory() as d:
        subprocess.run([dump, platform, d], check=True)
        os.remove(os.path.join(d, "RSDP.dat"))   # iasl reads tables only, not the pointer to them
        for name in sorted(os.listdir(d)):
            def bad(what, text):
                failures.append(f"{platform}: {name}: {what}\n{text}")
            status, text = run(iasl, "-d", name, cwd=d)
            dsl = os.path.join(d, name[:-4] + ".dsl")
            if status or not os.path.exists(dsl) or re.search(r"(?i)\berror\b|warning|incorrect|invalid|unknown|unexpected", text):
                bad("does not disassemble", text)
                continue
            source = open(dsl).read()
            if re.search(r"(?i)incorrect checksum|should be|\*\*\*\* |invalid|unknown|Raw Table Data[^\n]*\n\s*\n\s*unknown", source):
                bad("disassembles with a complaint", "\n".join(l for l in source.splitlines() if re.search(r"(?i)incorrect|should be|\*\*\*\*|invalid|unknown", l)))
            status, text = run(iasl, "-p", "again", dsl, cwd=d)
            if status:
                bad("does not compile again", text)
                continue
            if re.search(r"(?i)\berror\s+\d|warning\s+\d", text):
                bad("compiles with a complaint", text)
            again = open(os.path.join(d, "again.aml"), "rb").read()
            table = open(os.path.join(d, name), "rb").read()
            same = again == table if name == "FACS.dat" else anonymous(again) == anonymous(table)
            if not same and name == "DSDT.dat":
                run(iasl, "-p", "twice", "-d", "again.aml", cwd=d)
                body = [[line.replace("(_STA, 0x00)", "(_STA, Zero)") for line in open(os.path.join(d, f)).read().splitlines() if not line.startswith(" *")] for f in (name[:-4] + ".dsl", "twice.dsl")]
                same = len(body[0]) > 50 and body[0] == body[1]
            if not same:
                bad("is another table when compiled again", f"{len(table)} bytes, then {len(again)}")
        print(f"{platform}: {len([n for n in os.listdir(d) if n.endswith('.dat')])} tables")

print("\n".join(failures))
sys.exit(bool(failures))
