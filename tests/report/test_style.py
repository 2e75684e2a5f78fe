from __future__ import annotations

from matplotlib.figure import Figure

from eddymark.report.style import Styles, plotting, to_svg


def steppers() -> list[tuple[str, str]]:
    les = [(f"les{i}", "les") for i in range(5)]
    learned = [("a", "surrogate"), ("b", "hybrid"), ("c", "surrogate"), ("d", "surrogate"), ("e", "hybrid")]
    return [("dns", "floor"), *les, *learned, ("matched_noise", "control"), ("persistence", "control")]


def test_no_two_steppers_look_alike() -> None:
    styles = Styles(steppers())
    looks = [styles.style_for(*pair) for pair in steppers()]
    assert len({style.colour for style in looks}) == len(looks)
    assert len({style.marker for style in looks}) == len(looks)
    assert styles.style_for("dns", "floor").colour == "#000000"


def test_many_steppers_of_a_kind_still_look_different() -> None:
    for kind in ("les", "surrogate", "hybrid"):
        pairs = [(f"{kind}{number}", kind) for number in range(30)]
        styles = Styles(pairs)
        assert len({styles.style_for(*pair) for pair in pairs}) == 30
        assert len({str(styles.style_for(*pair).line) for pair in pairs}) == 30


def test_kinds_differ_without_colour() -> None:
    styles = Styles(steppers())
    for name, kind in steppers():
        style = styles.style_for(name, kind)
        assert bool(style.dashes) == (kind in ("les", "control"))
    widths = {kind: styles.style_for(name, kind).width for name, kind in steppers()}
    assert widths["hybrid"] > widths["surrogate"]


def test_a_name_looks_the_same_in_every_flow() -> None:
    twice = Styles([*steppers(), ("new", "les"), *steppers()])
    once = Styles(steppers())
    for pair in steppers():
        assert twice.style_for(*pair) == once.style_for(*pair)


def test_two_drawings_of_the_same_figure_have_equal_bytes_and_own_identifiers() -> None:
    def draw(name: str) -> str:
        with plotting():
            figure = Figure(layout="constrained")
            axes = figure.subplots()
            axes.plot([1, 2, 3], label="line")
            axes.legend()
            return to_svg(figure, name=name)

    assert draw("first") == draw("first")
    assert 'id="first-axes_1"' in draw("first")
    assert draw("second").replace("second-", "first-") == draw("first")
