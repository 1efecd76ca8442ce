"""``python -m tests.browser.pictures``: pictures of the report page for the docs, of the usual made-up cluster."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from agent.report.page import page
from tests.browser import example
from tests.browser.driver import BrowserError, Screen, browser
from tests.lab.boot import REPO

PICTURES = REPO / "docs" / "pictures"
SCREENS = {
    "report-wide": Screen("wide", 1280, 1180),
    "report-phone": Screen("phone", 390, 844, scale=1.5),
    "report-phone-dark": Screen("phone", 390, 844, "dark", scale=1.5),
}


def main() -> int:
    """Exit status 1 if there is no browser."""
    try:
        with tempfile.TemporaryDirectory(prefix="oomward-pages-") as folder, browser() as opened:
            path = Path(folder) / "page.html"
            path.write_text(page(example.cluster()), encoding="utf-8")
            for name, screen in SCREENS.items():
                opened.open(path, screen)
                (PICTURES / f"{name}.png").write_bytes(opened.picture())
    except BrowserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
