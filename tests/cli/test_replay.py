#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Interactive runs on a pseudo-terminal and through a pipe, with guests/bare/echo.cpp; replay and what it says of a run that is another one; schedule
seeds. The terminal is put back whatever happens."""
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from command import check, end, inputs, vitrine   # noqa: E402
from terminal import Terminal   # noqa: E402

BUILD = pathlib.Path(os.environ["BUILD"])
DEEP = bool(os.environ.get("DEEP"))
ECHO = BUILD / "bare/echo"


def manifest(run):
    return json.loads((run / "manifest.json").read_text())


def typed(run):
    return b"".join(bytes.fromhex(i["bytes"]) for i in inputs(run))


def session(where, n):
    run = where / f"session{n}"
    t = Terminal("--kernel", ECHO, "--memory", "64M", "-o", run)
    ok = t.wait("ready")
    raw = t.raw()
    for keys, echo in (("hello", "hello"), (".", ">"), ("\r", "\n"), (b"\x03\x01\x01\x01", "^C^A^A^A"), (".", ">")):
        t.seen = b""
        t.type(keys)
        ok &= t.wait(echo)
    time.sleep(0.4)
    t.type("q")
    ok &= t.wait("bye")
    status = t.end()
    return run, t, ok and status == 0, raw


def interactive(where):
    run, t, ok, raw = session(where, 0)
    check("what is typed on a terminal is heard and echoed; Ctrl-C and Ctrl-A are the guest's", ok, t.seen)
    check("the terminal is raw meanwhile, and put back", raw and t.restored())
    m = manifest(run)
    all_input = inputs(run)
    check("what was typed is recorded with its steps", typed(run) == b"hello.\r\x03\x01\x01\x01.q" and [i["step"] for i in all_input] == sorted(i["step"] for i in all_input), all_input)
    check("time goes with the host's clock while the guest waits", 0.3 < m["cycles"] * 1e-9 < 1.2 * m["host"]["elapsed_seconds"] + 0.1, (m["cycles"], m["host"]))
    done = vitrine("replay", run)
    check("replay prints what the run printed", done.returncode == 0 and "^C^A^A^A" in done.stdout and done.stdout == (run / "console.txt").read_text(), done.stderr + done.stdout)
    good = 0
    for n in range(10 if DEEP else 3):
        if n:
            run, t, ok, _ = session(where, n)
        for _ in range(10 if n == 0 else 1):
            done = vitrine("replay", run, "--verify")
            good += done.returncode == 0 and "the same" in done.stdout
    check("replay --verify: the same, every time", good == (19 if DEEP else 12), (good, done.stdout, done.stderr))
    at = vitrine("memory", f"{run}@50%", "-o", where / "memory", "0-0xfff")
    check("RUN@T types it, too", at.returncode == 0, at.stderr)
    return where / "session0"


def leaving(where):
    run = where / "escaped"
    t = Terminal("--kernel", ECHO, "--memory", "64M", "-o", run)
    check("it says which key leaves", t.wait("^] leaves"), t.seen)
    t.wait("ready")
    t.type("ab")
    t.wait("ab")
    time.sleep(0.3)
    t.type("c\x1dd")
    status = t.end()
    m = manifest(run)
    check("the escape key leaves: status 0, the terminal as it was", status == 0 and t.restored() and m["end"]["reason"] == "until" and b"left by the escape key" in t.seen, (status, t.seen))
    check("what came behind it is not typed", typed(run) == b"abc", inputs(run))
    done = vitrine("replay", run, "--verify")
    check("a run that was left while it waited is replayed", done.returncode == 0, done.stderr)

    run = where / "other"
    t = Terminal("--kernel", ECHO, "--memory", "64M", "-o", run, "--escape", "^B")
    t.wait("ready")
    t.type("\x1d")
    heard = t.wait("^]")
    t.type("\x02")
    check("--escape: another key, and ^] is the guest's", heard and t.end() == 0 and t.restored(), t.seen)

    for number, name in ((signal.SIGTERM, "SIGTERM"), (signal.SIGHUP, "SIGHUP"), (signal.SIGABRT, "SIGABRT")):
        t = Terminal("--kernel", ECHO, "--memory", "64M", "-o", where / name)
        t.wait("ready")
        was_raw = t.raw()
        t.process.send_signal(number)
        status = t.end()
        check(f"{name}: the terminal is put back", was_raw and t.restored() and status != 0, status)

    run = where / "killed"
    t = Terminal("--kernel", ECHO, "--memory", "64M", "-o", run)
    t.wait("ready")
    t.type("kept")
    t.wait("kept")
    t.process.kill()
    t.end()
    m = manifest(run)
    check("kill -9: what was typed is there", typed(run) == b"kept" and m["end"]["reason"] == "unfinished", inputs(run))
    done = vitrine("replay", run)
    check("and replay says that the run was cut off", done.returncode == 4 and "cut off" in done.stderr, done.stderr)


def piped(where):
    run = where / "piped"
    done = vitrine("run", "--kernel", ECHO, "--memory", "64M", "-o", run, stdin=None, input="\rfrom a pipe.q")   # the first one comes before the guest is ready
    check("a pipe is typed, too, and lines keep their stamps", done.returncode == 0 and "] from a pipe<" in done.stdout, done.stdout + done.stderr)
    check("and is replayed", vitrine("replay", run, "--verify").returncode == 0)
    begin = time.monotonic()
    done = vitrine("run", "--kernel", ECHO, "--memory", "64M", "-o", where / "nobody")
    check("nobody can type: time is not waited for", done.returncode == 0 and time.monotonic() - begin < 15 and "bye" in done.stdout, time.monotonic() - begin)
    check("such a run is replayed", vitrine("replay", where / "nobody", "--verify").returncode == 0)


def diverging(where, run):
    def changed(name, change):
        copy = where / name
        shutil.copytree(run, copy)
        change(copy)
        return vitrine("replay", copy, "--verify")

    def edit(field):
        def change(copy):
            m = manifest(copy)
            field(m)
            (copy / "manifest.json").write_text(json.dumps(m))
        return change

    def console(copy):
        lines = (copy / "console.txt").read_text().splitlines()
        lines[1] = lines[1].replace("hello", "hullo")
        (copy / "console.txt").write_text("\n".join(lines) + "\n")

    done = changed("another-line", console)
    check("another console: status 5, and which line", done.returncode == 5 and "console line 2: it was" in done.stderr and "hullo" in done.stderr, done.stderr)
    done = changed("another-hash", edit(lambda m: m.update(state_hash="0" * 32)))
    check("another state: status 5, and at which step", done.returncode == 5 and "the state at step" in done.stderr, done.stderr)

    def key(copy):
        first = inputs(copy)[0]["bytes"]
        (copy / "input.jsonl").write_text((copy / "input.jsonl").read_text().replace(first, b"x".hex() + first[2:], 1))
    done = changed("another-key", key)
    check("another key: status 5", done.returncode == 5 and "console line 2" in done.stderr, done.stderr)
    done = changed("another-end", edit(lambda m: m["end"].update(step=m["end"]["step"] - 1)))
    check("another end: status 5", done.returncode == 5 and "diverged" in done.stderr, done.stderr)
    done = changed("more-lines", lambda c: (c / "console.txt").write_text((c / "console.txt").read_text() + "[              1] more\n"))
    check("a line that does not come: status 5", done.returncode == 5 and "does not come" in done.stderr, done.stderr)
    kept = where / "kept"
    done = vitrine("run", "--kernel", ECHO, "--memory", "64M", "-o", kept, "--console", "none", "--type", "3000=ab", "--checkpoint-every", 2000)
    done = vitrine("replay", kept, "--verify")
    check("checkpoints on the way are compared, too", done.returncode == 0, done.stderr)
    late = []
    whole = (kept / "console.txt").read_text()
    steps = [k["step"] for k in manifest(kept)["checkpoints"][:-1]]
    for step in (*steps[:12], *(s + 1 for s in steps[:3])):
        done, printed = vitrine("replay", kept, "--from", step, "--verify"), vitrine("replay", kept, "--from", step)
        late += [done.returncode, f"from the checkpoint at step {step - step % 2000:,}" in done.stderr, whole.endswith(printed.stdout.split("] ", 1)[-1])]
    check("--from a checkpoint, in the middle of lines too: the same from there on", len(late) > 12 and set(late) <= {0, True}, (late, done.stderr, printed.stdout))
    done = vitrine("replay", kept, "--verify", "--from", steps[2], "--to", steps[3])
    check("--from and --to: as far as asked", done.returncode == 0 and "as far as asked" in done.stdout, done.stderr + done.stdout)
    lines = whole.splitlines()
    (kept / "console.txt").write_text("\n".join([*lines[:-1], lines[-1] + "!"]) + "\n")
    done = vitrine("replay", kept, "--verify", "--from", steps[0])
    check("--from, and another console: status 5", done.returncode == 5 and "it was" in done.stderr and "failed!" in done.stderr, done.stderr)
    for args, words in ((["--from", 1999], "no checkpoint at or before step 1,999; make it with --checkpoint-every"), (["--from", steps[3], "--to", 100], "--to 100: lies before --from")):
        done = vitrine("replay", kept, *args)
        check(f"replay {args[0]} {args[1]} ...: status 2, and says so", done.returncode == 2 and words in done.stderr, done.stderr)
    done = vitrine("replay", run, "--verify", "--to", "50%")
    check("--to: as far as asked", done.returncode == 0 and "as far as asked" in done.stdout, done.stderr + done.stdout)
    for name, args, status, words in [
            ("no run", [where / "none"], 4, "not a run directory"), ("a moment behind the end", [run, "--to", "99999999999"], 2, "the run ended before"),
            ("a run with a moment", [f"{run}@3"], 2, "--to says how far")]:
        done = vitrine("replay", *args)
        check(f"replay, {name}: status {status}, and says so", done.returncode == status and words in done.stderr, f"{done.returncode} {done.stderr}")
    for option, words in (("ab", "has to be one key"), ("", "no keys")):
        done = vitrine("run", "--kernel", ECHO, "--escape", option)
        check(f"--escape '{option}' is refused", done.returncode == 2 and words in done.stderr, done.stderr)


def seeds(where):
    hashes = {}
    for seed in ("0", "1", "2"):
        for n in range(2):
            run = where / f"seed{seed}-{n}"
            done = vitrine("run", "--kernel", BUILD / "bare/smp", "--memory", "64M", "--cpus", 4, "-o", run, "--console", "none", "--schedule-seed", seed)
            m = manifest(run)
            hashes.setdefault(seed, []).append((m["state_hash"], m["steps"]))
            check(f"seed {seed}: the guest is content ({n})", done.returncode == 0, done.stderr)
    check("the same seed gives the same run", all(len(set(h)) == 1 for h in hashes.values()), hashes)
    check("another seed another one", len({h[0][1] for h in hashes.values()}) == 3, hashes)
    plain = where / "no-seed"
    vitrine("run", "--kernel", BUILD / "bare/smp", "--memory", "64M", "--cpus", 4, "-o", plain, "--console", "none")
    check("0 is what there is without", manifest(plain)["state_hash"] == hashes["0"][0][0])
    check("the platform of the run has it", json.loads((where / "seed2-0/platform.json").read_text())["cpu"]["schedule_seed"] == 2)
    check("a run with a seed is replayed", vitrine("replay", where / "seed2-0", "--verify").returncode == 0)
    middle = vitrine("memory", f"{where}/seed2-0@50%", "-o", where / "m", "0-0xfff")
    check("RUN@T of it", middle.returncode == 0, middle.stderr)
    done = vitrine("run", "--kernel", ECHO, "--schedule-seed", "many")
    check("a seed that is none is refused", done.returncode == 2 and "--schedule-seed many: not a number" in done.stderr, done.stderr)


def main():
    with tempfile.TemporaryDirectory() as name:
        where = pathlib.Path(name)
        run = interactive(where)
        leaving(where)
        piped(where)
        diverging(where, run)
        seeds(where)
    end()


main()
