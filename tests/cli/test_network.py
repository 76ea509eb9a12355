#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""--net user with guests/bare/net.cpp: what the guest reaches and hears, while it waits with and without a timer; that what came is recorded, and the run
made again without the network is the same one, also in its middle, from checkpoints, and left at any step; statuses and messages; what a guest cannot break."""
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import rsp   # noqa: E402
from command import VITRINE, check, end, inputs, vitrine   # noqa: E402

NET = pathlib.Path(os.environ["BUILD"]) / "bare/net"
PCAP = bytes.fromhex("4d3cb2a1 0200 0400 00000000 00000000 ffff0000 01000000")


def manifest(run):
    return json.loads((run / "manifest.json").read_text())


def run(directory, words, *options, net="user"):
    return vitrine("run", "--kernel", NET, "--append", words, "--memory", "64M", "--console", "file", *(["--net", net] if net else []), "-o", directory, *options)


def same(directory):
    done = vitrine("replay", directory, "--verify")
    return done.returncode == 0, done.stdout + done.stderr


class Answers:
    """A socket of the loopback that answers each datagram, some time later."""

    def __init__(self, answers, delay):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(30)
        self.port = self.socket.getsockname()[1]
        self.heard = []
        threading.Thread(target=self.serve, args=(answers, delay), daemon=True).start()

    def serve(self, answers, delay):
        try:
            data, where = self.socket.recvfrom(2000)
        except OSError:
            return
        self.heard.append(data)
        for a in answers:
            time.sleep(delay)
            self.socket.sendto(a, where)


def talking(where):
    for name, words in (("wakes for nothing else", ""), ("has a timer", "ticks ")):
        server = Answers([b"one", b"two", b"bye"], 0.3)
        d = where / f"talk{bool(words)}"
        begin = time.monotonic()
        done = run(d, f"{words}dhcp ping=3 port={server.port}", "--checkpoint-every", 20000)
        took = time.monotonic() - begin
        console = [line[18:] for line in (d / "console.txt").read_text().splitlines()]
        want = ["10.0.2.2 is 52:55:0a:00:02:02", "offer 10.0.2.15", "pong 1", "pong 2", "pong 3", "datagram: one", "datagram: two", "datagram: bye", "done", "0 ok, 0 failed"]
        check(f"a guest that {name}: ARP, DHCP, echo, datagrams", done.returncode == 0 and console == want and server.heard == [b"hello"], (done.returncode, done.stderr, console))
        m = manifest(d)
        if words:
            check("its time goes with the host's while it waits for an answer", 0.8 < m["cycles"] * 1e-9 < took, (m["cycles"], took))
        n = m["network"]
        check("counted", n == {"kind": "user", "card": "00:05.0", "frames_sent": 6, "frames_refused": 0, "frames_received": 8, "frames_dropped": 0, "capture": "network.pcap"}, n)
        come = inputs(d)
        check("recorded", [i["device"] for i in come] == ["net0"] * 8 and bytes.fromhex(come[-1]["bytes"]).endswith(b"bye") and all("waits" in i for i in come[-3:]), come)
        ok, why = same(d)
        check("made again: the same", ok and "8 frames" in why, why)
        (d / "cache/end.ckpt").unlink()
        steps = [m["steps"] * k // 7 for k in range(1, 7)] + [come[5]["step"], come[5]["step"] + 1]
        got = [vitrine("memory", f"{d}@{s}", "-o", where / "m", "0x100000-0x1fffff") for s in steps]
        check("and at any moment", all(g.returncode == 0 for g in got), [g.stderr for g in got])
        # Up to a step it is the same whether it was left there, or looked at later.
        at = vitrine("show", f"{d}@{steps[-1]}", "regs", "--json")
        check("show of a moment between two frames", at.returncode == 0 and json.loads(at.stdout), at.stderr)
        capture = (d / "network.pcap").read_bytes()
        check("the capture has all of it", capture[:24] == PCAP and all(bytes.fromhex(i["bytes"]) in capture for i in come) and b"hello" in capture, capture[:24])
    return where / "talkFalse"


def again_in_pieces(run):
    """A debugger on the finished run: forwards and backwards across what came, by steps and by breakpoints where the card's DMA happens while all waits."""
    m = manifest(run)
    server = rsp.Server(VITRINE, "gdb", run, "--serve", 0)
    c = rsp.Client(server.port)
    c("qSupported:swbreak+")
    choice = random.Random(1)
    for k in range(60):
        if k % 3:
            c(choice.choice(("vCont;s:1", "vCont;s:1", "bs", "vCont;c", "bc")))
        else:
            c.monitor(f"goto {choice.randrange(m['steps'])}")
    c.monitor("goto end")
    check("after steps, jumps and ways back in a debugger the end is that of the run", c.monitor("hash").strip() == m["state_hash"], c.monitor("hash"))
    # The last frame's bytes land in memory while every processor waits: a watchpoint stops there.
    last = bytes.fromhex(inputs(run)[-1]["bytes"])
    memory = run.parent / "memory"
    vitrine("memory", run, "-o", memory, "0x0-0x1ffffff")
    at = memory.read_bytes().rindex(last)
    c.monitor("goto 0")
    c(f"Z2,{at + 42:x},4")
    stops = []
    while len(stops) < 100:
        stops.append(c("vCont;c"))
        if "watch" not in stops[-1]:
            break
    check("a watchpoint on what the card writes", sum("watch" in s for s in stops) >= 1, stops[:5])
    c(f"z2,{at + 42:x},4")
    c.monitor("goto end")
    check("and on to the same end", c.monitor("hash").strip() == m["state_hash"], c.monitor("hash"))
    c.close()
    server.end()
    done = vitrine("trace", run, "--from", "50%", "--to", "end", "--event", "interrupt", "--json")
    check("trace across what came", done.returncode == 0 and json.loads(done.stdout.splitlines()[-1]).get("state_hash") == m["state_hash"], done.stderr)


def exact(where):
    until = where / "until"
    for option, value in (("--until", 50000), ("--max-steps", 50001), ("--until", "console:'pong 2'")):
        done = run(until, "ping=3", option, value)
        m = manifest(until)
        check(f"{option} {value} is exact", done.returncode == (124 if option == "--max-steps" else 0) and (m["steps"] == value or option == "--until" and "pong 2" in str(value)), (done.stderr, m["steps"]))
        check("and made again", *same(until))
    whole = where / "whole"
    run(whole, "ping=3")
    hashes = set()
    for _ in range(3):   # nothing of it depends on the host but when an answer comes, and these come at once
        run(where / "again", "ping=3")
        hashes.add(manifest(where / "again")["state_hash"])
    check("answers that come at once come at the same steps", hashes == {manifest(whole)["state_hash"]}, hashes)
    seeded = where / "seeded"
    done = run(seeded, "ticks ping=2", "--cpus", 2, "--schedule-seed", 3, "--ledger", "--type", "1000=x", "--poke", "2000=0x5000:aa")
    devices = [i["device"] for i in inputs(seeded)]
    check("with more processors, typed keys and pokes", done.returncode == 0 and devices == ["com1", "memory", "net0", "net0", "net0"], (done.stderr, devices))
    check("made again", *same(seeded))


def leaving(where):
    for number, name in ((signal.SIGINT, "Ctrl-C"), (signal.SIGKILL, "kill -9")):
        server = Answers([b"one"], 0.1)
        d = where / f"left{number}"
        p = subprocess.Popen([VITRINE, "run", "--kernel", NET, "--append", f"ticks ping=2 port={server.port}", "--memory", "64M", "--console", "file", "--net", "user", "-o", d],
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        limit = time.monotonic() + 20
        while b"datagram: one" not in ((d / "console.txt").read_bytes() if (d / "console.txt").exists() else b"") and time.monotonic() < limit:
            time.sleep(0.05)
        p.send_signal(number)
        _, err = p.communicate(timeout=20)
        check(f"{name}: what came is there", any(b"one" in bytes.fromhex(i["bytes"]) for i in inputs(d)), err)
        if number == signal.SIGINT:
            check("Ctrl-C: status 130, a run that is made again", p.returncode == 130 and manifest(d)["end"]["reason"] == "interrupted" and same(d)[0], (p.returncode, err, same(d)))
        else:
            check("kill -9: a run that says so", manifest(d)["end"]["reason"] == "unfinished")
    # Nobody answers, and nothing else can wake the guest.
    server = Answers([], 0)
    d = where / "silent"
    p = subprocess.Popen([VITRINE, "run", "--kernel", NET, "--append", f"port={server.port}", "--memory", "64M", "--console", "file", "--net", "user", "-o", d],
                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    time.sleep(1)
    check("while an answer may come the guest is not halted for good", p.poll() is None)
    p.send_signal(signal.SIGINT)
    p.communicate(timeout=20)
    check("left while it waits: made again", p.returncode == 130 and same(d)[0], (p.returncode, same(d)))
    done = run(where / "nobody", "", "--device", "virtio-net", net=None)
    check("without --net the cable leads nowhere", done.returncode == 1 and manifest(where / "nobody")["end"]["reason"] == "halted", done.stderr)
    check("made again", *same(where / "nobody"))


def hostile(where):
    d = where / "garbage"
    done = run(d, "garbage=4000")
    n = manifest(d)["network"]
    check("frames that make no sense, of any length: refused or answered, and the card still works",
          done.returncode == 0 and (d / "console.txt").read_text().count("10.0.2.2 is") == 2 and n["frames_refused"] > 1000, (done.returncode, done.stderr, n))
    check("made again", *same(d))
    for name, change, words in (
            ("a frame for a card that is not there", lambda t: t.replace('"net0"', '"net7"'), "a frame for net7, and the machine has 1 network cards"),
            ("a line that is none", lambda t: "{}\n" + t, "input.jsonl:1: step"), ("another frame", lambda t: t.replace('"bytes":"', '"bytes":"ffff', 1), "")):
        copy = where / "copy"
        subprocess.run(["cp", "-r", where / "whole", copy], check=True)
        (copy / "input.jsonl").write_text(change((copy / "input.jsonl").read_text()))
        done = vitrine("replay", copy, "--verify")
        check(f"{name}: said so", done.returncode in (4, 5) and words in done.stderr, (done.returncode, done.stderr))
        subprocess.run(["rm", "-r", copy], check=True)


def options(where):
    base = ["run", "--kernel", NET, "--memory", "64M", "--console", "none", "--max-steps", 1000]
    for words, status, text in (("tap", 2, "there is only user"), ("user,mac=1", 2, "there is only pcap=FILE"), ("user,pcap=", 2, "the file is missing"), ("", 2, "--net : there is only user"),
                                (f"user,pcap={where}/none/x", 2, "none/x: cannot be made (No such file or directory)")):
        done = vitrine(*base, "--net", words, "-o", where / "refused")
        check(f"--net '{words}' is refused", done.returncode == status and text in done.stderr and not (where / "refused").exists(), (done.returncode, done.stderr))
    done = vitrine(*base, "--net", "user", "--gdb", 0)
    check("not with --gdb", done.returncode == 2 and "--net: not with --gdb" in done.stderr and "vitrine gdb DIR" in done.stderr, done.stderr)
    done = vitrine(*base, "--net", f"user,pcap={where}/own.pcap")
    check("pcap=FILE, without a run directory", done.returncode == 124 and (where / "own.pcap").read_bytes() == PCAP, done.stderr)
    done = run(where / "own", "ping=1", net=f"user,pcap={where}/own.pcap")
    check("and with one", done.returncode == 0 and len((where / "own.pcap").read_bytes()) > 300 and not (where / "own/network.pcap").exists()
          and manifest(where / "own")["network"]["capture"] == f"{where}/own.pcap", done.stderr)
    full = run(where / "full", "ping=1", net="user,pcap=/dev/full")
    check("a disk that is full is told of", full.returncode == 1 and "/dev/full: could not be written completely" in full.stderr, (full.returncode, full.stderr))
    hashes = []
    for n, (card, net) in enumerate((("virtio-net", None), ("virtio-net", "user"))):
        d = where / f"idle{n}"
        done = vitrine("run", "--kernel", NET.parent / "echo", "--device", card, *(["--net", net] if net else []), "--memory", "64M", "--console", "none", "-o", d)
        hashes.append((done.returncode, manifest(d)["state_hash"], manifest(d)["host"]["elapsed_seconds"] < 10))
    check("a guest that does not use its card runs as without --net, and time skips", hashes[0] == hashes[1] and hashes[1][2], hashes)
    for more, cards in (([], 1), (["--device", "virtio-net,at=00:0a.0"], 1), (["--device", "virtio-net"] * 2, 2)):
        run(where / "cards", "ping=1", *more)
        found = [f["bdf"] for f in json.loads((where / "cards/platform.json").read_text())["pci"] if f["model"] == "virtio-net"]
        check(f"{cards} card{'s' * (cards - 1)}: the first is connected", len(found) == cards and manifest(where / "cards")["network"]["card"] == found[0], found)
    left = run(where / "cards", "ping=1", "--max-steps", 10, net=None)
    check("an older run's input does not stay", left.returncode == 124 and not (where / "cards/input.jsonl").exists() and not (where / "cards/network.pcap").exists())


def main():
    with tempfile.TemporaryDirectory(prefix="vitrine-network-") as name:
        where = pathlib.Path(name)
        again_in_pieces(talking(where))
        exact(where)
        leaving(where)
        hostile(where)
        options(where)
    end()


main()
