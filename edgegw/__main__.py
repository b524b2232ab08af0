"""`python -m edgegw` is the `edgegw` command."""

from __future__ import annotations

from edgegw.cli.entry import main

if __name__ == "__main__":
    main()
