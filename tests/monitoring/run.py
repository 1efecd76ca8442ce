"""Are alerts, metrics and dashboard what Prometheus' own tools want? ``python -m tests.monitoring.run``

Runs promtool over the alert rules (form, then the tests of tests/monitoring/alerts/) and over the metrics page, then every panel's
query in a real Prometheus that scrapes a made-up page, and a guarded page. Needs Debian's package prometheus. Fails with what the
tool said.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.monitoring import guarded, panels, rules
from tests.monitoring.prometheus import PrometheusError, tool

HERE = Path(__file__).parent
GOLDEN_PAGE = rules.ROOT / "tests" / "unit" / "metrics" / "metrics.golden.txt"


def promtool(*arguments: str, page: bytes = b"") -> tuple[bool, str]:
    """Whether it is content, and what it said."""
    done = subprocess.run(
        [tool("promtool"), *arguments],
        input=page,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=60,
    )
    return done.returncode == 0, done.stdout.decode(errors="replace").strip()


def _panels(cluster: str | None) -> tuple[bool, str]:
    answers = panels.check_made_up(cluster)
    return not any(answer.bad for answer in answers), panels.report(answers)


def results() -> list[tuple[str, bool, str]]:
    """Each check: what it is, whether it passed, what the tool said."""
    with tempfile.TemporaryDirectory(prefix="oomward-alerts-") as folder:
        full = rules.write(Path(folder))
        tests = sorted(
            Path(shutil.copy(test, folder)) for test in (HERE / "alerts").glob("*.test.yaml")
        )  # promtool looks for rule files beside the test
        done = [("the form of the alert rules", *promtool("check", "rules", "--lint-fatal", str(full)))]
        done += [(f"alerts: {test.name}", *promtool("test", "rules", str(test))) for test in tests]
    done.append(("the metrics page", *promtool("check", "metrics", page=GOLDEN_PAGE.read_bytes())))
    done.append(("the dashboard's panels", *_panels(None)))
    done.append(("the dashboard's panels, of one cluster of several", *_panels("a")))
    done.append(("a page behind TLS, certificate and password", *guarded.check()))
    return done


def main() -> int:
    """Print a line a check, with the tool's words for those that failed; returns 1 if any did."""
    try:
        done = results()
    except PrometheusError as error:
        print(error, file=sys.stderr)
        return 1
    for name, passed, said in done:
        print(f"{'passed' if passed else 'FAILED'}  {name}")
        if not passed:
            print("    " + said.replace("\n", "\n    "))
    failed = sum(not passed for _, passed, _ in done)
    print(f"{len(done) - failed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
