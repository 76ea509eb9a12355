# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen to dom0's userland, twice
"""Linux's own NVMe and AHCI drivers in a PVH dom0: disks read back with their known sums, an ext4 file system is mounted, written, unmounted and merged
into its image, which e2fsck finds clean; all DMA is translated, all interrupts are remapped. The negative: with the context entry of the NVMe function
overwritten from outside, dom0 gets an I/O error, and the unit records a fault. A context cache of one entry makes the change seen at once."""
import hashlib
import json
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import disk_images as disks  # noqa: E402
import xen  # noqa: E402

MIB = 1 << 20
PLATFORM = {"vitrine": "platform/1", "name": "disks", "drhds": [{"context_entries": 1}]}


def boot(where, directory, *options):
    return xen.boot(directory, "--platform", str(where / "disks.json"), "--disk", str(where / "nvme.img"), "--disk", f"{where / 'ahci.img'},if=ahci",
                    *options, dom0="console=hvc0 poweroff", kernel=xen.plain_kernel(), until=None, initrd=where / "initrd.gz")


c = xen.Checks()
if not c.check("mkfs.ext4, e2fsck, debugfs are there", not disks.missing_tools(), "install e2fsprogs: " + " ".join(disks.missing_tools())):
    c.end()
c.fetched("--with-modules", "the drivers of Debian's kernel")
with tempfile.TemporaryDirectory(prefix="vitrine-disks-") as where:
    where = pathlib.Path(where)
    disks.make_initrd(xen.GUESTS, xen.ROOT, where / "initrd.gz")
    (where / "disks.json").write_text(json.dumps(PLATFORM))
    want = {"NVME": disks.make_random(where / "nvme.img", 8 * MIB), "AHCI": disks.make_random(where / "ahci.img", 5 * MIB + 512)}
    disks.make_ext4(where / "ext4.img", 16 * MIB)
    shutil.copy(where / "ext4.img", where / "again.img")

    run = boot(where, where / "run", "--disk", str(where / "ext4.img"), "--disk-commit")
    c.check("dom0 powers off", run.status == 0, run.why())
    c.check("drivers load", "was not loaded" not in run.console, run.why())
    got = disks.sums(run.console)
    for name, sha in want.items():
        c.check(f"{name} reads back with its sum", got.get(name) == sha, f"{got.get(name)}, not {sha}; {run.why()}")
    c.check("ext4 is mounted, written and unmounted", run.has("MOUNTED") and run.has("UNMOUNTED"), run.why())
    c.check("both disks still read", run.has("AHCI-GOOD") and run.has("NVME-GOOD"), run.why())
    status, text = disks.fsck(where / "ext4.img")
    c.check("e2fsck finds the merged image clean", status == 0, text)
    c.check("the file that was written is in it", disks.content(where / "ext4.img", "/hello") == b"hello\n")
    copy = disks.content(where / "ext4.img", "/copy")
    c.check("the copy of the NVMe disk is in it", hashlib.sha256(copy).hexdigest() == hashlib.sha256((where / "nvme.img").read_bytes()[:MIB]).hexdigest(), len(copy))
    c.check("the image that was only read is as it was", hashlib.sha256((where / "nvme.img").read_bytes()).hexdigest() == want["NVME"])
    m = run.manifest
    committed = {d["disk"]: d for d in m.get("disks", [])}
    c.check("the manifest names the merged image's sum", any(d.get("committed_sha256") == hashlib.sha256((where / "ext4.img").read_bytes()).hexdigest()
                                                             for d in committed.values()), committed)
    functions = {f["bdf"]: f for f in m.get("functions", [])}
    mine = {f["bdf"]: f["model"] for f in run.platform["pci"] if f["model"] in ("nvme", "ahci")}
    c.check("three functions", sorted(mine.values()) == ["ahci", "nvme", "nvme"], mine)
    for bdf, model in mine.items():
        c.through_the_iommu(f"{bdf} {model}: ", functions.get(bdf), 100)
    stat = xen.vitrine("stat", run.directory).stdout
    c.check("stat shows it by function", all(re.search(rf"{bdf} +{model} +[\d,]+ +0 +0 +[\d,]+ +0 +0", stat) for bdf, model in mine.items()), stat)

    # The negative. Until the text is printed it is the same run.
    broken = next(bdf for bdf, model in sorted(mine.items()) if model == "nvme")
    walk = xen.vitrine("walk", run.directory, f"iova:0x1000@{broken}", "--json")
    entry = next((e for e in json.loads(walk.stdout or "{}").get("entries", []) if e["table"] == "context"), None)
    if c.check("the context entry of the NVMe function", entry is not None, walk.stdout + walk.stderr):
        shutil.copy(where / "again.img", where / "ext4.img")
        bad = boot(where, where / "bad", "--disk", str(where / "ext4.img"), "--poke", f"console:'BREAK-NOW'={entry['at']}:0000000000000000")
        c.check("broken: dom0 goes on and powers off", bad.status == 0, bad.why())
        c.check("broken: an I/O error in dom0", bad.has("NVME-BAD") and bad.has(r"I/O error|Input/output error|controller is down|Device not ready"), bad.why())
        c.check("broken: the other disk goes on", bad.has("AHCI-GOOD"), bad.why())
        b = bad.manifest
        f = next((f for f in b["functions"] if f["bdf"] == broken), {"dma": {"blocked": 0}})
        c.check("broken: its DMA was blocked, and faults recorded", f["dma"]["blocked"] > 0 and b["vtd"][0]["counters"]["faults"] > 0, f)
        c.check("broken: Xen reports the fault of that function", bad.has(rf"DMAR?:.*\n?.*{broken}") or bad.has(rf"device \[0000:{broken}\] fault"), bad.why())
        c.check("broken: the write is kept with the run's input", any(i["device"] == "memory" for i in bad.inputs), bad.inputs)
c.end()
