"""Writes docs/questions.md: `python -m tests.unit.diagnose.write_questions`.

Each file in docs/questions is a pod, after two comments: a question and its link.
"""

from __future__ import annotations

from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

from agent.cli import main
from agent.commands import EXIT_OK

DOCS = Path(__file__).parents[3] / "docs"
PAGE, FOLDER = DOCS / "questions.md", DOCS / "questions"
HEAD = """# Questions that people ask about failed pods

Each question is from a public issue, with the part of the pod's status that matters and other names, and what oomward says
about it. You can ask it about your own pods, without installing anything in the cluster:

```
kubectl get pods -A -o json | oomward diagnose -f -
```

On a node where the agent runs, `oomward diagnose` also knows the OOM kills, the peaks and the limits in force. The
[decision table](reference/diagnosis.md) has all rules, how certain each one is, and where Kubernetes reports what it is about.
If an answer is wrong, please open an issue with the status.

<!-- from here on made from docs/questions/*.yaml by `python -m tests.unit.diagnose.write_questions` -->
"""


def page() -> str:
    """All questions, by the names of their files."""
    return "\n".join([HEAD, *(_section(path) for path in files())])


def files() -> list[Path]:
    return sorted(FOLDER.glob("*.yaml"))


def answer(path: Path) -> str:
    """What the command prints."""
    printed = StringIO()
    with redirect_stdout(printed):
        code = main(["diagnose", "-f", str(path)])
    if code != EXIT_OK:
        raise ValueError(f"diagnose -f {path.name} ended with {code}")
    return printed.getvalue()


def _section(path: Path) -> str:
    question, link, *pod = path.read_text(encoding="utf-8").splitlines()
    command = f"$ oomward diagnose -f docs/questions/{path.name}\n"
    parts = [
        f"## {_comment(question)}",
        f"[Asked here]({_comment(link)}).",
        _block("yaml", _short(pod)),
        _block("", command + answer(path)),
    ]
    return "\n\n".join(parts) + "\n"


def _comment(line: str) -> str:
    if not line.startswith("# "):
        raise ValueError(f"a question's file begins with two comments, not with {line!r}")
    return line.removeprefix("# ")


def _short(pod: list[str]) -> str:
    """The status."""
    return "\n".join(pod[pod.index("status:") :])


def _block(language: str, text: str) -> str:
    return f"```{language}\n{text.rstrip()}\n```"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
