"""What a command shows, before it is printed. Importing this costs a command nothing.

All of it is JSON, so that it is the same whether a command made it or the agent (serve/). Text from the kernel or a pod has gone
through ``safe()``.
"""

from __future__ import annotations

TYPE_CHECKING = False
Cell = list[list[str]]  # pieces of text, each with its style as rich names it ("": none)

if TYPE_CHECKING:
    from typing import Any

    View = dict[str, Any]  # {"columns": …, "rows": …, "nothing": …} or {"sections": [[title, [[name, cell], …]], …]}


class Shown:
    """One command's output: ``document`` for ``--output json``, ``view`` for people, ``troubles`` for standard error.

    One of the first two is None in an answer of the agent, which makes only what is asked for.
    """

    __slots__ = ("document", "troubles", "view")

    def __init__(self, document: dict[str, Any] | None, view: View | None, troubles: list[str]) -> None:
        self.document = document
        self.view = view
        self.troubles = troubles
