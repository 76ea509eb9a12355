# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests that boot Xen share: the command, its result, and a report as ./check reads it."""
import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(os.environ.get("ROOT", pathlib.Path(__file__).resolve().parent.parent.parent))
BUILD = pathlib.Path(os.environ.get("BUILD", ROOT / "build"))
VITRINE = os.environ.get("VITRINE", str(BUILD / "vitrine"))
GUESTS = pathlib.Path(os.environ.get("GUESTS", BUILD / "guests"))
XEN_LINE = "console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all dom0=pvh,verbose dom0_mem=512M iommu=verbose no-real-mode noreboot"
DOM0_LINE = "console=hvc0 earlyprintk=xen"
LINUX = "console:'Linux version'"


class Result:
    def __init__(self, status, out, err, directory):
        self.status, self.out, self.err, self.directory = status, out, err, pathlib.Path(directory)

    @property
    def manifest(self):
        return json.loads((self.directory / "manifest.json").read_text())

    @property
    def platform(self):
        return json.loads((self.directory / "platform.json").read_text())

    @property
    def console(self):
        f = self.directory / "console.txt"
        return f.read_text(errors="replace") if f.exists() else ""

    @property
    def inputs(self):
        f = self.directory / "input.jsonl"
        return [json.loads(line) for line in f.read_text().splitlines()] if f.exists() else []

    def has(self, pattern):
        return re.search(pattern, self.console) is not None

    def why(self):
        lines = self.console.splitlines()[-6:] + self.err.splitlines()[-6:]
        return f"status {self.status}; " + " | ".join(lines)


def boot(directory, *options, xen=XEN_LINE, dom0=DOM0_LINE, until=LINUX, memory="2G", initrd=None, kernel=None, seconds=600):
    command = [VITRINE, "run", "--kernel", str(GUESTS / "xen.gz"), "--append", xen, "--module", f"{kernel or GUESTS / 'vmlinuz'} {dom0}",
               "--module", str(initrd or GUESTS / "initrd.gz"), "--symbols", str(GUESTS / "xen-syms"), "-o", str(directory), "--console", "file",
               "--max-steps", "20000000000", *(["--until", until] if until else []), *options]
    if memory:
        command += ["--memory", memory]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=seconds, stdin=subprocess.DEVNULL)
        return Result(done.returncode, done.stdout, done.stderr, directory)
    except subprocess.TimeoutExpired:
        return Result(None, "", f"no end after {seconds} s", directory)


def plain_kernel():
    """dom0's kernel as a plain ELF: Xen need not decompress it, which is three quarters of its boot."""
    subprocess.run([sys.executable, str(ROOT / "guests/plain_kernel.py"), str(GUESTS / "vmlinuz"), str(GUESTS / "vmlinux")], check=True)
    return GUESTS / "vmlinux"


def vitrine(*args, seconds=120):
    return subprocess.run([VITRINE, *map(str, args)], capture_output=True, text=True, errors="replace", timeout=seconds, stdin=subprocess.DEVNULL)


class Checks:
    failed = 0

    def check(self, name, ok, why=""):
        if ok:
            print(f"ok {name}", flush=True)
        else:
            self.failed += 1
            print(f"FAIL {name}\n{why}", flush=True)
        return bool(ok)

    def fetched(self, option, name):
        """Guests that only some tests need: without them the test ends here."""
        made = subprocess.run([ROOT / "guests/fetch", option], capture_output=True, text=True, env={**os.environ, "VITRINE_BUILD": str(BUILD)})
        if not self.check(name, made.returncode == 0, made.stderr):
            self.end()

    def through_the_iommu(self, prefix, function, dma):
        """A row of the manifest's `functions`: more than `dma` accesses and ten interrupts, and none around the IOMMU."""
        f = function or {"dma": {}, "interrupts": {}}
        self.check(f"{prefix}DMA translated, none bypassed or blocked", f["dma"].get("translated", 0) > dma and f["dma"]["bypassed"] == f["dma"]["blocked"] == 0, f)
        self.check(f"{prefix}interrupts remapped, none bypassed or blocked",
                   f["interrupts"].get("remapped", 0) > 10 and f["interrupts"]["bypassed"] == f["interrupts"]["blocked"] == 0, f)

    def end(self):
        sys.exit(1 if self.failed else 0)
