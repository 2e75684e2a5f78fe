"""The committed page shows figures that exist and names every trap."""

from __future__ import annotations

import re

from verification.figures import FOLDER
from verification.page import PAGE
from verification.traps import TRAPS


def test_the_page_has_its_figures_and_the_table_of_traps_as_it_is_now() -> None:
    text = PAGE.read_text(encoding="utf-8")
    pictures = re.findall(r"\]\(images/(verification-[a-z-]+\.svg)\)", text)
    assert sorted(pictures) == sorted(path.name for path in FOLDER.glob("verification-*.svg"))
    assert pictures
    for trap, mistake, tests in TRAPS:
        assert f"| {trap} | {mistake} | " in text
        for test in tests:
            assert f"`{test.removeprefix('tests/')}`" in text
