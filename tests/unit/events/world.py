"""An outbox with a real ledger and a real sender against the API's stand-in; only time is set by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from agent.events.outbox import Outbox
from agent.events.schedule import Schedule
from agent.events.sender import EventSender
from agent.kube.api import Api
from agent.ledger import Ledger
from agent.metrics.metrics import Metrics
from agent.model import EventDelivered, EventFailed, Notice, ObjectRef, Reason

NOW = 1_760_000_000.0
EVENTS = "/apis/events.k8s.io/v1/namespaces"


def notice(
    name: str = "herder-1.1",
    pod: str = "herder-1",
    at: float = NOW,
    note: str = "killed",
    namespace: str = "default",
    count: int = 1,
) -> Notice:
    about = ObjectRef("Pod", pod, namespace, f"uid-{pod}")
    return Notice(name, about, Reason.PROCESS_OOM_KILLED, True, "OOMKill", note, at, count)


class Posted(Schedule):
    """A schedule that also notes in ``posted`` what was put into it."""

    def __init__(self, posted: list[Notice], room: int = 1000) -> None:
        super().__init__(room=room)
        self._posted = posted

    def put(self, notice: Notice) -> Notice | None:
        left_out = super().put(notice)
        if left_out is not notice:
            self._posted.append(notice)
        return left_out


class _Watched(Outbox):
    """``dropped`` are those that were too old, which the sender hears nothing of."""

    dropped: list[tuple[str, str]]

    def _drop(self, notice: Notice, outcome: str) -> None:
        super()._drop(notice, outcome)
        if outcome == "dropped_expired":
            self.dropped.append((notice.name, outcome))


class Desk:
    """``jump_s`` is what the wall clock is off by; the monotonic one is ``now``."""

    def __init__(self, api: Api, state: Path = Path("/proc/none")) -> None:
        """Without a state directory the ledger is in memory."""
        self.now = 0.0
        self.jump_s = 0.0
        self.delivered: list[tuple[str, str]] = []
        self.counts: list[int] = []
        self.meanwhile: Callable[[], object] = lambda: None
        self.sender = EventSender(api, lambda _: None, reporting_instance="node-1", clock=lambda: self.now)
        self.ledger = Ledger.open(state, "boot")
        self.metrics = Metrics("1", process_metrics=False)
        self.start()

    def start(self, boot_id: str = "boot") -> None:
        """An agent that finds what is in the ledger."""
        self.schedule = Schedule(rand=lambda: 1.0)
        self.results: list[EventDelivered | EventFailed] = []
        self.outbox = _Watched(
            self.ledger, self.metrics, self.schedule, self._send, boot_id, clock=lambda: self.now, unix_s=self.unix_s
        )
        self.outbox.dropped = self.delivered
        self.outbox.refill()

    def unix_s(self) -> float:
        return NOW + self.now + self.jump_s

    def submit(self, notice: Notice) -> None:
        """An Event as it is now, in the place of an older one of its name."""
        self.outbox._put(self.outbox._timed(notice))

    def _send(self, notice: Notice) -> None:
        self.results.append(self.sender.attempt(notice))
        meanwhile, self.meanwhile = self.meanwhile, lambda: None
        meanwhile()

    def _take_results(self) -> None:
        for result in self.results:
            if isinstance(result, EventFailed):
                self.outbox.failed(result)
            else:
                self.delivered.append((result.name, result.outcome))
                self.counts.append(result.count)
                self.outbox.delivered(result)
        self.results.clear()

    def due_s(self) -> float | None:
        self._take_results()
        return self.outbox.due_s()

    def work(self, until: Callable[[], bool] | None = None) -> None:
        """Deliver what is due, letting time jump to the next try."""
        for _ in range(20_000):
            due = self.due_s()
            if due is None or (until is not None and until()):
                return
            self.now = max(self.now, due)
            self.outbox.send_due()
        raise AssertionError("it never ends")
