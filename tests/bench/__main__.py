"""`python -m tests.bench bench|soak [NAME...]`: runs what is there, or says what there is."""

from __future__ import annotations

import ast
import importlib
import os
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent


def available(kind: str) -> dict[str, str]:
    """Name to the first line of its docstring."""
    found = {}
    for path in sorted(HERE.glob(f"{kind}_*.py")):
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        found[path.stem.removeprefix(f"{kind}_")] = docstring.partition("\n")[0]
    return found


def run_bench(name: str) -> int:
    missed = 0
    module = importlib.import_module(f"tests.bench.bench_{name}")
    for figure in module.measure():
        line = figure.line()
        print(line, flush=True)
        missed += line.endswith("NOT REACHED")
    return missed


def main(kind: str, arguments: list[str]) -> int:
    there = available(kind)
    names = arguments if kind == "bench" else arguments[:1]
    if not names:
        print(f"usage: ./dev {kind} NAME{'...' if kind == 'bench' else ' [ARGUMENTS]'}")
        print("\n".join(f"  {name:<16}{what}" for name, what in there.items()) or f"  there is no {kind} yet")
        return 0
    unknown = [name for name in names if name not in there]
    if unknown:
        print(f"there is no {kind} {', '.join(unknown)}; there is: {', '.join(there) or 'none'}", file=sys.stderr)
        return 2
    if kind == "soak":
        code: int = importlib.import_module(f"tests.bench.soak_{names[0]}").main(arguments[1:])
        return code
    with tempfile.TemporaryDirectory(prefix="edgegw-bench-") as compiled:
        # An installed edgegw is compiled; so is what is measured, also where the caller's surroundings forbid to write bytecode.
        os.environ["PYTHONPYCACHEPREFIX"] = compiled
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        return 1 if sum(map(run_bench, names)) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
