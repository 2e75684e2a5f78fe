"""Ends of a run with one line each: before Snakemake reads the configuration, and after a job failed."""

from eddymark.config import ConfigurationError
from eddymark.config.documents import read_document
from eddymark.errors import EddymarkError
from eddymark.failures import explain, free_space, killed_hint, require_writable

DEFAULT = Path("config", "config.yaml")


def stop(error):
    """Exit with what is wrong, one line each."""
    wrong = isinstance(error, ConfigurationError)
    for line in error.findings if wrong else [f"eddymark: {error}"]:
        print(line, file=sys.stderr)
    sys.stderr.flush()
    raise SystemExit(2 if wrong else 1)


# Snakemake does not say where the mistake is, and would run the code of a template (__use_yte__).
if workflow.is_main_process and (
    DEFAULT.exists() or not workflow.overwrite_configfiles
):
    try:
        read_document(DEFAULT)
    except ConfigurationError as error:
        stop(error)


def hint_at_the_cause(log):
    """Say what a failed job cannot say itself: it was killed, or its log had no room."""
    if free_space(Path(RESULTS)) < 2**20:
        print(
            f"eddymark: {explain(OSError(ENOSPC, ''), Path(RESULTS))}", file=sys.stderr
        )
    logs = [Path(name) for name in ([log] if isinstance(log, str) else log or [])]
    text = "".join(path.read_text(errors="replace") for path in logs if path.is_file())
    if hint := killed_hint(text):
        print(f"eddymark: {hint}", file=sys.stderr)
