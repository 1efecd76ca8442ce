"""What docs/examples.md says of notebook, Job and build: who dies, who lives on, what restarts. With the label, and without.

Label, limit, restart policy, user, environment and scripts are the files' own. The images can't be pulled here: Python, make and gcc
are the host's, and Jupyter's server and a hungry compiler have stand-ins in tests/lab/standins/.

What takes too much waits at a gate first (tests/lab/gate.py). With the label it is then the only process of its container that runs until
it is dead: by its own log the kernel killed exactly this one, and so the agent records it.
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kernel import examples
from tests.kernel.examples import STANDINS, TOO_MUCH_MIB, Lab, free_port, log
from tests.lab.examples import load
from tests.lab.gate import Gate, processes
from tests.lab.pages import page
from tests.lab.spec import Instance

PARTS = 7  # of the program that is built
POOL = """
import concurrent.futures, mmap, multiprocessing

def eat(mib):
    open("/gate/large", "rb", buffering=0).read(1)
    mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | mmap.MAP_POPULATE)

"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    yield from examples.lab(tmp_path_factory.mktemp("node"))


gate = pytest.fixture(examples.gate)


# ---------------------------------------------------------------------------------------------------------- notebook


def open_notebooks(lab: Lab, work: Path, gate: Gate, port: str, name: str, mode: str | None) -> Instance:
    """A server with two kernels. PID 1 is a shell that waits for it, as tini does in the image."""
    example = load("notebook.yaml", work)
    argv = ("sh", "-c", "python3 /standins/notebook.py & wait $!")
    folders = (STANDINS, gate.folder)
    instance = lab.run(example.pod(name, mode=mode, argv=argv, env={"PORT": port}, folders=folders))
    lab.wait(instance.pod, lambda: page(port, "/")[0] == 200)
    return instance


def ask_for_too_much(port: str, instance: Instance) -> None:
    """Its code runs up to the gate."""
    assert page(port, f"/first?{2 * (instance.pod.containers[0].limit_mib or 0)}", method="POST")[0] == 200


def test_a_notebooks_kernel_dies_alone_and_a_server_that_ends_by_itself_stays_ended(
    lab: Lab, tmp_path: Path, gate: Gate
) -> None:
    port = free_port()
    instance = open_notebooks(lab, tmp_path, gate, port, "notebook", "as written")
    before = json.loads(page(port, "/")[1])
    ask_for_too_much(port, instance)
    victim = lab.dies_at(gate, instance)
    lab.wait(instance.pod, lambda: json.loads(page(port, "/")[1])["first"][1] == 1)
    after = json.loads(page(port, "/")[1])
    assert (after["server"], after["second"]) == (before["server"], before["second"])
    assert after["first"][0] != before["first"][0]
    assert lab.killed(instance.pod) == [victim]
    assert "The container is still running (mode single)." in lab.told("ProcessOOMKilled", instance.pod)
    assert lab.kills(instance.pod, "single") == 1

    page(port, "/shutdown", method="POST")
    lab.ended(instance)
    assert instance.exit_code == 0
    assert lab.phase(instance.pod) == "Succeeded", "restartPolicy OnFailure"
    assert lab.starts(instance.pod) == [instance]


def test_without_the_label_the_notebooks_server_dies_with_all_kernels(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    port = free_port()
    instance = open_notebooks(lab, tmp_path, gate, port, "notebook-plain", None)
    ask_for_too_much(port, instance)
    gate.let_in()
    lab.ended(instance)
    assert instance.exit_code == 137
    lab.wait(instance.pod, lambda: len(lab.starts(instance.pod)) == 2 and page(port, "/")[0] == 200)
    kernels = json.loads(page(port, "/")[1])
    assert [kernels["first"][1], kernels["second"][1]] == [0, 0], "all new"
    lab.killed_together(instance.pod)
    lab.delete(instance.pod)


# --------------------------------------------------------------------------------------------------------------- Job


def start_the_job(lab: Lab, work: Path, gate: Gate, name: str, mode: str | None) -> tuple[Instance, Path]:
    """The second of three shards is too large, and waits at the gate. The first start of the container, and what is done."""
    example = load("job.yaml", work)
    env = {"SHARDS": f"a:40 b:{TOO_MUCH_MIB} c:40", "GATED": str(TOO_MUCH_MIB), "PYTHONPATH": "/standins/site"}
    folders = (STANDINS, gate.folder)
    instance = lab.run(example.pod(name, mode=mode, runtime="runc", env=env, folders=folders))
    return instance, example.folder("done")


def next_start(lab: Lab, instance: Instance) -> Instance:
    """Of its container, once the kubelet has made it."""
    lab.wait(instance.pod, lambda: len(lab.starts(instance.pod)) > instance.restart + 1)
    return lab.starts(instance.pod)[instance.restart + 1]


def done(folder: Path) -> set[str]:
    """The shards that are done, without their sizes."""
    return {file.name.partition(":")[0] for file in folder.iterdir()}


def test_a_jobs_shard_that_is_too_large_dies_alone_and_the_others_are_done(
    lab: Lab, tmp_path: Path, gate: Gate
) -> None:
    first, folder = start_the_job(lab, tmp_path, gate, "batch", "as written")
    victim = lab.dies_at(gate, first)
    lab.ended(first)
    assert done(folder) == {"a", "c"}
    assert f"shard b:{TOO_MUCH_MIB}: killed" in log(first)
    second = next_start(lab, first)
    lab.dies_at(gate, second, earlier=[victim])
    lab.ended(second)
    assert done(folder) == {"a", "c"}
    assert [first.exit_code, second.exit_code] == [1, 1], "PID 1 said what is left, and was started again for it"
    lab.delete(first.pod)


def test_without_the_label_the_job_never_gets_past_that_shard(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    first, folder = start_the_job(lab, tmp_path, gate, "batch-plain", None)
    gate.let_in(2)
    lab.ended(first)
    second = next_start(lab, first)
    lab.ended(second)
    assert done(folder) == {"a"}
    assert [first.exit_code, second.exit_code] == [137, 137]
    assert lab.killed_together(first.pod) > {first.pid, second.pid}
    lab.delete(first.pod)


def start_a_pool(lab: Lab, work: Path, gate: Gate, name: str, code: str) -> Instance:
    """A pool of two Python workers, one of which is to take too much. ``code``: what PID 1 does."""
    argv = ("python3", "-c", POOL + code % TOO_MUCH_MIB)
    return lab.run(load("job.yaml", work).pod(name, argv=argv, folders=(gate.folder,)))


def test_pythons_process_pool_executor_says_that_a_worker_was_killed(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    code = "concurrent.futures.ProcessPoolExecutor(2).submit(eat, %d).result()"
    instance = start_a_pool(lab, tmp_path, gate, "executor", code)
    victim = lab.dies_at(gate, instance)
    lab.ended(instance)
    assert re.search(r"^[\w.]*BrokenProcessPool\b", log(instance), re.MULTILINE), log(instance)
    assert lab.killed(instance.pod) == [victim], "and then PID 1 ended by itself"
    lab.delete(instance.pod)


def test_pythons_multiprocessing_pool_replaces_a_worker_that_was_killed_and_waits_forever(
    lab: Lab, tmp_path: Path, gate: Gate
) -> None:
    """One of the half-dead pods of docs/explanation/what-single-costs.md. Two seconds after the replacement stand for "forever"."""
    instance = start_a_pool(lab, tmp_path, gate, "pool", "multiprocessing.Pool(2).apply_async(eat, [%d]).get()")
    gate.waiting(instance.path)
    before = processes(instance.path)
    victim = lab.dies_at(gate, instance)
    lab.wait(
        instance.pod, lambda: len(processes(instance.path)) == len(before) and victim not in processes(instance.path)
    )
    time.sleep(2)
    assert instance.running
    assert lab.killed(instance.pod) == [victim]
    lab.delete(instance.pod)


# ------------------------------------------------------------------------------------------------------------- build


def start_a_build(lab: Lab, work: Path, gates: tuple[Gate, Gate], name: str, mode: str | None) -> tuple[Instance, Path]:
    """Real make and real gcc, whose compilers take their time and memory by tests/lab/standins/hungry.py; and what is to come of it."""
    example = load("ci-build.yaml", work)
    env = {"CFLAGS": "-wrapper python3,-S,/standins/hungry.py", "MIB": "110", "LARGE_MIB": "300"}
    folders = (STANDINS, *dict.fromkeys(gate.folder for gate in gates))
    return lab.run(example.pod(name, mode=mode, env=env, folders=folders)), example.folder("build") / "app"


def test_a_build_loses_a_compiler_and_is_finished_all_the_same(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    """The kernel's victim is the largest compiler, which fits when the second make runs it alone."""
    rest = Gate(tmp_path / "gate", "rest")
    instance, app = start_a_build(lab, tmp_path, (gate, rest), "ci-build", "as written")
    lab.dies_at(gate, instance)
    rest.let_in(PARTS)
    lab.ended(instance)
    rest.close()
    assert instance.exit_code == 0, log(instance)
    assert (instance.events["oom_kill"], instance.events["oom_group_kill"]) == (1, 0)
    assert lab.kills(instance.pod, "single") == 1
    assert "Killed" in log(instance)
    assert subprocess.run([app], check=False).returncode == 0


def test_without_the_label_the_build_is_lost_and_not_tried_again(lab: Lab, tmp_path: Path, gate: Gate) -> None:
    rest = Gate(tmp_path / "gate", "rest")
    instance, app = start_a_build(lab, tmp_path, (gate, rest), "ci-build-plain", None)
    gate.let_in()
    lab.ended(instance)
    rest.close()
    assert instance.exit_code == 137
    assert not app.exists()
    assert lab.phase(instance.pod) == "Failed", "restartPolicy Never"
    assert lab.starts(instance.pod) == [instance]
    lab.killed_together(instance.pod)
