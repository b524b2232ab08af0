"""Each codec, its driver and its decode command are fed damaged captures for a minute: nothing but what they promise comes out.  [SECONDS [CODEC...]]

With atheris, where this Python has it, what a round reached steers the next; it is no dependency, `pip install atheris` into .venv brings it. Without
it the mutator is blind, and the report says so. The code is that of tests/unit/decode_fuzz.py.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

# The rigs of the unit tests are modules without a package.
UNIT = Path(__file__).parent.parent / "unit"
sys.path.insert(0, str(UNIT))

SECONDS = 60
NAMES = ("dlt645", "megatec", "modbus", "sunspec", "hex")
# Rounds between two looks at the clock.
BATCH = 200
# The longest data that is tried: four frames in a row.
BYTES_MAX = 1024
# libFuzzer stops by itself; what does not is stuck in one input.
PATIENCE_S = 60


def main(arguments: list[str]) -> int:
    seconds = int(arguments[0]) if arguments else SECONDS
    names = arguments[1:] or list(NAMES)
    if unknown := [name for name in names if name not in NAMES]:
        print(f"there is no codec {', '.join(unknown)}; there is: {', '.join(NAMES)}", file=sys.stderr)
        return 2
    guided = find_spec("atheris") is not None
    print("atheris: coverage steers the mutations" if guided else "no atheris for this Python: the mutations are blind to coverage", flush=True)
    failed = [name for name in names if not (run_guided(name, seconds) if guided else run_blind(name, seconds))]
    print(f"{len(names)} codecs, {seconds} s each: {'failed: ' + ', '.join(failed) if failed else 'nothing but what they promise came out'}")
    return 1 if failed else 0


def run_blind(name: str, seconds: int) -> bool:
    from decode_fuzz import TARGETS, mutated

    end_s, rounds, seed = time.monotonic() + seconds, 0, random.randrange(1 << 32)
    while time.monotonic() < end_s:
        rounds += mutated(TARGETS[name], seed + rounds, BATCH)
    print(f"{name:<8} {rounds:>9,} rounds from seed {seed}", flush=True)
    return True


def run_guided(name: str, seconds: int) -> bool:
    """In a process of its own: libFuzzer ends the process that it runs in."""
    with tempfile.TemporaryDirectory(prefix="edgegw-soak-") as folder:
        command = [sys.executable, str(Path(__file__).resolve()), name, folder, f"-max_total_time={seconds}", f"-max_len={BYTES_MAX}", "-rss_limit_mb=2048"]
        surroundings = {**os.environ, "PYTHONPATH": os.pathsep.join([str(UNIT.parent.parent), str(UNIT), os.environ.get("PYTHONPATH", "")])}
        done = subprocess.run(command, capture_output=True, text=True, env=surroundings, cwd=folder, timeout=seconds + PATIENCE_S, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith(("#", "Done"))]
    print(f"{name:<8} {lines[-1] if lines else '-'}", flush=True)
    if done.returncode:
        print("\n".join(done.stderr.splitlines()[-40:]), file=sys.stderr)
    return done.returncode == 0


def fuzz(name: str, folder: Path, options: list[str]) -> None:
    """The child: never comes back."""
    import atheris

    with atheris.instrument_imports(include=["edgegw.drivers", "edgegw.cli.decode_dlt645", "edgegw.cli.decode_modbus", "edgegw.cli.decode_megatec"]):
        from decode_fuzz import TARGETS

    target = TARGETS[name]
    corpus = folder / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(target.seeds()):
        (corpus / f"{number:04}").write_bytes(seed)

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        found = atheris.Mutate(data, len(data)) if seed & 2 else atheris.Mutate(data, longest)
        return target.mend(found)[:longest] if seed & 1 else found

    atheris.Setup([sys.argv[0], *options, str(corpus)], target.run, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
