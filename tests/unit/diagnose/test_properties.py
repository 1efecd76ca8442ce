"""Every status that the API's schema allows gives diagnoses or none, never an exception; and what is said is safe and bounded."""

from __future__ import annotations

import json
import string
import unicodedata
from dataclasses import asdict
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.commands.output.table import Output, show
from agent.diagnose import TABLE, diagnose
from agent.diagnose.case import WAITS
from agent.diagnose.judge import MOST_MESSAGE, MOST_SAID
from agent.look.diagnoses import all_shown, pod_shown
from agent.model import Mode, OomKill, Outcome, Scope, Victim
from agent.model.diagnosis import Category, ContainerFacts, Diagnosis, NodeFacts
from agent.model.status import Phase
from agent.pods.parse import UnreadablePodError, parse_pod
from tests.unit.diagnose.contradictions import contradictions
from tests.unit.diagnose.recorded import NAMES, at, recorded
from tests.unit.diagnose.reports import Report, reports
from tests.unit.profiles import examples

NOW = 1_780_000_000.0
# What messages are made of: recorded ones, the patterns' own words, format strings, escapes, anything.
TEXTS = [text for name in NAMES for one in recorded(name).diagnoses() for text in (one.message, one.what)]
SAID = (
    st.sampled_from(TEXTS)
    | st.text(max_size=200)
    | st.sampled_from(["{who}", "{0}", "%s", "\x1b[31m", "\ud800", "a" * 100_000, "|`*"])
)
REASONS = st.sampled_from([*WAITS, "StartError", "ContainerCannotRun", "OOMKilled", "Error", "Completed", "Evicted", "OutOfmemory",
                           "NodeLost", "DeadlineExceeded", "Preempting", "Terminated", ""]) | st.text(max_size=40)  # fmt: skip
TIMES = st.sampled_from(
    ["2026-05-28T20:26:40Z", "2026-05-28T20:20:00Z", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", None]
)
INT32 = st.integers(-(2**31), 2**31 - 1)
NAME = st.text(string.ascii_lowercase + string.digits + "-", min_size=1, max_size=63)


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object; any of its fields may be missing."""
    return st.fixed_dictionaries({}, optional=fields)


TERMINATED = optional(exitCode=INT32 | st.sampled_from([0, 1, 126, 127, 137, 139, 143]), signal=INT32, reason=REASONS, message=SAID,
                      startedAt=TIMES, finishedAt=TIMES, containerID=st.sampled_from(["containerd://abc", "x"]))  # fmt: skip
STATES = st.one_of(
    st.none(),
    st.just({}),
    st.builds(lambda one: {"waiting": one}, optional(reason=REASONS, message=SAID)),
    st.builds(lambda one: {"running": one}, optional(startedAt=TIMES)),
    st.builds(lambda one: {"terminated": one}, TERMINATED),
)
PROBE = st.just({"httpGet": {"port": 80}})
RULES = st.lists(
    optional(action=st.sampled_from(["Restart", "RestartAllContainers", "Later"]),
             exitCodes=optional(operator=st.sampled_from(["In", "NotIn"]), values=st.lists(INT32, max_size=4))), max_size=3,
)  # fmt: skip
RESOURCES = optional(limits=optional(memory=st.sampled_from(["64Mi", "256Mi", "0", "1e9", "16Ei"])))
CONDITIONS = st.sampled_from(["Ready", "DisruptionTarget", "PodReadyToStartContainers", "PodScheduled", "PodResizePending",
                              "PodResizeInProgress", "AllContainersRestarting"])  # fmt: skip
WHY = st.sampled_from(["Deferred", "Infeasible", "Error", "Unschedulable", "SchedulingGated", "TerminationByKubelet",
                       "DeletionByPodGC"]) | REASONS  # fmt: skip
SECURITY = optional(runAsUser=st.integers(0, 2**63 - 1))
POLICIES = st.sampled_from(["Always", "OnFailure", "Never"])


@st.composite
def pods(draw: st.DrawFn) -> dict[str, Any]:
    """A pod as the schema of core/v1 allows it, most of it optional, its statuses for some of its containers and for strangers."""
    pod: dict[str, Any] = {
        "metadata": {"uid": "u", "namespace": draw(NAME), "name": draw(NAME)},
        "spec": {},
        "status": {},
    }
    pod["metadata"] |= draw(optional(
        deletionTimestamp=st.none(), creationTimestamp=TIMES, annotations=st.dictionaries(st.sampled_from(
            ["batch.kubernetes.io/job-index-failure-count", "kubernetes.io/config.hash"]), st.text(max_size=4)),
        ownerReferences=st.lists(st.fixed_dictionaries({"kind": st.sampled_from(["Job", "ReplicaSet", "DaemonSet", "Node"]), "name": NAME,
                                                        "controller": st.booleans()}), max_size=2)))  # fmt: skip
    pod["spec"] |= draw(
        optional(restartPolicy=POLICIES, activeDeadlineSeconds=st.integers(0, 2**31), securityContext=SECURITY)
    )
    pod["status"] |= draw(optional(
        phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]), reason=REASONS, message=SAID, startTime=TIMES,
        resize=st.sampled_from(["Deferred", "InProgress", ""]),
        conditions=st.lists(
            optional(type=CONDITIONS, status=st.sampled_from(["True", "False", "Unknown"]), reason=WHY, message=SAID), max_size=3),
    ))  # fmt: skip
    for kind, reported_in in (("initContainers", "initContainerStatuses"), ("containers", "containerStatuses"),
                          ("ephemeralContainers", "ephemeralContainerStatuses")):  # fmt: skip
        names = draw(st.lists(NAME, max_size=3, unique=True))
        pod["spec"][kind] = [{"name": name, **draw(optional(
            image=SAID, restartPolicy=POLICIES, restartPolicyRules=RULES, securityContext=SECURITY, livenessProbe=PROBE, startupProbe=PROBE,
            resources=RESOURCES))} for name in names]  # fmt: skip
        pod["status"][reported_in] = [{"name": name, **draw(optional(
            state=STATES, lastState=STATES, restartCount=st.integers(0, 2**31 - 1), ready=st.booleans(), started=st.none() | st.booleans(),
            resources=RESOURCES))} for name in [*names, "stranger"]]  # fmt: skip
    return pod


@st.composite
def kills_of(draw: st.DrawFn, names: list[str]) -> list[OomKill]:
    """Kills of the pod's containers, of other ones and of other pods, recent and old."""
    size = st.none() | st.integers(0, 2**63)
    return draw(st.lists(st.builds(
        OomKill, st.just("boot-1-1"), st.floats(0, 2 * NOW), st.just("node-1"), st.just("x"), st.integers(1, 9), st.just("n"), st.just("p"),
        st.sampled_from(["u", "v"]), st.sampled_from([*names, "other"]), st.sampled_from(["abc", None]),
        st.just((Victim(7, "evil\x1b[31m"),)) | st.just(()), st.none() | st.sampled_from(Mode), st.booleans(),
        st.none() | st.sampled_from(Scope), size, size, outcome=st.none() | st.sampled_from(Outcome)), max_size=4))  # fmt: skip


@st.composite
def worlds(draw: st.DrawFn) -> tuple[dict[str, Any], list[OomKill], NodeFacts]:
    pod = draw(pods())
    names = [one.name for one in parse_pod(pod).containers]
    size = st.none() | st.integers(0, 2**63)
    facts = draw(st.dictionaries(st.sampled_from([*names, "other"]), st.builds(ContainerFacts, size, size), max_size=3))
    return pod, draw(kills_of(names)), NodeFacts(NOW, facts)


ENDED_UNIX_S = NOW - 60
CODES = st.sampled_from([0, 1, 137, 139, 143, None])
LIMITS = st.sampled_from([None, "64Mi", "256Mi", "1Gi"])


@st.composite
def killed_pods(draw: st.DrawFn) -> tuple[dict[str, Any], list[OomKill], NodeFacts]:
    """A pod of one to two containers that ended or were restarted a minute ago, with every mix of reason, exit code, limits and kills."""
    ended = {"terminated": {"reason": draw(st.sampled_from(["OOMKilled", "Error", "Completed"])), "exitCode": draw(CODES),
                            "startedAt": draw(st.sampled_from([clock(ENDED_UNIX_S - 20), clock(ENDED_UNIX_S - 7200)])),
                            "finishedAt": clock(ENDED_UNIX_S), "containerID": "containerd://abc"}}  # fmt: skip
    back_off = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container=web"}}
    running = {"running": {"startedAt": clock(ENDED_UNIX_S + 5)}}
    now = draw(st.sampled_from([back_off, running, ended]))
    kind = draw(st.sampled_from(["containers", "initContainers"]))
    status = {"name": "web", "state": now, "restartCount": 3, "ready": False, "containerID": "containerd://def"}
    status |= {} if now is ended else {"lastState": ended}
    in_force, limit = draw(LIMITS), draw(LIMITS)
    status |= {"resources": {"limits": {"memory": in_force}}} if in_force else {}
    spec = {"name": "web"} | ({"resources": {"limits": {"memory": limit}}} if limit else {})
    spec |= draw(optional(livenessProbe=PROBE, restartPolicyRules=RULES, restartPolicy=POLICIES))
    owner = draw(st.sampled_from([None, "Job", "ReplicaSet", "Node"]))
    pod: dict[str, Any] = {
        "metadata": {"uid": "u", "namespace": "n", "name": "p"},
        "spec": {kind: [spec], "restartPolicy": draw(POLICIES)},
        "status": {
            "phase": draw(st.sampled_from(["Running", "Failed", "Succeeded"])),
            f"{kind[:-1]}Statuses": [status],
        },
    }
    pod["status"]["conditions"] = draw(st.lists(optional(
        type=st.sampled_from(["PodResizePending", "PodResizeInProgress"]), status=st.just("True"), reason=WHY), max_size=1))  # fmt: skip
    if owner is not None:
        pod["metadata"]["ownerReferences"] = [{"kind": owner, "name": "web", "controller": True}]
    if kind == "initContainers":
        pod["spec"]["containers"] = [{"name": "main"}]
    sizes = st.none() | st.sampled_from([64 << 20, 256 << 20, 1 << 30])
    kills = draw(st.lists(st.builds(
        OomKill, st.just("boot"), st.just(7), st.just(1), st.sampled_from([ENDED_UNIX_S - 1, ENDED_UNIX_S - 3000, ENDED_UNIX_S + 30]),
        st.just("node-1"), st.just("x"), st.just(1), st.just("n"), st.just("p"), st.just("u"), st.just("web"),
        st.sampled_from(["abc", "def", None]), st.just((Victim(7, "worker"),)), scope=st.none() | st.sampled_from(Scope), limit_bytes=sizes,
        usage_bytes=sizes, outcome=st.none() | st.sampled_from(Outcome)), max_size=2))  # fmt: skip
    facts = {"web": ContainerFacts(draw(sizes), draw(sizes))} if draw(st.booleans()) else {}
    return pod, kills, NodeFacts(NOW, facts)


def clock(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).isoformat().replace("+00:00", "Z")


def is_safe(text: str) -> bool:
    return all(unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for char in text)


def check(one: Diagnosis) -> None:
    assert one.category in Category
    assert one.rule in {rule.name for rule in TABLE}
    texts = [
        one.namespace,
        one.pod,
        one.pod_uid,
        one.container or "",
        one.what,
        one.message,
        one.advice,
        one.next_step.text,
    ]
    assert all(is_safe(text) for text in texts)
    assert len(one.message) <= MOST_MESSAGE
    assert 0 < len(one.what) <= MOST_SAID
    assert 0 < len(one.advice) <= MOST_SAID
    assert 0 < len(one.next_step.text) <= 1000
    json.dumps(asdict(one)).encode("ascii")


@given(worlds())
def test_every_status_that_the_schema_allows_gives_diagnoses_that_are_safe_to_print(
    world: tuple[dict[str, Any], list[OomKill], NodeFacts],
) -> None:
    pod, kills, facts = world
    parsed = parse_pod(pod)
    found = diagnose(parsed, kills, facts)
    for one in found:
        check(one)
        assert contradictions(one, parsed, kills, facts) == []
    assert len({one.container for one in found}) == len(found) <= max(1, len(parsed.containers))


@examples(400)
@given(killed_pods())
def test_what_is_said_of_a_kill_never_contradicts_itself(
    world: tuple[dict[str, Any], list[OomKill], NodeFacts],
) -> None:
    pod, kills, facts = world
    parsed = parse_pod(pod)
    for one in diagnose(parsed, kills, facts):
        check(one)
        assert contradictions(one, parsed, kills, facts) == []


@examples(30)
@given(worlds())
def test_whatever_is_diagnosed_can_be_printed(world: tuple[dict[str, Any], list[OomKill], NodeFacts]) -> None:
    pod, kills, facts = world
    found = diagnose(parse_pod(pod), kills, facts)
    for output in Output:
        for shown in (all_shown, pod_shown):
            file = StringIO()
            show(shown(found, "nothing", []), output, file)
            text = file.getvalue()
            assert text.endswith("\n")
            assert "\x1b[3" not in text
            if output is Output.JSON:
                assert [one["rule"] for one in json.loads(text)["diagnoses"]] == [one.rule for one in found]


@given(worlds())
def test_a_container_that_waits_for_a_reason_or_failed_is_reported(
    world: tuple[dict[str, Any], list[OomKill], NodeFacts],
) -> None:
    pod, kills, facts = world
    parsed = parse_pod(pod)
    reported = {one.container for one in diagnose(parsed, kills, facts)}
    if None in reported or parsed.status.deletion_unix_s is not None:
        return
    for one in parsed.containers:
        state = one.status.state
        waits = state.phase is Phase.WAITING and state.reason not in ("ContainerCreating", "PodInitializing")
        ended = state.phase is Phase.TERMINATED and state.exit_code not in (0, None) and one.kind != "ephemeral"
        if waits or ended:
            assert one.name in reported


@pytest.mark.parametrize("name", NAMES)
def test_no_recorded_status_is_contradicted(name: str) -> None:
    found = recorded(name)
    assert [
        text for one in found.diagnoses() for text in contradictions(one, found.parsed, (), NodeFacts(found.now_unix_s))
    ] == []


@pytest.mark.parametrize("report", reports(), ids=lambda report: report.name)
def test_no_public_report_is_contradicted(report: Report) -> None:
    found = report.diagnoses()
    parsed, facts = parse_pod(report.pod), NodeFacts(at(report.now))
    assert [text for one in found for text in contradictions(one, parsed, report.seen(), facts)] == []


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | SAID,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=10,
)


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of everything inside."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, item in inner for path in ((*here, key), *places(item, (*here, key)))]


@examples(300)
@given(st.sampled_from(NAMES), st.data())
def test_a_recorded_status_with_anything_in_any_place_gives_diagnoses_or_is_no_pod(
    name: str, data: st.DataObject
) -> None:
    found = recorded(name)
    path = data.draw(st.sampled_from(places(found.pod)))
    at: Any = found.pod
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = data.draw(ANY_JSON)
    try:
        parsed = found.parsed
    except UnreadablePodError:
        assert path[0] in ("metadata", "spec") or len(path) == 1 or "ontainerStatuses" in path[1], "what decides"
        return
    for one in diagnose(parsed, (), NodeFacts(found.now_unix_s)):
        check(one)


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "a ",
        "Get https://",
        "container x was using 1Mi, ",
        "exec: ",
        "mount ",
        "executable file `",
        "https://a/v2/",
        "layer ",
        "stat /a",
        "nvidia-container-abc",
        "/blobs/",
        "predicates ",
        "1/1 nodes are available 1 ",
        "(",
        "\n",
        "0m",
    ],
)
def test_a_message_made_to_keep_the_patterns_busy_does_not(part: str) -> None:
    """The longest message that is kept, of one piece over and over: each pattern is done with it within a number of steps that
    grows no faster than its square, so the whole table is a matter of milliseconds, and this test ends."""
    pod = recorded("create-other-containerd-1.7").pod
    status = pod["status"]
    for reason in ("CreateContainerError", "ErrImagePull", "CreateContainerConfigError", "RunContainerError"):
        status["containerStatuses"][0]["state"] = {"waiting": {"reason": reason, "message": part * 4096}}
        status |= {"reason": "Evicted", "message": part * 4096}
        check(*diagnose(parse_pod(pod), (), NodeFacts(NOW)))
        status |= {"reason": "", "message": ""}
        check(*diagnose(parse_pod(pod), (), NodeFacts(NOW)))
    status |= {"phase": "Pending", "containerStatuses": [], "startTime": None}
    pod["metadata"]["creationTimestamp"] = "2026-05-01T00:00:00Z"
    status["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": part * 4096}
    ]
    check(*diagnose(parse_pod(pod), (), NodeFacts(NOW)))
