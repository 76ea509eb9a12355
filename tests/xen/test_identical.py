# SPDX-License-Identifier: GPL-2.0-or-later
# SLOW: boots Xen and Linux on four processors
"""Byte-identical: Xen and dom0's userland on four processors, once more while the host is busy, and from a checkpoint in the middle on; and the
interleavings that two schedule seeds choose, each of which comes again. And the memory that it takes."""
import concurrent.futures
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import xen  # noqa: E402

c = xen.Checks()
PROMPT = "console:'/ # '"


def userland(where):
    return xen.boot(where, "--cpus", "4", "--checkpoint-every", "600000000", "--type", f"{PROMPT}=cat /proc/interrupts\\r", "--type", f"{PROMPT}=poweroff -f\\r",
                    dom0="console=hvc0", kernel=xen.plain_kernel(), until=None)


def own_memory(marker, done, out):
    """Looks twice a second at what the process with `marker` on its command line holds besides its guest's memory, in bytes."""
    while not done.wait(0.5):
        for p in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if marker not in (p / "cmdline").read_text() or "vitrine" not in (p / "comm").read_text():
                    continue
                text = (p / "smaps").read_text()
                sizes = [int(x) for x in re.findall(r"^Size: +(\d+) kB", text, re.M)]
                held = [int(x) for x in re.findall(r"^Rss: +(\d+) kB", text, re.M)]
            except OSError:
                continue
            guest = [h for s, h in zip(sizes, held) if s >= 2 << 20]
            if guest:
                out.append(((sum(held) - sum(guest)) << 10, sum(guest) << 10))


class Busy:
    """Two processes that take the host's processors."""
    def __enter__(self):
        self.load = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2)]

    def __exit__(self, *_):
        for p in self.load:
            p.kill()
            p.wait()


with tempfile.TemporaryDirectory(prefix="vitrine-identical-") as where:
    where = pathlib.Path(where)
    done, memory = threading.Event(), []
    looks = threading.Thread(target=own_memory, args=(str(where / "a"), done, memory))
    looks.start()
    a = userland(where / "a")
    done.set()
    looks.join()
    c.check("four processors: dom0's userland, poweroff -f", a.status == 0 and a.has("USERLAND-OK") and re.search(r"CPU0 +CPU1 +CPU2 +CPU3|CPU0", a.console), a.why())
    if a.status != 0:
        c.end()
    own = max((x for x, _ in memory), default=1 << 40) / (1 << 20)
    print(f"  {own:.0f} MiB besides {max((g for _, g in memory), default=0) >> 20} MiB of guest memory that was touched")
    c.check("the process holds at most 200 MB besides guest memory that was touched", own * (1 << 20) <= 200e6 and len(memory) > 4, memory[-3:])
    m = a.manifest
    middle = [k["step"] for k in m["checkpoints"][:-1]]
    c.check("checkpoints on the way", len(middle) >= 2, m["checkpoints"])
    with Busy(), concurrent.futures.ThreadPoolExecutor(2) as pool:
        again = pool.submit(userland, where / "b")
        late = pool.submit(xen.vitrine, "replay", where / "a", "--from", str(middle[len(middle) // 2]), "--verify", seconds=600)
        b, late = again.result(), late.result()
    c.check("a second boot, the host busy: same console", b.status == 0 and b.console == a.console, b.why())
    c.check("same hash, same steps", b.status == 0 and (b.manifest["state_hash"], b.manifest["steps"]) == (m["state_hash"], m["steps"]), b.why())
    c.check("from a checkpoint in the middle, the host busy: same console, same hash", late.returncode == 0 and re.search(r"the same: \d{2,} console lines, .*, state at step", late.stdout)
            and "from the checkpoint at step" in late.stderr, late.stdout + late.stderr)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = {(seed, n): pool.submit(xen.boot, where / f"seed{seed}-{n}", "--cpus", "4", "--schedule-seed", str(seed), kernel=xen.GUESTS / "vmlinux") for seed in (1, 2) for n in (0, 1)}
        r = {k: j.result() for k, j in jobs.items()}
    hashes = {k: x.manifest["state_hash"] if x.status == 0 else x.why() for k, x in r.items()}
    c.check("with a schedule seed Xen builds dom0 on four processors", all(x.status == 0 for x in r.values()), hashes)
    for seed in (1, 2):
        c.check(f"seed {seed}: twice the same run", hashes[seed, 0] == hashes[seed, 1] and r[seed, 0].console == r[seed, 1].console, hashes)
    c.check("another seed, another run", hashes[1, 0] != hashes[2, 0], hashes)
c.end()
