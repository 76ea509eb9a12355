# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen to dom0's userland, twice, and once more to compare
"""Debian's virtio_net in a PVH dom0 on --net user: an address by DHCP, a file fetched from a server on the host's loopback with its known sum; all DMA is
translated, all interrupts are remapped; made again without the server, the run is the same one. The negative: with the function's context entry
overwritten from outside nothing comes any more, and the unit records faults. A context cache of one entry, which the DMA of a second card takes, makes
the change seen."""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import network_guest as guest  # noqa: E402
import xen  # noqa: E402

PLATFORM = {"vitrine": "platform/1", "name": "network", "drhds": [{"context_entries": 1}]}


def boot(where, directory, port, *options):
    return xen.boot(directory, "--platform", str(where / "network.json"), "--device", "virtio-net", "--device", "virtio-net", "--net", "user", *options, dom0=f"console=hvc0 poweroff port={port}",
                    kernel=xen.plain_kernel(), until=None, initrd=where / "initrd.gz")


def frames_of(capture):
    """Of a pcap file: (seconds, bytes) of each."""
    data, at, all_frames = capture.read_bytes(), 24, []
    while at < len(data):
        size = int.from_bytes(data[at + 8:at + 12], "little")
        all_frames.append((int.from_bytes(data[at:at + 4], "little") + int.from_bytes(data[at + 4:at + 8], "little") / 1e9, data[at + 16:at + 16 + size]))
        at += 16 + size
    return all_frames


c = xen.Checks()
c.fetched("--with-modules", "the drivers of Debian's kernel")
with tempfile.TemporaryDirectory(prefix="vitrine-network-") as where:
    where = pathlib.Path(where)
    guest.make_initrd(xen.GUESTS, xen.ROOT, where / "initrd.gz")
    (where / "network.json").write_text(json.dumps(PLATFORM))
    with guest.Server() as server:
        run = boot(where, where / "run", server.port)
        c.check("dom0 powers off", run.status == 0, run.why())
        c.check("drivers load, and Debian's virtio_net has the card", "was not loaded" not in run.console and run.has(r"CARD .*/virtio_net 02:56:54:00:"), run.why())
        c.check("DHCP gives an address", "LEASE 10.0.2.15 10.0.2.2" in run.console and "DHCP-DONE" in run.console, run.why())
        c.check("the host answers an echo request", "PING-GOOD" in run.console, run.why())
        c.check("the file is fetched, twice", "FETCH-GOOD" in run.console and "AGAIN-GOOD" in run.console and server.asked == ["/file"] * 2, (server.asked, run.why()))
        c.check("with its sum", f"SUM {guest.SHA256}" in run.console, run.why())
        c.check("nothing else is reached", "OUTSIDE-REFUSED" in run.console and "OUTSIDE-REACHED" not in run.console, run.why())
        m = run.manifest
        cards = [f["bdf"] for f in run.platform["pci"] if f["model"] == "virtio-net"]
        c.check("two cards, of which the first is connected", len(cards) == 2 and m["network"]["card"] == cards[0] and "NOBODY-THERE" in run.console, (cards, m["network"]))
        card = cards[0]
        c.through_the_iommu("", next((f for f in m["functions"] if f["bdf"] == card), None), 500)
        stat = xen.vitrine("stat", run.directory).stdout
        c.check("stat shows it by function", re.search(rf"{card} +virtio-net +[\d,]+ +0 +0 +[\d,]+ +0 +0", stat), stat)
        c.check("the console is written to by nobody's complaint", not run.has(r"BUG:|Call Trace|DMAR.*fault"), run.why())
        frames = frames_of(run.directory / "network.pcap")
        n = m["network"]
        c.check("the capture has both directions, in order", len(frames) == n["frames_sent"] + n["frames_refused"] + n["frames_received"] and frames == sorted(frames, key=lambda x: x[0]),
                (len(frames), n))
        c.check("and the file's bytes", all(any(guest.CONTENT[at:at + 32] in b for _, b in frames) for at in range(0, len(guest.CONTENT), 65536)))
        received = [i for i in run.inputs if i["device"] == "net0"]
        c.check("what came in is recorded with its steps", len(received) == n["frames_received"] > 100 and [i["step"] for i in received] == sorted(i["step"] for i in received), len(received))

        # The negative. Until the text is printed nothing that matters is different.
        walk = xen.vitrine("walk", run.directory, f"iova:0x1000@{card}", "--json")
        entry = next((e for e in json.loads(walk.stdout or "{}").get("entries", []) if e["table"] == "context"), None)
        if c.check("the context entry of the card", entry is not None, walk.stdout + walk.stderr):
            # Side by side, as each takes its time: the run again, without the network.
            again = subprocess.Popen([xen.VITRINE, "replay", run.directory, "--verify"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            bad = boot(where, where / "bad", server.port, "--poke", f"console:'BREAK-NOW'={entry['at']}:0000000000000000")
            c.check("broken: dom0 goes on and powers off", bad.status == 0, bad.why())
            c.check("broken: the first file came, the second does not", f"SUM {guest.SHA256}" in bad.console and "AGAIN-BAD" in bad.console and server.asked == ["/file"] * 3, bad.why())
            b = bad.manifest
            f = next((f for f in b["functions"] if f["bdf"] == card), {"dma": {"blocked": 0}})
            c.check("broken: its DMA was blocked, and faults recorded", f["dma"]["blocked"] > 0 and b["vtd"][0]["counters"]["faults"] > 0, f)
            c.check("broken: Xen reports the fault of that function", bad.has(rf"DMAR?:.*\n?.*{card}") or bad.has(rf"device \[0000:{card}\] fault"), bad.why())
            out, err = again.communicate(timeout=300)
            c.check("replay --verify: the same", again.returncode == 0 and f"{n['frames_received']} frames" in out.replace(",", ""), out + err)
c.end()
