"""The page of a flow that is not statistically steady says nothing that holds for steady flows only."""

from __future__ import annotations

import re
from typing import Any

import pytest

from eddymark.report.collect import FlowResults, collect
from eddymark.report.page import Report, build
from eddymark.report.quality import quality
from tests.report.fakes import TEST_LENGTH, flow_mapping
from tests.report.synthetic import write_tree

CLOCK = "initial turnover time"


def decaying() -> dict[str, Any]:
    mapping = flow_mapping(2)
    sampling = {"shards": 2, "spin_up": 0.6, "interval": mapping["sampling"]["interval"]}
    sampling["splits"] = {name: {"runs": 4, "length": TEST_LENGTH} for name in ("train", "validation", "test")}
    changes = {"rollout_length": TEST_LENGTH, "statistics_start": 1, "windows": 3}
    return mapping | {
        "type": "mcwilliams",
        "initial_state": {"spectrum": "mcwilliams", "energy": 1, "peak_wavenumber": 4},
        "sampling": sampling,
        "validation": mapping["validation"] | changes,
    }


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("transient") / "results"
    return collect(write_tree(folder, {"decay": decaying()}), results=folder)


@pytest.fixture(scope="module")
def report(results: Any) -> Report:
    return build(results)


def words(html: str) -> str:
    """Return the visible text of a page."""
    return " ".join(re.sub(r"<(style|script)\b.*?</\1>|<[^>]+>", " ", html, flags=re.S).split())


def test_the_page_states_how_a_transient_flow_is_compared(report: Report) -> None:
    text = words(report.html)
    assert "This flow is transient: it evolves from its initial state and never becomes statistically steady." in text
    assert f"Every rollout starts 0.600 {CLOCK}s after the beginning of a DNS run and is compared with the DNS" in text
    assert f"scores are means over 3 equal windows from 1.00 to 6.00 {CLOCK}s after the start" in text
    assert "disjoint sets of DNS trajectories at the same times" in text
    assert "black: mean over the DNS test runs, grey: their range at the same time" in text
    assert "leaves the stated multiples of the DNS mean at the same time" in text
    assert "averaged over the first, middle and last of 3 windows" in text
    assert "in each of which values are divided by the rms of DNS at that time" in text
    assert "relative to the mean loss of kinetic energy" in text


def test_no_claim_of_steadiness_and_no_other_clock(report: Report) -> None:
    text = words(report.html)
    assert "Statistically steady:" not in text
    assert "time-averaged" not in text
    # Every time has the flow's own unit.
    assert "turnover time" not in text.lower().replace(CLOCK, "")
    assert text.count(CLOCK) > 15
    assert f"s / {CLOCK}" in text
    assert "turnover times" not in re.search(r"<script.*?</script>", report.html, re.S)[0]
    assert f'data-clock="{CLOCK}s"' in report.html


def test_the_spectra_are_drawn_in_the_first_middle_and_last_window(report: Report) -> None:
    drawing = report.figures["decay-spectra.svg"]
    titles = re.findall(r"energy spectrum, t = ([0-9.]+) to ([0-9.]+)", drawing)
    assert titles == [("0.200", "2.00"), ("2.20", "4.00"), ("4.20", "6.00")]
    assert drawing.count("ratio to DNS at the same time") >= 3


def test_vorticity_is_drawn_at_times_spread_over_the_whole_evolution(report: Report) -> None:
    assert re.findall(r"t = ([0-9.]+)", report.figures["decay-snapshots.svg"]) == ["0", "1.6", "3", "4.4", "6"]
    assert "Rows after the decorrelation time cannot agree point by point" in words(report.html)


def test_energy_is_drawn_over_time_beside_the_dns(report: Report) -> None:
    drawing = report.figures["decay-kinetic-energy.svg"]
    assert "/ initial DNS mean" in drawing
    assert f"time ({CLOCK}s)" in drawing


def changed(flow: FlowResults, **attributes: Any) -> FlowResults:
    from dataclasses import replace

    shards = tuple({**one, **attributes} for one in flow.data.attributes)
    return replace(flow, data=replace(flow.data, attributes=shards))


def test_data_of_a_transient_flow_are_described_by_their_start_and_end(results: Any) -> None:
    (flow,) = results.flows
    flow = changed(flow, resolution=1.1, energy=1.0, final_energy=0.2, final_taylor_reynolds_number=30.0)
    described = quality(flow)
    facts = dict(described.facts)
    assert facts["Kinetic energy, start / end"] == "1.00 / 0.200"
    assert facts["Re_λ, start / end"] == "120 / 30.0"
    assert facts["k_max·η, lowest"] == "1.10"
    assert facts["Energy budget: |mean residual| / mean loss of kinetic energy"] == "0.30 %"
    assert facts["Initial turnover time, measured / nominal"] == "0.810 / 0.800 flow time units"
    assert facts["Independent runs"] == f"12, spin-up 0.6 {CLOCK}s"
    assert described.warnings == ()
    warned = quality(changed(flow, resolution=0.7, turnover_time=1.0)).warnings
    assert ["under-resolved" in warned[0], f"measured {CLOCK}, 1.00, differs" in warned[1]] == [True, True]
