#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Moments of a run, typed input and checkpoints from outside, with ROM images of a few bytes: RUN@T is what a fresh run to there is,
messages, what is kept in a run directory, Ctrl-C while running again."""
import json
import pathlib
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import VITRINE, check, end, inputs, vitrine   # noqa: E402


def say(text):
    return b"\xba\xf8\x03" + b"".join(bytes([0xb0, c, 0xee]) for c in text.encode())


WAIT = b"\xb9\x00\x40\xe2\xfe"                                 # mov cx, 0x4000; loop $
COUNT = b"\x66\xff\x06\x00\x10"                                # inc dword [0x1000]
FOREVER = b"\x66\x40\xeb\xfc"                                  # inc eax; jmp back
ECHO = b"\xba\xfd\x03\xec\xa8\x01\x74\xfb\xba\xf8\x03\xec\xee\x3c\x71\x75\xef\xb0\x00\xe6\xf4"   # echoes COM1; exits after a 'q'
EXIT = b"\xb0\x00\xe6\xf4"


class Where:
    def __init__(self, path):
        self.path, self.n = pathlib.Path(path), 0

    def run(self, code, *args, name=None):
        self.n += 1
        image = bytearray([0xf4]) * 0x10000
        image[:len(code)] = code
        image[0xfff0:0xfff3] = b"\xe9\x0d\x00"
        rom = self.path / f"rom{self.n}"
        rom.write_bytes(image)
        out = self.path / (name or f"run{self.n}")
        done = vitrine("run", "--firmware", rom, "-o", out, "--console", "file", *args)
        return done, json.loads((out / "manifest.json").read_text()) if (out / "manifest.json").exists() else None, out


def memory(w, run):
    out = w.path / "memory"
    done = vitrine("memory", run, "-o", out, "0x0-0xfffff")
    return out.read_bytes() if done.returncode == 0 else done.stderr


def step(run):
    done = vitrine("map", run, "--json")
    return json.loads(done.stdout)["step"] if done.returncode == 0 else done.stderr


def moments(w):
    code = say("one\n") + (COUNT + WAIT) * 2 + say("two\n") + (COUNT + WAIT) * 2 + EXIT
    _, m, run = w.run(code)
    for t in ("40000", "console:'two'"):
        _, fresh, other = w.run(code, "--until", t)
        at = f"{run}@{t}"
        check(f"@{t}: the step is that of a run until then", step(at) == fresh["steps"], (step(at), fresh["steps"]))
        check(f"@{t}: and the memory", memory(w, at) == memory(w, other))
    check("@50%", step(f"{run}@50%") == m["steps"] // 2)
    check("@end", step(f"{run}@end") == m["steps"])
    check("memory differs between moments", memory(w, f"{run}@1000") != memory(w, run))
    done = vitrine("walk", f"{run}@1000", "gva:f0000", "--json")
    check("walk RUN@T", done.returncode == 0 and json.loads(done.stdout)["step"] == 1000, done.stderr)
    kept = sorted(p.name for p in (run / "cache").iterdir())
    check("what was asked is kept, four at most", "times.json" in kept and len([k for k in kept if k[0].isdigit()]) == 4, kept)
    for t, words in [("soon", "not a time"), ("", "not a time"), ("999999999", "the run ended before, at step"), ("101%", "0% to 100%"),
                     ("console:'three'", "it did not print that"), ("exit#1", "it had 0 VM exits"), ("exit:nothing", "no such VM exit"), ("sym:main", "there are no symbols")]:
        done = vitrine("map", f"{run}@{t}")
        check(f"refused: RUN@{t}", done.returncode == 2 and words in done.stderr, (done.returncode, done.stderr))
    done = vitrine("stat", f"{run}@5")
    check("stat knows whole runs only", done.returncode == 2 and "whole runs only" in done.stderr, done.stderr)
    rom = pathlib.Path(m["inputs"][0]["file"])
    good = rom.read_bytes()
    rom.write_bytes(good[:-1] + b"\x01")
    done = vitrine("map", f"{run}@3")
    check("a changed input is named", done.returncode == 4 and f"{rom}: has changed" in done.stderr and "make a new run" in done.stderr, done.stderr)
    rom.unlink()
    done = vitrine("map", f"{run}@3")
    check("a vanished input is named", done.returncode == 4 and f"{rom}: is gone" in done.stderr, done.stderr)
    check("the end needs none", vitrine("map", run).returncode == 0)
    rom.write_bytes(good)
    (run / "cache" / "end.ckpt").unlink()
    check("an end that was removed is made again", step(run) == m["steps"] and (run / "cache" / "end.ckpt").exists())
    _, again, _ = w.run(EXIT, name=run.name)
    check("a new run in the same directory forgets all of it", sorted(p.name for p in (run / "cache").iterdir()) == ["end.ckpt"] and again["steps"] == 3)


def checkpoints(w):
    code = WAIT * 3 + EXIT
    _, plain, _ = w.run(code)
    done, m, run = w.run(code, "--checkpoint-every", "20000")
    check("--checkpoint-every", [c["step"] for c in m["checkpoints"]] == [20000, 40000, m["steps"]], m["checkpoints"])
    check("changes nothing", m["state_hash"] == plain["state_hash"])
    pathlib.Path(m["inputs"][0]["file"]).unlink()
    check("RUN@T begins there", step(f"{run}@40,010") == 40010)
    for args, words in [(["--checkpoint-every", "0"], "from 1 on"), (["--checkpoint-every", "x"], "from 1 on")]:
        done, _, out = w.run(code, *args)
        check(f"refused: {' '.join(args)}", done.returncode == 2 and words in done.stderr and not out.exists(), done.stderr)
    done = vitrine("run", "--firmware", "x", "--checkpoint-every", "5")
    check("refused: --checkpoint-every without a directory", done.returncode == 2 and "-o DIR" in done.stderr, done.stderr)


def typing(w):
    code = say("login: ") + ECHO
    args = ["--type", "console:'login: '=root\\r", "--type", "console:'root'=^A\\x41", "--type", "1000000=q", "--max-steps", "2000000"]
    done, m, run = w.run(code, *args)
    check("--type: the guest got it", done.returncode == 0 and "login: root" in (run / "console.txt").read_text(), (done.stderr, (run / "console.txt").read_text()))
    check("--type is recorded with its steps", [i["bytes"] for i in inputs(run)] == [b"root\r".hex(), "0141", "71"] and inputs(run)[2]["step"] == 1000000, inputs(run))
    _, again, run2 = w.run(code, *args)
    check("--type: the same again", again["state_hash"] == m["state_hash"] and inputs(run2) == inputs(run))
    (run / "cache" / "end.ckpt").unlink()
    check("it is typed again where the run is made again", step(run) == m["steps"])
    check("also in the middle", step(f"{run}@500000") == 500000 and step(f"{run}@1000001") == 1000001)
    done, m, nothing = w.run(say("x") + EXIT, "--type", "console:'never'=a", "--type", "5000=b")
    check("a text that is not printed is named", "--type console:'never': the text was not printed" in done.stderr and "--type 5000: the step did not come" in done.stderr, done.stderr)
    check("and nothing was typed", inputs(nothing) == [], inputs(nothing))
    for t, words in [("console:'x'", "does not end with '="), ("x", "STEP=KEYS"), ("5=", "no keys"), ("5=\\q", "no escape"), ("5=^1", "control character"), ("console:''=x", "is empty")]:
        done, _, out = w.run(code, "--type", t)
        check(f"refused: --type {t}", done.returncode == 2 and words in done.stderr and not out.exists(), done.stderr)
    done = vitrine("debug-key", run, "h")
    check("debug-key: not a run of Xen", done.returncode == 2 and "is not a run of Xen" in done.stderr, done.stderr)
    done = vitrine("debug-key", run, "hh")
    check("debug-key: one key each", done.returncode == 2 and "is not one key" in done.stderr, done.stderr)


def interruption(w):
    _, m, run = w.run(FOREVER, "--until", "400000000")
    (run / "cache" / "end.ckpt").unlink()
    p = subprocess.Popen([VITRINE, "map", str(run)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(0.5)
    p.send_signal(signal.SIGINT)
    _, err = p.communicate(timeout=60)
    check("Ctrl-C while running again: status 130, nothing kept", p.returncode == 130 and "interrupted" in err and not (run / "cache" / "end.ckpt").exists(), (p.returncode, err))


def main():
    with tempfile.TemporaryDirectory(prefix="vitrine-moments-") as where:
        w = Where(where)
        for part in (moments, checkpoints, typing, interruption):
            part(w)
    end()


if __name__ == "__main__":
    main()
