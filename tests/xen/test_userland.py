# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen and Linux to userland
"""Debian's Linux reaches a shell as PVH dom0, as PV dom0 and without Xen, on one, four and eight processors, with and without its own use of
VT-d; what is typed there is answered, and `poweroff -f` ends the run with status 0. The kernel is a plain ELF, so that nobody need
decompress it; DEEP has the compressed one, one processor, and Xen with its real-mode code."""
import concurrent.futures
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import xen  # noqa: E402

PROMPT = "console:'/ # '"
LIMIT = ("--max-steps", "30000000000", "--console", "file")
PV_LINE = xen.XEN_LINE.replace("dom0=pvh,verbose ", "")


def typed(*commands):
    return [x for line in (*commands, "poweroff -f") for x in ("--type", f"{PROMPT}={line}\\r")]


def dom0(where, *options, line=xen.XEN_LINE, kernel=None, commands=("dmesg | grep -i 'Xen PVH'", "grep -c 'core id' /proc/cpuinfo")):
    return xen.boot(where, *typed(*commands), *options, xen=line, dom0="console=hvc0", kernel=kernel, until=None)


def native(where, *options, line="", kernel="vmlinux"):
    command = [xen.VITRINE, "run", "--memory", "1G", "--kernel", str(xen.GUESTS / kernel), "--append", "console=ttyS0 " + line, "--initrd",
               str(xen.GUESTS / "initrd.gz"), "-o", str(where), *LIMIT, *typed("grep 'model name' /proc/cpuinfo", "grep -c 'core id' /proc/cpuinfo"), *options]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=600, stdin=subprocess.DEVNULL)
    return xen.Result(done.returncode, done.stdout, done.stderr, where)


def answer(result, command):
    """The lines between the echo of a command and the next prompt."""
    text = re.sub(r"^\[ *[\d,]+\] ", "", result.console, flags=re.M)
    found = re.search(re.escape("/ # ") + r"(?:\x1b\[6n)?" + re.escape(command) + r"\r?\n(.*?)^/ # ", text, re.S | re.M)
    return found.group(1).strip() if found else None


c = xen.Checks()
with tempfile.TemporaryDirectory(prefix="vitrine-userland-") as where:
    where = pathlib.Path(where)
    plain = xen.plain_kernel()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {
            "PVH dom0, eight processors": pool.submit(dom0, where / "x8", "--cpus", "8", kernel=plain),
            "PV dom0": pool.submit(dom0, where / "pv", line=PV_LINE, kernel=plain, commands=("dmesg | grep -i 'kernel on Xen'",)),
            "Linux, four processors": pool.submit(native, where / "n4", "--cpus", "4"),
            "Linux with VT-d": pool.submit(native, where / "vtd", line="intel_iommu=on iommu.strict=1"),
        }
        if os.environ.get("DEEP"):
            jobs |= {
                "PVH dom0": pool.submit(dom0, where / "x1"),
                "PVH dom0, Xen in real mode": pool.submit(dom0, where / "real", line=xen.XEN_LINE.replace("no-real-mode ", ""), kernel=plain),
                "Linux": pool.submit(native, where / "n1", kernel="vmlinuz"),
            }
        r = {name: job.result() for name, job in jobs.items()}
    for name, run in r.items():
        c.check(f"{name}: userland", run.has("USERLAND-OK"), run.why())
        end = run.manifest["end"] if run.status is not None else {}
        c.check(f"{name}: poweroff -f ends it with status 0", run.status == 0 and "S5" in json.dumps(end), run.why())
        c.check(f"{name}: no complaint of the kernel", not run.has(r"(?i)\b(BUG:|Oops|Call Trace|soft lockup|rcu.*stall)"), run.why())
    for name, count in (("PVH dom0", "1"), ("PVH dom0, eight processors", "8")):
        if name not in r:
            continue
        got = answer(r[name], "dmesg | grep -i 'Xen PVH'")
        c.check(f"{name}: dmesg says the mode", got is not None and "Booting kernel on Xen PVH" in got, repr(got))
        got = answer(r[name], "grep -c 'core id' /proc/cpuinfo")
        c.check(f"{name}: {count} in /proc/cpuinfo", got == count, repr(got))
    got = answer(r["PV dom0"], "dmesg | grep -i 'kernel on Xen'")
    c.check("PV dom0: dmesg says the mode", got is not None and re.search(r"Booting kernel on Xen$", got, re.M) is not None, repr(got))
    for name, count in (("Linux", "1"), ("Linux, four processors", "4")):
        if name not in r:
            continue
        got = answer(r[name], "grep 'model name' /proc/cpuinfo")
        c.check(f"{name}: the processor's brand string in /proc/cpuinfo", got is not None and set(re.findall(r"model name\s*: (.*)", got)) == {"Vitrine x86-64 processor"},
                repr(got))
        got = answer(r[name], "grep -c 'core id' /proc/cpuinfo")
        c.check(f"{name}: {count} in /proc/cpuinfo", got == count, repr(got))
    eight = r["PVH dom0, eight processors"]   # VT-d "Interrupt Remapping Table Entry (IRTE) for Remapped Interrupts": Extended Interrupt Mode
    c.check("PVH dom0, eight processors: no interrupt blocked", not eight.has("INTR-REMAP"), eight.why())
    c.check("Linux with VT-d: its driver uses the unit, strictly", r["Linux with VT-d"].has("DMAR: Using Queued invalidation|Using Queued invalidation") and
            r["Linux with VT-d"].has("TLB invalidation policy: strict mode"), r["Linux with VT-d"].why())
c.end()
