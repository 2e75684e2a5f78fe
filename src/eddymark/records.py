"""Records of finished jobs: what was made, from what, how; and which jobs have to run again."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import platform
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from eddymark.errors import EddymarkError
from eddymark.plan import Job

RECORD = "signature.json"
NOT_RUN = "has not run"
MEASURED = "measured.json"
"""What a stage measured while it ran; it becomes a part of the record, because a rerun measures something else."""

_LONG_AGO = (86400, 86400)
"""Older than everything; not 0, which Snakemake reads as "no time"."""

_LIBRARIES = ("torch", "numpy", "scipy", "xarray", "zarr", "pytorch-lightning", "snakemake")


def read_record(folder: Path) -> dict[str, Any]:
    """Return the record in a job's folder, empty if there is none or any byte of it is not as it was written."""
    try:
        content = (folder / RECORD).read_bytes()
        record = json.loads(content)
        intact = isinstance(record, dict) and content == record_text(record).encode()
    except (OSError, ValueError, RecursionError):
        return {}
    sections = [record.get(name, {}) for name in ("outputs", "upstream")] if intact else [None]
    return record if all(isinstance(section, dict) for section in sections) else {}


def record_text(record: Mapping[str, Any]) -> str:
    """Return a record as it is stored, with a digest of itself: equal records make equal bytes."""
    content = {name: value for name, value in record.items() if name != "digest"}
    text = json.dumps(content, indent=1, ensure_ascii=False)
    content["digest"] = hashlib.sha256(text.encode()).hexdigest()
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def stale_reasons(jobs: Mapping[str, Job], results: Path) -> dict[str, str]:
    """Return why each job that has to run has to, by folder.

    A job is stale if its stored signature differs from the wanted one, an output is missing, an upstream job
    is stale, or an upstream job's outputs are not those it was made from. Time stamps never decide.

    Arguments:
        jobs: all jobs by folder, upstream jobs first.
        results: root of the results.
    """
    reasons: dict[str, str] = {}
    records = {folder: read_record(results / folder) for folder in jobs}
    for folder, job in jobs.items():
        record = records[folder]
        sources = record.get("upstream", {})
        missing = [n for n in (*job.outputs, *record.get("outputs", {})) if not (results / folder / n).exists()]
        waiting = [up for up in job.upstream if up in reasons]
        remade = [up for up in job.upstream if sources.get(up) != records[up].get("outputs")]
        if not record:
            reasons[folder] = "its record is damaged" if (results / folder / RECORD).exists() else NOT_RUN
        elif missing:
            reasons[folder] = f"{missing[0]} is missing"
        elif record["signature"] != job.signature:
            reasons[folder] = _changes(record, job)
        elif waiting:
            reasons[folder] = f"{waiting[0]} has to run first"
        elif remade:
            reasons[folder] = f"{remade[0]} has made something else since"
    return reasons


def _changes(record: Mapping[str, Any], job: Job) -> str:
    """Return in words what is not as it was when a job ran."""
    changed = [name for name, digest in job.own.items() if record.get(name) != digest]
    return f"its {' and its '.join(changed)} changed" if changed else "what it is made from changed"


def mark_stale(jobs: Mapping[str, Job], results: Path) -> set[str]:
    """Return the folders of the jobs that have to run, and make their records look old to Snakemake.

    Arguments:
        jobs: all jobs by folder, upstream jobs first.
        results: root of the results.
    """
    stale = set(stale_reasons(jobs, results))
    for folder in stale:
        with contextlib.suppress(FileNotFoundError):
            os.utime(results / folder / RECORD, _LONG_AGO)
    return stale


def write_measured(output: Path, **values: float | None) -> None:
    """Hand what a stage measured (times in seconds, memory in bytes) over to the record of its job.

    Arguments:
        output: the stage's folder for outputs.
        values: what was measured; `seconds_before`, the time that killed runs of the job spent on what was resumed, is
            added to the job's time.
    """
    write_atomically(output / MEASURED, json.dumps(values) + "\n")


def read_measured(output: Path) -> dict[str, Any]:
    """Return what `write_measured` wrote, empty if the stage measured nothing."""
    path = output / MEASURED
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}


def damaged_outputs(folder: Path, record: Mapping[str, Any]) -> dict[str, str]:
    """Return what is wrong with a job's outputs, by name, from the digests in its record."""
    problems = {}
    for name, digest in record.get("outputs", {}).items():
        try:
            with (folder / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() != digest:
                    problems[name] = "is damaged: it is not what its job wrote"
        except FileNotFoundError:
            problems[name] = "is missing"
        except OSError as error:
            problems[name] = f"cannot be read ({error.strerror})"
    return problems


def upstream_digests(
    job: Job, jobs: Mapping[str, Job], results: Path, options: Sequence[str] = ()
) -> dict[str, dict[str, str]]:
    """Return the digests of what a job is about to read, by upstream folder, after comparing the files with them.

    Arguments:
        job: the job that reads.
        jobs: all jobs by folder.
        results: root of the results.
        options: what the command that remakes a damaged file needs beside the job's own arguments.

    Raises:
        EddymarkError: if an upstream job has not run with the present configuration and sources, or one of its
            files is damaged.
    """
    digests: dict[str, dict[str, str]] = {}
    for folder in job.upstream:
        record = read_record(results / folder)
        if record.get("signature") != jobs[folder].signature:
            state = "was made by another configuration or other sources" if record else "does not exist"
            raise EddymarkError(f"{results / folder} {state}, but {job.folder} needs it: run it first")
        for name, problem in damaged_outputs(results / folder, record).items():
            remake = shlex.join(["eddymark", *jobs[folder].arguments, *options])
            raise EddymarkError(f"{results / folder / name} {problem}, but {job.folder} needs it; remake it: {remake}")
        digests[folder] = record["outputs"]
    return digests


def publish(partial: Path, final: Path, names: Sequence[str], record: Mapping[str, Any]) -> None:
    """Move a job's outputs to their place and write its record last.

    Whoever finds a record finds exactly the outputs that it describes, whenever the process or the power fails:
    the old record goes first, and every output is on the disk before the new one is renamed into place.

    Arguments:
        partial: private folder with the complete outputs, on the same file system.
        final: the job's folder.
        names: files and folders to move.
        record: what to store beside the outputs' digests.

    Raises:
        EddymarkError: if an output is missing.
    """
    missing = [name for name in names if not (partial / name).exists()]
    if missing:
        raise EddymarkError(f"{final}: the job did not write {', '.join(missing)}")
    digests = {path.relative_to(partial).as_posix(): _digest(path) for path in _files(partial, names)}
    final.mkdir(parents=True, exist_ok=True)
    (final / RECORD).unlink(missing_ok=True)
    _synchronise(final)
    for name in names:
        target = final / name
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(partial / name, target)
    _synchronise(final)
    # Written in the private folder, so that a kill leaves no temporary file among the outputs.
    _write_durably(partial / RECORD, record_text({**record, "outputs": digests}))
    os.replace(partial / RECORD, final / RECORD)
    _synchronise(final)


def write_atomically(path: Path, text: str) -> None:
    """Write a text file under a temporary name, flush it to the disk and rename it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    _write_durably(temporary, text)
    os.replace(temporary, path)
    _synchronise(path.parent)


def _write_durably(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def provenance() -> dict[str, Any]:
    """Return versions, revision and machine, without anything that identifies the host or its user."""
    versions = {"python": platform.python_version(), "eddymark": _version("eddymark")}
    return {
        "versions": versions | {name: _version(name) for name in _LIBRARIES},
        "revision": _revision(),
        "machine": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
            "system": f"{platform.system()} {platform.machine()}",
        },
    }


def _files(folder: Path, names: Sequence[str]) -> Iterator[Path]:
    for name in names:
        path = folder / name
        yield from sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else (path,)


def _digest(path: Path) -> str:
    """Return the sha256 of a file and make sure that the file is on the disk."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    return digest


def _synchronise(folder: Path) -> None:
    """Make renames in a folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@cache
def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


@cache
def _revision() -> dict[str, Any] | None:
    """Return the git revision of the sources and whether they differ from it, None outside a repository."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(Path(__file__).parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        # An installed copy inside another project's tree must not report that project's revision.
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return {"commit": git("rev-parse", "HEAD"), "modified": bool(git("status", "--porcelain", "."))}
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
