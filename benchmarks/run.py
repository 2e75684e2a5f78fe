"""Runs every benchmark of this folder and says on what: `python benchmarks/run.py [name …]`."""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path

import torch

from eddymark.config.findings import nearest_name

FOLDER = Path(__file__).parent
OTHERS = (
    "run",
    "peers",
    "agreement",
    "fluidsim_solver",
)  # they need packages of their own: make bench-peers, make verify
PACKAGES = ("torch", "numpy", "numba", "pyfftw", "pytorch-lightning", "neuraloperator")


def processor() -> str:
    """Return the name of the processor."""
    description = Path("/proc/cpuinfo")
    if description.exists():
        for line in description.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def chosen() -> list[str]:
    """Return the benchmarks that the command line names, by default all; exit with one line if there is no such one."""
    every = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in OTHERS)
    parser = argparse.ArgumentParser(description="Measure speed and memory.", epilog=f"names: {', '.join(every)}")
    parser.add_argument("names", nargs="*", metavar="name", help="a benchmark; by default all")
    names: list[str] = parser.parse_args().names
    for name in names:
        if name not in every:
            nearest = nearest_name(name, every)
            hint = f"; did you mean {nearest}?" if nearest else ""
            parser.error(f"expected a benchmark ({', '.join(every)}), found {name!r}{hint}")
    return names or every


def main() -> None:
    """Print machine, versions and the tables of all benchmarks, or of those named."""
    names = chosen()
    print(f"{processor()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, {platform.system()}")
    print(f"Python {platform.python_version()}", end="")
    for package in PACKAGES:
        try:
            print(f", {package} {metadata.version(package)}", end="")
        except metadata.PackageNotFoundError:
            print(f", {package} missing", end="")
    print()
    sys.path.insert(0, str(FOLDER))
    for name in names:
        load = " ".join(f"{value:.1f}" for value in os.getloadavg())
        print(f"\n== {name} == (load of the machine {load})", flush=True)
        start = time.perf_counter()
        importlib.import_module(name).main()
        print(f"({time.perf_counter() - start:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
