# SPDX-License-Identifier: GPL-2.0-or-later
"""The cases of docs/cases: which Xen on which platform, and what has to be seen. scripts/case runs them, tests/xen/test_cases.py judges them."""
import argparse
import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = pathlib.Path(os.environ.get("BUILD") or os.environ.get("VITRINE_BUILD") or ROOT / "build")
VITRINE = os.environ.get("VITRINE", str(BUILD / "vitrine"))
GUESTS = pathlib.Path(os.environ.get("GUESTS", BUILD / "guests"))
XEN_LINE = "console=com1 com1=115200,8n1 loglvl=all guest_loglvl=all dom0=pvh,verbose dom0_mem=512M iommu=verbose no-real-mode noreboot"
DOM0_LINE = "console=hvc0 earlyprintk=xen"
LINUX = "Linux version"


class Run:
    """A run directory."""

    def __init__(self, directory, status, err=""):
        self.directory, self.status, self.err = pathlib.Path(directory), status, err

    def read(self, name):
        f = self.directory / name
        return f.read_text(errors="replace") if f.exists() else ""

    @property
    def console(self):
        return self.read("console.txt")

    @property
    def manifest(self):
        return json.loads(self.read("manifest.json") or "{}")

    @property
    def platform(self):
        return json.loads(self.read("platform.json"))

    @property
    def counters(self):
        return self.manifest["vtd"][0]["counters"]

    def vitrine(self, *args):
        return subprocess.run([VITRINE, args[0], str(self.directory), *args[1:]], capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL)

    def tables(self, form):
        got = self.vitrine("map", "--json")
        return [t for t in json.loads(got.stdout)["tables"] if t["format"] == form] if got.returncode == 0 else []

    def page(self, gfn, form="ept"):
        """The range of the first table of that format which holds this frame, or None."""
        for t in self.tables(form)[:1]:
            for r in t["ranges"]:
                if int(r["first"], 16) <= gfn << 12 <= int(r["last"], 16):
                    return r
        return None

    def memory(self, hpa, n):
        piece = self.directory / "piece"
        self.vitrine("memory", f"{hpa:#x}+{n}", "-o", str(piece))
        data = piece.read_bytes() if piece.exists() else b""
        piece.unlink(missing_ok=True)
        return data


@dataclasses.dataclass
class Case:
    name: str
    title: str
    platform: str
    until: str
    show: tuple                    # patterns of console lines; each has to be there
    hide: tuple = ()               # and none of these
    variant: str | None = None     # of hypervisor/xen/variants; None: Debian's binary as it is
    more: object = None            # (run) -> (texts to print, texts that are wrong)
    map: tuple = ()                # ranges whose map belongs to the finding
    document: str = ""             # docs/cases/NAME.md, if not its own


def reserved_pages(access):
    """What the RESERVED pages below 1 MiB have become, and RAM between them."""
    def look(run):
        wrong = []
        for gfn in (0x58, 0xe0, 0xff):
            r = run.page(gfn)
            if not r or r.get("type") != "mmio_direct" or r["access"] != access:
                wrong.append(f"gfn {gfn:#x} is {r}, not mmio_direct {access}")
        return [], wrong
    return look


def first_mib(run):
    texts, wrong = reserved_pages("rwx")(run)
    r = run.page(0)
    if not r or r.get("type") != "mmio_direct":
        wrong.append(f"gfn 0 is {r}, not the mmio_direct that the guard has kept")
    return texts, wrong


def unguarded(run):
    texts, wrong = reserved_pages("rwx")(run)
    r = run.page(0)
    if not r or not r.get("type", "").startswith("ram_rw"):
        wrong.append(f"gfn 0 is {r}, not RAM")
    return texts, wrong


def late(run):
    """The faults come after translation was enabled and before the builder has mapped the page."""
    v = run.manifest["vtd"][0]
    steps = [int(m.replace(",", "")) for m in re.findall(r"^\[\s*([\d,]+)\].*fault addr eb000", run.console, re.M)]
    texts = [f"translation enabled at step {v['enabled_at_step']:,}; of {v['counters']['requests']} DMA requests of the run {v['counters']['faults']} have faulted"]
    wrong = [] if steps and min(steps) > v["enabled_at_step"] else [f"faults at {steps}, translation enabled at {v['enabled_at_step']}"]
    if not v["counters"]["faults"] < v["counters"]["requests"]:
        wrong.append("no request has succeeded after the page was mapped")
    if run.page(0xeb, "vtd") is None:
        wrong.append("gfn 0xeb is not mapped at the end either")
    return texts, wrong


def rsdt_only(run):
    """dom0's XSDT: found by the RSDP that Xen has made, its bytes compared with those of physical address 0."""
    m = re.search(r"ACPI: RSDP 0x([0-9A-F]{16}) 000024", run.console)
    if m is None:
        return [], ["dom0's kernel has not printed where its RSDP is"]

    def dom0(gpa, n):
        r = run.page(gpa >> 12)
        return run.memory(int(r["target"], 16) + gpa - int(r["first"], 16), n) if r else b""
    xsdt = int.from_bytes(dom0(int(m[1], 16), 36)[24:32], "little")
    signature, zero = dom0(xsdt, 4), run.memory(0, 4)
    return ([f"dom0's XSDT at {xsdt:#x} begins with {signature.hex(' ')}, physical address 0 with {zero.hex(' ')}"],
            [] if signature == zero != b"XSDT" else [f"the XSDT's signature is {signature}, the bytes at 0 are {zero}"])


def faults(printed, all_):
    def look(run):
        seen = len(re.findall(r"DMAR:\[DMA (?:Read|Write)\] Request device", run.console))
        return ([f"the unit has had {run.counters['faults']} faults, of which it could not record {run.counters['faults_not_recorded']}; Xen has reported {seen}"],
                [] if (seen, run.counters["faults"]) == (printed, all_) else [f"{seen} reported of {run.counters['faults']} faults, not {printed} of {all_}"])
    return look


def beyond_page(run):
    texts, wrong = faults(8, 8)(run)
    base = re.search(r"drhd->address = fed90000 iommu->reg = ([0-9a-f]{16})", run.console)
    at = re.search(r"Faulting linear address: ([0-9a-f]{16})", run.console)
    if not (base and at):
        return texts, ["no register base or no faulting address on the console"]
    offset = int(at[1], 16) - int(base[1], 16)
    texts.append(f"the faulting address is the register base + {offset:#x}: the page ends at 0xfff")
    return texts, wrong + ([] if offset == 0x100c else [f"offset {offset:#x}, not 0x100c"])


DMAR = r"DMAR:\[DMA Read\] Request device \[0000:00:1d\.0\] fault addr "
CASES = [
    Case("first-mib", "three passes over dom0's first MiB meet the guard of XSA-378", "low-reserved", "Hardware Dom0 crashed",
         (r"d0: GFN 0 \(0,5,7\) -> \(0x[0-9a-f]+,0,7\) not permitted", r"domain_crash called from arch/x86/mm/p2m\.c", r"Hardware Dom0 crashed"),
         variant="first-mib", more=first_mib, map=("0-0xfffff",)),
    Case("first-mib-unguarded", "the same without the guard: RAM silently replaces MMIO", "low-reserved", LINUX, (LINUX,),
         hide=(r"not permitted", r"crashed"), variant="first-mib-unguarded", more=unguarded, map=("0-0xfffff",), document="first-mib"),
    Case("rmrr-low", "an assertion does not know of RMRRs below 1 MiB", "rmrr-low", "Manual reset required",
         (r"RMRR \[ed000,effff\] not in reserved memory", r"Assertion 'p2mt == p2m_ram_rw' failed at arch/x86/hvm/dom0_build\.c:\d+",), variant="rmrr-low"),
    Case("low-reserved-late", "RESERVED pages are mapped only after translation was enabled", "low-reserved-dma", LINUX,
         (r"iommu_enable_translation", DMAR + "eb000", r"DMAR: reason 06"), variant="low-reserved-late", more=late),
    Case("rsdt-only", "dom0's XSDT begins with interrupt vectors", "rsdt-only", "ACPI: DSDT 0x", (r"ACPI: RSDT ", r"ACPI: S\S+ +0x\S+ 00003C \(v01 .*F000FF5"),
         hide=(r"ACPI: XSDT",), more=rsdt_only),
    Case("rmrr-in-ram", "an RMRR in RAM is mapped as MMIO, and RAM refused", "rmrr-in-ram", "Hardware Dom0 crashed",
         (r"RMRR \[10000000,100fffff\] not in reserved memory", r"d0: GFN 0x10000 \(0x10000,5,3\) -> \(0x[0-9a-f]+,0,7\) not permitted",
          r"domain_crash called from arch/x86/mm/p2m\.c", r"Hardware Dom0 crashed"), map=("0x10000000+8K",)),
    Case("kernel-hole", "something that is not RAM where dom0's kernel is loaded", "kernel-hole", "Manual reset required",
         (r"Failed to load kernel: -1", r"Failed to load Dom0 kernel", r"Could not construct domain 0"), map=("0x1700000-0x19fffff",)),
    Case("fault-records-end", "the eighth DMA fault is fatal for Xen", "fault-records-end-dma", "Manual reset required",
         (DMAR + "a0000000", r"do_iommu_page_fault\+", r"FATAL PAGE FAULT", r"Faulting linear address"), more=beyond_page, document="fault-records"),
    Case("fault-records-wrap", "after the records have wrapped Xen reports no DMA fault any more", "fault-records-wrap", LINUX, (DMAR + "a000[012]000", DMAR + "a0010000"),
         hide=(DMAR + "a0011000", DMAR + "a0012000", DMAR + "a002"), more=faults(4, 9), document="fault-records"),
    Case("fault-records-early", "faults before Xen's initialisation are cleared in part, and none is reported any more", "fault-records-early", LINUX, (LINUX,),
         hide=(r"DMAR:\[",), more=faults(0, 8), document="fault-records"),
]
NAMES = {c.name: c for c in CASES}


def xen_of(variant):
    """Directory of a Xen, or None if it has not been built."""
    where = BUILD / "xen" / variant if variant else GUESTS
    return where if (where / "xen.gz").exists() and (where / "xen-syms").exists() else None


def build(variant):
    subprocess.run([str(ROOT / "hypervisor/xen/build"), "--variant", variant, "-o", str(BUILD / "xen")], check=True, stdout=sys.stderr)


def command(case, directory, platform=None, variant=None):
    xen = xen_of(variant or case.variant)
    short = lambda p: os.path.relpath(p) if pathlib.Path(p).is_relative_to(pathlib.Path.cwd()) else str(p)  # noqa: E731
    return [short(VITRINE), "run", "--platform", short(platform or ROOT / f"platforms/{case.platform}.json"), "--kernel", short(xen / "xen.gz"),
            "--symbols", short(xen / "xen-syms"), "--append", XEN_LINE, "--module", f"{short(GUESTS / 'vmlinux')} {DOM0_LINE}", "--module", short(GUESTS / "initrd.gz"),
            "--until", f"console:'{case.until}'", "--max-steps", "3000000000", "--console", "file", "-o", short(directory)]


def execute(line, directory, seconds=600):
    shutil.rmtree(directory, ignore_errors=True)
    done = subprocess.run(line, capture_output=True, text=True, errors="replace", timeout=seconds, stdin=subprocess.DEVNULL)
    return Run(directory, done.returncode, done.stderr)


def judge(case, run):
    """-> (texts that show it, texts that speak against it)."""
    lines = [re.sub(r"[^ -~]", ".", x) for x in run.console.split("\n")]
    shown, wrong = [], []
    if run.status != 0:
        wrong.append(f"vitrine ended with status {run.status}: {' | '.join(run.err.strip().splitlines()[-3:])}")
    hits = {p: [x for x in lines if re.search(p, x)] for p in case.show}
    wrong += [f"not on the console: {p}" for p, found in hits.items() if not found]
    wrong += [f"on the console: {x}" for p in case.hide for x in lines if re.search(p, x)]
    order = {x: n for n, x in reversed(list(enumerate(lines)))}
    shown += sorted({x for found in hits.values() for x in found[:8]}, key=lambda x: order[x])
    if case.more and not wrong:
        texts, against = case.more(run)
        shown += texts
        wrong += against
    return shown, wrong


def show(case):
    if case.variant:
        build(case.variant)     # nothing, if its inputs are the same
    directory = BUILD / "cases" / case.name
    directory.parent.mkdir(parents=True, exist_ok=True)
    line = command(case, directory)
    print(f"# {case.name}: {case.title}\n$ {shlex.join(line)}", flush=True)
    begin = time.monotonic()
    run = execute(line, directory)
    took = time.monotonic() - begin
    shown, wrong = judge(case, run)
    print("\n".join(shown))
    for range_ in case.map:
        at = os.path.relpath(directory) if directory.is_relative_to(pathlib.Path.cwd()) else directory
        print(f"$ {shlex.join([line[0], 'map', '--of', 'ept', str(at), range_])}\n{run.vitrine('map', '--of', 'ept', range_).stdout.rstrip()}")
    if wrong:
        print("\n".join(f"NOT AS EXPECTED: {x}" for x in wrong))
    print(f"{case.name}: {'not shown' if wrong else 'shown'} in {took:.1f} s ({run.manifest.get('steps', 0):,} steps); docs/cases/{case.document or case.name}.md", flush=True)
    return not wrong


def main():
    names = "\n".join(f"  {c.name:22}{c.title}" for c in CASES)
    ap = argparse.ArgumentParser(prog="scripts/case", epilog=f"cases:\n{names}", formatter_class=argparse.RawDescriptionHelpFormatter,
                                 description="Shows a mapping bug of docs/cases: builds or fetches what it needs, runs it, prints what was shown.\nStatus 0: shown; 1: not shown.")
    ap.add_argument("names", nargs="*", metavar="NAME", help="which ones, or 'all'")
    ap.add_argument("--list", action="store_true", help="the names")
    ap.add_argument("--known", action="store_true", help=argparse.SUPPRESS)
    args = ap.parse_args()
    if args.list:
        print("\n".join(NAMES))
        return 0
    names = list(NAMES) if args.names == ["all"] else args.names
    for n in names:
        if n not in NAMES:
            print(f"error: there is no case '{n}'\n       There are: {', '.join(NAMES)}", file=sys.stderr)
            return 2
    if args.known:
        return 0
    if not names:
        ap.error("which case? --list has the names")
    return 0 if all([show(NAMES[n]) for n in names]) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except subprocess.CalledProcessError as e:
        sys.exit(f"error: '{e.cmd[0]}' failed with status {e.returncode}")
    except KeyboardInterrupt:
        sys.exit(130)
