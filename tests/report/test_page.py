"""The page as a reader and a browser meet it."""

from __future__ import annotations

import html
import json
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest
import yaml

from eddymark.config import load_experiment
from eddymark.errors import EddymarkError
from eddymark.report.page import configuration
from eddymark.report.standings import Estimate
from eddymark.report.text import interval
from eddymark.stages import report
from tests.report.conftest import Tree
from tests.report.fakes import STEPPERS
from tests.small_experiment import write_experiment

LOADING = ("src", "srcset", "href", "xlink:href")
VOID = {"meta", "link", "img", "input", "br", "wbr", "hr"}


class Outline(HTMLParser):
    """Collects what a page loads and says, and checks that elements are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.errors: list[str] = []
        self.loaded: list[str] = []
        self.ids: list[str] = []
        self.images_without_text = 0
        self.headings: list[str] = []
        self.rows: list[list[str]] = []
        self.classes: list[list[str]] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag not in VOID:
            self.open.append(tag)
        self.loaded += [values[name] or "" for name in ("src", "href", "xlink:href", "srcset") if name in values]
        if values.get("id"):
            self.ids.append(str(values["id"]))
        if tag == "img" and not values.get("alt"):
            self.images_without_text += 1
        if tag == "svg" and not values.get("aria-label"):
            self.images_without_text += 1
        if tag == "tr":
            self.rows.append([])
            self.classes.append([])
        if tag in ("td", "th") and self.rows:
            self.rows[-1].append("")
            self.classes[-1].append(values.get("class") or "")
            if tag == "th" and values.get("scope") not in ("row", "col"):
                self.errors.append("a table heading without scope")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.errors.append(f"</{tag}> does not close the open element")

    def handle_data(self, data: str) -> None:
        if "style" in self.open or "script" in self.open:
            return
        self.words.append(data)
        if self.rows and ("td" in self.open or "th" in self.open):
            self.rows[-1][-1] += data
        if self.open and self.open[-1] in ("h2", "h3"):
            self.headings.append(data.strip())

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).split())


@pytest.fixture(scope="module")
def folder(tree: Tree, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("report")
    report.run(tree.experiment, results=tree.results, output=output, work=output)
    return output


@pytest.fixture(scope="module")
def outline(folder: Path) -> Outline:
    parser = Outline()
    parser.feed((folder / "index.html").read_text(encoding="utf-8"))
    parser.close()
    return parser


def test_the_page_is_well_formed_and_described(outline: Outline) -> None:
    assert outline.errors == []
    assert outline.open == []
    assert outline.images_without_text == 0
    assert len(outline.ids) == len(set(outline.ids))


def test_the_page_loads_nothing_from_elsewhere(outline: Outline, folder: Path) -> None:
    inside = set(outline.ids)
    for address in outline.loaded:
        if address.startswith("#"):
            assert address[1:] in inside, address
        else:
            assert address.startswith("data:image/"), address[:80]
    style = (folder / "index.html").read_text(encoding="utf-8")
    assert "@import" not in style
    assert "url(http" not in style


def test_the_page_is_light(folder: Path) -> None:
    assert 1e5 < (folder / "index.html").stat().st_size < 15e6


def test_the_verdicts_follow_from_the_scores(outline: Outline) -> None:
    assert (
        "A learned model wins: the hybrid cnn_hybrid has a spectrum error of 0.030 [0.028, "
        "0.032] decades, 1.5 × the sampling floor, below that of the best LES, fitted_viscosity (0.062 "
        "[0.058, 0.066], 3.1 × the sampling floor), outside the 95 % intervals; 4 of 4 rollouts of "
        "cnn_hybrid survived" in outline.text
    )
    assert "at the lower cost of the best LES (0.0110 s) no learned model is affordable" in outline.text
    assert (
        "Not ranked, because rollouts failed: smagorinsky (2 of 4 "
        "survived, median failure at 2.50 turnover times, spectrum error of those that did not blow up 0.39 "
        "[0.37, 0.42] decades) and fno_one_step (0 of 4 survived, median failure at 3.50 turnover times)"
        in outline.text
    )
    assert "at equal cost among LES on the same grid (up to 1.1 × its 0.0150 s per turnover time)" in outline.text
    assert (
        "one trajectory at a time: 2667 × for the hybrid cnn_hybrid and 3636 × for the LES fitted_viscosity "
        "(DNS: 80.0 s per turnover time)" in outline.text
    )
    assert "There is headroom: no rollout of the no-model LES survived" in outline.text


def test_the_comparison_shows_the_scores_of_every_stepper(outline: Outline, tree: Tree) -> None:
    for flow, fakes in zip(tree.experiment.flows, (STEPPERS[2], STEPPERS[3]), strict=True):
        for fake in fakes:
            stem = fake.name if fake.seed is None else f"{fake.name}-seed{fake.seed}"
            scores = pd.read_csv(tree.results / flow / "validate" / stem / "scores.csv").set_index("statistic")
            values = scores.loc["spectrum_error", ["value", "low", "high", "floor"]].astype(float)
            shown = interval(Estimate(*values))
            label = "DNS" if fake.kind == "floor" else fake.name
            rows = [row for row in outline.rows if row and row[0].split() and row[0].split()[0] == label]
            assert any(shown in row[1] for row in rows), (flow, fake.name, shown, rows)


def test_scores_of_models_with_failures_carry_their_mark_in_table_and_figures(outline: Outline, folder: Path) -> None:
    compared = [row for row in outline.rows if len(row) == 16]
    assert [row[0].split()[0] for row in compared if "†" in row[1]] == ["smagorinsky"]
    failed = {fake.name for fakes in STEPPERS.values() for fake in fakes if fake.failures}
    assert {row[0].split()[0] for row in compared if "†" in row[11]} == failed
    assert outline.text.count("† Rollouts failed, so it is not ranked: averages leave out those that blew up") == 2
    for figure in ("spectra", "cost", "error-growth", "densities"):
        drawing = (folder / "figures" / f"kolmogorov-{figure}.svg").read_text(encoding="utf-8")
        assert "<!-- smagorinsky (LES) † -->" in drawing, figure
        assert "<!-- cnn_hybrid (hybrid) -->" in drawing, figure


def test_the_chance_level_is_a_line_in_the_error_growth(folder: Path) -> None:
    drawing = (folder / "figures" / "kolmogorov-error-growth.svg").read_text(encoding="utf-8")
    assert "<!-- chance: unrelated DNS states -->" in drawing


def test_the_threshold_of_correlation_and_the_unit_of_time_are_stated(outline: Outline) -> None:
    """A decorrelation time says nothing without the correlation that counts as lost and the unit."""
    assert "Where the correlation falls below 0.80 (dashed; markers) the forecast counts as lost" in outline.text
    caption = outline.text.partition("the forecast counts as lost")[2]
    assert "turnover times" in caption[:400]


def test_the_share_of_shells_that_a_constraint_rescales_is_stated(outline: Outline) -> None:
    stated = "rescales the energy of some of the resolved shells on every step: 40.0 % of them in constrained_noise."
    assert outline.text.count(stated) == 2


def test_intervals_of_a_single_training_are_said_to_leave_out_other_ones(outline: Outline) -> None:
    assert outline.text.count("Models trained with a single seed: over initial states alone") == 2


def test_steppers_whose_solver_is_left_to_torch_are_named(outline: Outline) -> None:
    assert outline.text.count("There are no compiled solver steps for smagorinsky: torch code takes them") == 2


def test_the_printed_configuration_is_that_of_the_experiment(folder: Path, tree: Tree) -> None:
    page = (folder / "index.html").read_text(encoding="utf-8")
    printed = html.unescape(page.partition('<pre tabindex="0"><code>')[2].partition("</code>")[0])
    assert printed == configuration(tree.experiment)


def test_the_printed_configuration_reloads_where_names_and_models_differ_from_the_files(tmp_path: Path) -> None:
    first = write_experiment(tmp_path)
    changes = {
        "flows": {
            "kolmogorov": {"surrogates": {"fno": None, "fno_small": {"base": "fno", "history": 2}}},
            "thin": {"base": "kolmogorov", "viscosity": 0.01, "large_eddy_simulations": {"smagorinsky": None}},
        }
    }
    second = tmp_path / "variant.yaml"
    second.write_text(yaml.safe_dump(changes), encoding="utf-8")
    experiment = load_experiment([first, second])
    assert list(experiment.flows) == ["kolmogorov", "thin"]
    assert "fno" not in experiment.flows["kolmogorov"].surrogates
    assert "fno_small" in experiment.flows["kolmogorov"].surrogates
    first.write_text(configuration(experiment), encoding="utf-8")
    assert load_experiment([first]) == experiment


def test_only_a_separated_best_is_marked(outline: Outline) -> None:
    marked = [
        (row[0].split()[0], index)
        for row, classes in zip(outline.rows, outline.classes, strict=True)
        for index, name in enumerate(classes)
        if name == "best"
    ]
    spectrum, decorrelation = 1, 4
    assert marked.count(("cnn_hybrid", spectrum)) == 2
    assert not [stepper for stepper, index in marked if index == decorrelation]


def test_under_resolved_data_are_warned_about_where_they_are(outline: Outline) -> None:
    assert outline.text.count("The DNS is under-resolved: k_max·η = 0.800 < 1") == 1
    assert [row for row in outline.rows if row[:1] == ["k_max·η"]] == [["k_max·η", "0.800"], ["k_max·η", "1.20"]]


def test_every_failure_is_listed_with_its_cause(outline: Outline, folder: Path) -> None:
    failed = [row for row in outline.rows if len(row) == 6 and row[5].startswith("enstrophy above")]
    expected = sum(fake.failures for fakes in STEPPERS.values() for fake in fakes)
    assert len(failed) == expected
    table = pd.read_csv(folder / "tables" / "kolmogorov-failures.csv")
    chosen = table[table["stepper"] == "smagorinsky"]
    assert chosen["time"].tolist() == [2.0, 3.0]
    assert set(chosen["cause"]) == {"enstrophy above 2.5 times the DNS mean"}


def test_the_provenance_is_complete(outline: Outline, folder: Path) -> None:
    assert "name: synthetic" in outline.text
    assert "rollout_length: 10.0" in outline.text
    assert "Example CPU" in outline.text
    assert '"commit": "0123abc"' in outline.text
    jobs = pd.read_csv(folder / "tables" / "jobs.csv").set_index("job")
    assert jobs.loc["kolmogorov/train/fno/seed0", "signature"] == "ab" * 32
    stages = pd.read_csv(folder / "tables" / "stages.csv").set_index("stage")
    assert stages.loc["generate", "seconds"] == 240.0
    assert stages.index.tolist() == ["generate", "train", "validate"]


def test_all_figures_are_there_for_each_flow(outline: Outline, folder: Path, tree: Tree) -> None:
    names = {path.name for path in (folder / "figures").iterdir()}
    for flow in tree.experiment.flows:
        for figure in (
            "spectra",
            "cost",
            "error-growth",
            "kinetic-energy",
            "enstrophy",
            "densities",
            "energy-balance",
            "structure-functions",
            "increments",
            "gradients",
            "correlations",
            "survival",
            "snapshots",
            "training",
            "energy-budget",
        ):
            assert f"{flow}-{figure}.svg" in names
            assert f"{flow}-{figure}" in outline.ids


def test_the_headline_scores_are_those_of_validation(folder: Path, tree: Tree) -> None:
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert list(metrics) == list(tree.experiment.flows)
    for flow in metrics:
        scores = pd.read_csv(tree.results / flow / "validate" / "dynamic_smagorinsky" / "scores.csv").set_index(
            "statistic"
        )
        assert metrics[flow]["dynamic_smagorinsky"]["spectrum_error"] == scores.loc["spectrum_error", "value"]
        table = pd.read_csv(folder / "tables" / f"{flow}-headline.csv").set_index("stepper")
        assert table["spectrum_error"].dropna().to_dict() == {
            name: found["spectrum_error"] for name, found in metrics[flow].items() if "spectrum_error" in found
        }


def test_equal_results_make_equal_bytes_whatever_other_flows_there_are(
    folder: Path, tree: Tree, tmp_path: Path
) -> None:
    flow = "kolmogorov"
    alone = tree.experiment.model_copy(update={"flows": {flow: tree.experiment.flows[flow]}})
    report.run(alone, results=tree.results, output=tmp_path, work=tmp_path)
    made = [path.relative_to(tmp_path) for path in tmp_path.rglob(f"{flow}-*")]
    assert len(made) == 22
    assert [name for name in made if (folder / name).read_bytes() != (tmp_path / name).read_bytes()] == []
    sections = [
        (place / "index.html")
        .read_text(encoding="utf-8")
        .partition(f'<section id="{flow}"')[2]
        .partition("</section>")[0]
        for place in (folder, tmp_path)
    ]
    assert len(sections[0]) > 100_000
    assert sections[0] == sections[1]


def test_a_missing_artifact_is_an_error(tree: Tree, tmp_path: Path) -> None:
    results = tmp_path / "results"
    shutil.copytree(tree.results, results)
    (results / "kolmogorov" / "validate" / "fno-seed0" / "scores.csv").unlink()
    with pytest.raises(EddymarkError, match=r"fno-seed0/scores\.csv"):
        report.run(tree.experiment, results=results, output=tmp_path / "report", work=tmp_path)
