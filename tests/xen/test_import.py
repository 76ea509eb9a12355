# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen and Linux
"""A log that our own boot prints, imported, is the same platform: exactly in what a log can tell, and what it cannot is a guess. And what is
imported from somebody's log boots Xen."""
import concurrent.futures
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import xen  # noqa: E402

DATA = xen.ROOT / "tests/firmware/import"
EXACT = ("e820", "drhds", "rmrrs", "vtd", "host_address_width", "dmar_interrupt_remapping", "ecam", "ecam_buses", "ioapic", "ioapic_id", "hpet", "hpet_address", "pm_base",
         "rsdp_revision")
# What no line of such a log tells; everything else in EXACT must not be a guess.
CACHES = ("drhds[0].iotlb_entries", "drhds[0].context_entries")
LINUX_LINE = "console=ttyS0,115200 earlyprintk=serial,ttyS0,115200 intel_iommu=on"

c = xen.Checks()


def linux(directory, *options):
    command = ["run", "--kernel", xen.GUESTS / "vmlinuz", "--append", LINUX_LINE, "--initrd", xen.GUESTS / "initrd.gz", "-o", directory, "--console", "file",
               "--until", "console:'DMAR: No SATC'", "--max-steps", "20000000000", *options]
    done = xen.vitrine(*command, seconds=600)
    return xen.Result(done.returncode, done.stdout, done.stderr, directory)


def imported(name, *runs):
    out = runs[0].directory / f"imported-{name}.json"
    done = xen.vitrine("platform", "import", *[r.directory / "console.txt" for r in runs], "-o", out)
    if not c.check(f"{name}: imported", done.returncode == 0, done.stderr):
        return None, None, None
    lint = xen.vitrine("platform", "lint", out)
    c.check(f"{name}: lint has no error", lint.returncode == 0, lint.stdout)
    shown = json.loads(xen.vitrine("platform", "show", out, "--json").stdout)
    guessed = {f["field"]: f["why"] for f in json.loads(out.read_text())["import"]["fields"] if f["guessed"]}
    return shown, guessed, done.stderr


def compare(name, run, mine, guessed, but=()):
    """Everything that is exact is the machine's own; nothing of it is guessed but `but` and the caches' sizes, which are the defaults."""
    own = run.platform
    for field in EXACT:
        if field not in but:
            c.check(f"{name}: {field}", own[field] == mine[field], json.dumps({"is": own[field], "imported": mine[field]})[:2000])
    wrong = [f for f in guessed if f.split("[")[0].split(".")[0] in EXACT and f not in CACHES and not any(f.startswith(b) for b in but)]
    c.check(f"{name}: no other guess", not wrong, [(f, guessed[f]) for f in wrong])


with tempfile.TemporaryDirectory(prefix="vitrine-import-") as where:
    where = pathlib.Path(where)
    plain = xen.plain_kernel()
    until_map = {"until": "console:'Std. Loglevel'", "kernel": plain, "memory": None}
    platforms = {name: ("--platform", str(xen.ROOT / f"platforms/{name}.json"))
                 for name in ("reserved-rich", "rmrr", "rmrr-low", "acpi-nvs", "odd-edges", "fault-records", "sagaw-both", "no-superpages", "smp2", "rsdt-only")}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {name: pool.submit(xen.boot, where / name, *o, **until_map) for name, o in platforms.items()}
        jobs["default"] = pool.submit(xen.boot, where / "default", kernel=plain)          # as far as dom0's own map
        jobs["4G"] = pool.submit(xen.boot, where / "4G", **{**until_map, "memory": "4G"})
        linuxes = {name: pool.submit(linux, where / f"linux-{name}", *o) for name, o in {**platforms, "default": ()}.items() if name in ("default", "rmrr")}
        runs = {name: job.result() for name, job in jobs.items()}
        linuxes = {name: job.result() for name, job in linuxes.items()}

    for name, run in runs.items():
        if not c.check(f"{name}: the boot ends as expected", run.status == 0, run.why()):
            continue
        mine, guessed, said = imported(name, run)
        if mine is None:
            continue
        if name == "rmrr-low":         # "RMRR [ed000,effff] not in reserved memory" is one of the lines that tell the range
            compare(name, run, mine, guessed)
        elif name == "rmrr":           # a release build of Xen does not print it
            compare(name, run, mine, guessed, ("rmrrs",))
            own, got = run.platform["rmrrs"], mine["rmrrs"]
            c.check(f"{name}: the region's device", len(got) == 1 and got[0]["scopes"] == own[0]["scopes"], got)
            c.check(f"{name}: the region's place is a guess, its device is not", "rmrrs[0]" in guessed and "rmrrs[0].scopes[0]" not in guessed, guessed)
        else:
            compare(name, run, mine, guessed)
        if name == "default":
            c.check("default: dom0's map is not taken", "the memory map of dom0: not the host's" in said, said)
        c.check(f"{name}: nothing is unreadable", "unreadable" not in said, said)
        c.check(f"{name}: cpu.count", mine["cpu"]["count"] == run.platform["cpu"]["count"] and "cpu.count" not in guessed, mine["cpu"])
        c.check(f"{name}: cpu.physical_address_bits", mine["cpu"]["physical_address_bits"] == 46 and "cpu.physical_address_bits" not in guessed, mine["cpu"])

    for name, run in linuxes.items():
        if not c.check(f"Linux on {name}: the boot ends as expected", run.status == 0, run.why()):
            continue
        mine, guessed, said = imported(f"linux-{name}", run)
        if mine is None:
            continue
        # Linux names no device of the DMAR table, and only the port of the PM timer.
        compare(f"Linux on {name}", run, mine, guessed, ("drhds[0].scopes", "rmrrs", "pm_base"))
        c.check(f"Linux on {name}: RMRR ranges", [(r["first"], r["last"]) for r in mine["rmrrs"]] == [(r["first"], r["last"]) for r in run.platform["rmrrs"]] and
                "rmrrs[0]" not in guessed, mine["rmrrs"])
        c.check(f"Linux on {name}: pm_base is right and a guess", mine["pm_base"] == run.platform["pm_base"] and "pm_base" in guessed, mine["pm_base"])
        both, guessed, _ = imported(f"both-{name}", runs[name], run)
        if both is not None:
            compare(f"Xen's and Linux's logs of {name}", run, both, guessed)
            own = run.platform["pci"]
            same = [{k: f[k] for k in ("bdf", "vendor", "device", "class_code", "bars")} for f in own] == [
                {k: f[k] for k in ("bdf", "vendor", "device", "class_code", "bars")} for f in both["pci"]]
            c.check(f"Xen's and Linux's logs of {name}: PCI functions and BARs", same, json.dumps(both["pci"])[:1500])

    for log in ("xen-4.17-laptop", "linux-6.1"):
        out = where / f"{log}.json"
        made = xen.vitrine("platform", "import", DATA / f"{log}.txt", "-o", out)
        run = xen.boot(where / f"boots-{log}", "--platform", str(out), kernel=plain, memory=None)
        c.check(f"{log}.txt, imported, boots Xen and its dom0", made.returncode == 0 and run.status == 0 and run.has("Linux version"), run.why())
c.end()
