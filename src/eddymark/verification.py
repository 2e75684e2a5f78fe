"""Reads every artifact of an experiment again and says which are damaged."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from eddymark.contents import check_content
from eddymark.plan import Job
from eddymark.records import NOT_RUN, RECORD, damaged_outputs, read_record, stale_reasons
from eddymark.work import is_running, work_folder

_SNAKEMAKES_OWN = ".snakemake_timestamp"
"""A file that Snakemake puts into outputs which are folders."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Arguments:
        path: the damaged file, or the folder of a job without a record.
        problem: what is wrong, in words that follow the path.
        remedy: the command that puts it right, or what to do.
        discard: whether the job's record describes something that is not there.
    """

    path: Path
    problem: str
    remedy: str
    discard: bool = False

    def __str__(self) -> str:
        return f"{self.path} {self.problem}; {self.remedy}"


@dataclass(frozen=True)
class Verified:
    """What became of one job.

    Arguments:
        folder: the job's folder.
        findings: what is wrong with it.
        follows: whether an upstream job that is verified, too, has to run first; only then it may not be up to date
            without a finding of its own.
        files, size: number of files that were read, and their bytes.
    """

    folder: str
    findings: tuple[Finding, ...]
    follows: bool
    files: int = 0
    size: int = 0


def verify(
    jobs: Mapping[str, Job], results: Path, chosen: Collection[str], options: Sequence[str] = ()
) -> Iterator[Verified]:
    """Verify jobs one after the other, upstream jobs first.

    A job's record has to be there and intact, with the signature of the configuration and the sources, and upstream
    jobs must not have made anything else since. Every output has to have the recorded sha256, to be readable, and to
    hold finite numbers (`contents.check_content`). Nothing else may be in the folder.

    Arguments:
        jobs: all jobs by folder, upstream jobs first.
        results: root of the results.
        chosen: folders of the jobs to verify.
        options: what a command needs, beside a job's own arguments, to find the experiment and the results.
    """
    reasons = stale_reasons(jobs, results)
    for folder, job in jobs.items():
        if folder not in chosen:
            continue
        place = results / folder
        if is_running(work_folder(job, results)):
            yield Verified(folder, (Finding(place, "is running", "verify it when it has ended"),), False)
            continue
        follows = any(up in reasons and up in chosen for up in job.upstream)
        command = shlex.join(["eddymark", *job.arguments, *options])
        findings = list(_findings(job, place, None if follows else reasons.get(folder), command))
        names = read_record(place).get("outputs", {})
        sizes = [(place / name).stat().st_size for name in names if (place / name).is_file()]
        yield Verified(folder, tuple(findings), follows, len(sizes), sum(sizes))


def _findings(job: Job, place: Path, reason: str | None, command: str) -> Iterator[Finding]:
    """Find what is wrong with one job.

    Arguments:
        job, place: the job and its folder.
        reason: why it has to run again, unless only because others have to.
        command: the command that runs it.
    """
    record = read_record(place)
    if not record:
        if reason == NOT_RUN:
            yield Finding(place, reason, f"make it: {command}")
        elif reason is not None:
            yield Finding(place / RECORD, "is damaged", f"remake it: {command}", discard=True)
        return
    if record["signature"] != job.signature:
        if reason is not None:
            yield Finding(place / RECORD, f"is out of date: {reason}", f"remake it: {command}")
        return
    damaged = damaged_outputs(place, record)
    if not damaged and reason is not None:
        yield Finding(place / RECORD, f"is out of date: {reason}", f"remake it: {command}")
    elif not damaged:
        contents = {name: check_content(place, name) for name in record["outputs"]}
        damaged = {name: problem for name, problem in contents.items() if problem is not None}
    for name, problem in damaged.items():
        yield Finding(place / name, problem, f"remake it: {command}", discard=True)
    yield from _additional(place, record["outputs"])


def _additional(place: Path, outputs: Collection[str]) -> list[Finding]:
    """Return what lies in a job's folder and was not written by the job."""
    expected = {place / RECORD, *(place / name for name in outputs)}
    expected |= {parent for path in expected for parent in path.parents}
    others = sorted(path for path in set(place.rglob("*")) - expected if path.name != _SNAKEMAKES_OWN)
    return [
        Finding(path, "was not written by its job", "remove it: " + shlex.join(["rm", "-r", str(path)]))
        for path in others
        if path.parent in expected
    ]


def show(
    jobs: Mapping[str, Job], results: Path, chosen: Collection[str], options: Sequence[str], *, discard: bool
) -> bool:
    """Print a line for everything that is wrong and a summary; return whether nothing is.

    Arguments:
        jobs, results, chosen, options: see `verify`.
        discard: whether to remove the records of jobs which describe something that is not there, so that the
            workflow runs these jobs again.
    """
    verified = []
    for one in verify(jobs, results, chosen, options):
        verified.append(one)
        for finding in one.findings:
            print(finding, flush=True)
        if discard and any(finding.discard for finding in one.findings):
            (results / one.folder / RECORD).unlink(missing_ok=True)
            print(f"{results / one.folder / RECORD} removed: the workflow runs {one.folder} again", flush=True)
    intact = [one for one in verified if not one.findings and not one.follows]
    size = sum(one.size for one in verified) / 1e6
    print(
        f"{len(intact)} of {len(verified)} jobs intact; read {sum(one.files for one in verified)} files, {size:.1f} MB"
    )
    follow = sum(one.follows and not one.findings for one in verified)
    if follow:
        print(f"{follow} jobs have to run again after those above")
    return len(intact) == len(verified)
