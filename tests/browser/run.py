"""Is the report page as it should be in a real browser? ``python -m tests.browser.run``

Opens the pages of example.py on a phone, a wide screen and paper, light and dark. Needs Debian's chromium and chromium-driver, or Google's.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from agent.report.page import page
from tests.browser import example
from tests.browser.checks import ALL, SCREENS, sentence, wrong
from tests.browser.driver import Browser, BrowserError, browser

PAGES = {"a cluster": example.cluster, "no kill": example.empty, "hostile names": example.hostile}


def results(opened: Browser, folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Each page on each screen, and what is wrong there; first, whether faults are found at all."""
    path = folder / "page.html"
    path.write_text(example.BROKEN, encoding="utf-8")
    missed = sorted(ALL - wrong(opened, path, SCREENS[0]).keys())
    yield "a page with every fault", [f"not noticed: {what}" for what in missed]
    for name, made in PAGES.items():
        path.write_text(page(made()), encoding="utf-8")
        for screen in SCREENS:
            yield f"{name}, {screen}", [sentence(*one) for one in wrong(opened, path, screen).items()]


def main() -> int:
    """Print a line per page and screen, and what is wrong there; returns 1 if anything is."""
    bad = 0
    try:
        with tempfile.TemporaryDirectory(prefix="oomward-pages-") as folder, browser() as opened:
            for name, found in results(opened, Path(folder)):
                bad += bool(found)
                print("\n    ".join((f"{'FAILED' if found else 'passed'}  {name}", *found)))
    except BrowserError as error:
        print(error, file=sys.stderr)
        return 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
