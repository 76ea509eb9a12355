# SPDX-License-Identifier: GPL-2.0-or-later
"""./check --deep: half a minute of each fuzzer. Otherwise only that the command knows what there is; unit/fuzz-* run the inputs that were kept."""
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "scripts"))
sys.path.insert(0, str(ROOT / "tests/cli"))
import fuzz  # noqa: E402
from command import check, end  # noqa: E402

def run(*args, seconds=1500):
    return subprocess.run([sys.executable, str(ROOT / "scripts/fuzz.py"), "--build", os.environ["BUILD"], *args], capture_output=True, text=True, errors="replace", timeout=seconds)


done = run("nosuch")
check("an unknown target is named, and those that there are", done.returncode != 0 and "fuzz: nosuch: there are gdb-client, decoder, execute, machine" in done.stderr, done.stderr)
check("every target has a harness and inputs that were kept", all((ROOT / t["harness"]).exists() and (ROOT / "tests/fuzz/corpus" / (pathlib.Path(t["harness"]).stem + ".hex")).stat().st_size
                                                                 for t in fuzz.TARGETS.values()))
if os.environ.get("DEEP"):
    for name in fuzz.TARGETS:
        done = run("--minutes", "0.5", name)
        check(f"half a minute of {name}", done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:])
end()
