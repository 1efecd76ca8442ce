"""The demo's three pods: the same program three times, and how each requests its OOM mode."""

from __future__ import annotations

from tests.lab.spec import Container, Pod

PLAIN, LABELLED, ANNOTATED = "without-label", "with-label", "with-annotation"
NAMES = (PLAIN, LABELLED, ANNOTATED)
LABEL = "oomward.dev/mode"
CONTAINER = "app"
ANNOTATION = f"mode.oomward.dev/{CONTAINER}"
LIMIT_MIB = 256
# A server with one worker at a time. The worker uses one more MiB every 4 ms until it is killed; 300 ms later the next one starts.
PROGRAM = ("herd", "1", "0", "4", "300", "server")
WHAT = {
    PLAIN: 'requests no mode and has Kubernetes\' default, the OOM mode "group": an OOM kill ends every process of the container',
    LABELLED: f'requests the OOM mode "single" by the label {LABEL}: single, so that an OOM kill ends only the process that '
    "the kernel picks",
    ANNOTATED: f'requests "single" by the annotation {ANNOTATION}: single, for its container "{CONTAINER}" only',
}


def pods() -> list[Pod]:
    """In the order in which they are started and shown; runc starts two of them, crun the third."""
    return [
        _pod(PLAIN, "runc"),
        _pod(LABELLED, "runc", labels={LABEL: "single"}),
        _pod(ANNOTATED, "crun", annotations={ANNOTATION: "single"}),
    ]


def _pod(
    name: str, runtime: str, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None
) -> Pod:
    container = Container(CONTAINER, PROGRAM, LIMIT_MIB)
    return Pod(name, (container,), labels=labels or {}, annotations=annotations or {}, runtime=runtime)
