"""One look for all figures: a colour, line style and marker per stepper, and byte-stable SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import matplotlib.figure
import seaborn as sns

DNS_COLOUR = "#000000"
# Okabe and Ito's palette without yellow (unreadable on white), filled up from Tol's muted one. Cold colours
# and broken lines are LES, warm colours and full lines are learned models: the kinds separate at a glance. There are
# seven colours and six dashes and markers, so that 42 steppers of a kind look different; the line of a learned model
# has its markers where another one has its colour already.
COLD = ("#0072B2", "#56B4E9", "#009E73", "#332288", "#44AA99", "#6699CC", "#117733")
WARM = ("#D55E00", "#E69F00", "#CC79A7", "#882255", "#999933", "#AA4466", "#661100")
GREYS = ("#777777", "#999999", "#555555", "#BBBBBB")
LES_DASHES: tuple[tuple[float, ...], ...] = (
    (5, 1.5),
    (3, 1.2),
    (6, 1.5, 1, 1.5),
    (1.6, 1),
    (8, 2),
    (4, 1, 1, 1, 1, 1),
)
LES_MARKERS = ("s", "v", "^", "<", ">", "p")
SURROGATE_MARKERS = ("o", "P", "d", "2", "^", "h")
HYBRID_MARKERS = ("D", "*", "X", "H", "3", "4")
CONTROL_MARKERS = ("x", "+", "1")


@dataclass(frozen=True)
class Style:
    """How one stepper is drawn everywhere."""

    colour: str
    dashes: tuple[float, ...]
    """Lengths of line and gap in line widths; empty for a full line."""
    marker: str
    width: float
    marked: bool = False
    """Whether its lines have markers, too."""

    @property
    def line(self) -> dict[str, Any]:
        """Keyword arguments of a line."""
        style: Any = (0, self.dashes) if self.dashes else "-"
        line = {"color": self.colour, "linestyle": style, "linewidth": self.width}
        return line | ({"marker": self.marker, "markersize": 4, "markevery": 0.12} if self.marked else {})

    @property
    def points_on_line(self) -> dict[str, Any]:
        """Keyword arguments of a line with a marker at each point."""
        return self.line | {"marker": self.marker, "markersize": 5 if self.marked else 3.5, "markevery": 1}

    @property
    def point(self) -> dict[str, Any]:
        """Keyword arguments of a marker without a line."""
        return {"color": self.colour, "marker": self.marker, "linestyle": "none", "markersize": 7}


class Styles:
    """The style of every stepper of an experiment; a name looks the same in every flow."""

    def __init__(self, steppers: Iterable[tuple[str, str]]) -> None:
        self._styles: dict[tuple[str, str], Style] = {}
        order: dict[str, int] = {"les": 0, "surrogate": 0, "hybrid": 0, "learned": 0, "control": 0}
        for name, kind in steppers:
            if (name, kind) not in self._styles:
                self._styles[name, kind] = _new_style(kind, order)

    def style_for(self, name: str, kind: str) -> Style:
        """Return the style of a stepper."""
        return self._styles[name, kind]


def _new_style(kind: str, order: dict[str, int]) -> Style:
    if kind == "floor":
        return Style(DNS_COLOUR, (), ".", 2.0)
    index = order[kind]
    order[kind] += 1
    if kind == "les":
        return Style(COLD[index % len(COLD)], LES_DASHES[index % 6], LES_MARKERS[index % 6], 1.5)
    if kind == "control":
        return Style(GREYS[index % 4], (1, 1.2), CONTROL_MARKERS[index % 3], 1.3)
    colour, marked = WARM[order["learned"] % len(WARM)], order["learned"] >= len(WARM)
    order["learned"] += 1
    if kind == "hybrid":
        return Style(colour, (), HYBRID_MARKERS[index % 6], 2.4, marked)
    return Style(colour, (), SURROGATE_MARKERS[index % 6], 1.4, marked)


@dataclass(frozen=True)
class Figure:
    """One figure of the page."""

    name: str
    title: str
    caption: str
    alternative: str
    """Text for those who do not see the figure."""
    svg: str


@contextmanager
def plotting() -> Iterator[None]:
    """Draw without a display, with fonts that come with matplotlib and identifiers that do not change."""
    settings = {
        **sns.axes_style("ticks"),
        "svg.hashsalt": "eddymark",
        "svg.fonttype": "path",
        "font.family": "DejaVu Sans",
        "font.size": 9,
        "axes.titlesize": 9.5,
        "axes.labelsize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.linewidth": 0.7,
        "xtick.labelsize": 8,
        "ytick.labelsize": 8,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "legend.fontsize": 8,
        "legend.frameon": False,
        "path.simplify": True,
        "path.simplify_threshold": 0.5,
        "image.composite_image": False,
    }
    with mpl.rc_context(settings):
        yield


def to_svg(figure: matplotlib.figure.Figure, *, name: str) -> str:
    """Return a figure as SVG, the same bytes every time, with all identifiers prefixed by `name`."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = text.replace("url(#", f"url(#{name}-").replace('href="#', f'href="#{name}-')
    # Equal pictures get equal identifiers, and nothing refers to them.
    text = re.sub(r'(<image [^>]*?) id="[^"]*"', r"\1", text)
    return re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
