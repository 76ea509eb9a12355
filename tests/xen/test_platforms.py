# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen on every platform
"""Each platform with what Xen does on it: it boots to dom0's first line, or says exactly this."""
import concurrent.futures
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import xen  # noqa: E402

BOOTS = "Linux version"
# name, options, what is printed (the run ends there), what is on the console before it
TABLE = [
    ("one processor, 1 GiB", ["--memory", "1G"], BOOTS, None),
    ("4 GiB", ["--memory", "4G"], BOOTS, None),
    ("8 GiB", ["--memory", "8G"], BOOTS, None),
    ("two processors", ["smp2"], BOOTS, r"Brought up 2 CPUs"),
    ("four processors", ["smp4"], BOOTS, r"Brought up 4 CPUs"),
    ("RESERVED below 1 MiB", ["low-reserved"], BOOTS, None),
    ("nearly everything RESERVED", ["reserved-rich"], BOOTS, None),
    ("ACPI and NVS", ["acpi-nvs"], BOOTS, None),
    ("odd page edges", ["odd-edges"], BOOTS, None),
    ("an RMRR in reserved memory", ["rmrr"], BOOTS, None),
    ("an RMRR below 1 MiB", ["rmrr-low"], BOOTS, None),
    ("an RMRR in RAM", ["rmrr-in-ram"], "Hardware Dom0 crashed", r"not permitted"),
    ("a hole where the kernel goes", ["kernel-hole"], "Could not construct domain 0", r"Failed to load Dom0 kernel"),
    ("39-bit tables", ["sagaw39"], BOOTS, None),
    ("48-bit tables", ["sagaw48"], BOOTS, None),
    ("both widths", ["sagaw-both"], BOOTS, None),
    ("VT-d without superpages", ["no-superpages"], BOOTS, r"Shared EPT tables not enabled"),
    ("32 fault records", ["fault-records"], BOOTS, None),
    ("fault records at the end of the page", ["fault-records-end"], BOOTS, None),
    ("RSDP of revision 0", ["rsdt-only"], BOOTS, None),
    ("no VT-d", ["no-vtd"], "Presently, iommu must be enabled for PVH hardware domain", None),
    ("no VMX", ["no-vmx"], "Error creating d0", None),
]


def run(where, row):
    name, options, text, _ = row
    if options[0] == "--memory":
        return xen.boot(where / name.replace(" ", "-"), memory=options[1], until=f"console:'{text}'")
    platform = str(xen.ROOT / "platforms" / (options[0] + ".json"))
    return xen.boot(where / name.replace(" ", "-"), "--platform", platform, memory=None, until=f"console:'{text}'")


c = xen.Checks()
with tempfile.TemporaryDirectory(prefix="vitrine-platforms-") as where:
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda row: run(pathlib.Path(where), row), TABLE))
    for (name, _, text, before), r in zip(TABLE, results):
        c.check(f"{name}: {text}", r.status == 0 and (before is None or r.has(before)), r.why())
c.end()
