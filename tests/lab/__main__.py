"""``python -m tests.lab boot -- COMMAND``, ``boot-systemd -- COMMAND``, ``boot-emulated -- COMMAND`` and ``test``: see docs/lab.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.lab import boot, emulated, runtime, suite, systemd, uml


def main() -> int:
    """Run one of the lab's commands."""
    top = argparse.ArgumentParser(prog="python -m tests.lab", description=__doc__)
    commands = top.add_subparsers(dest="what", required=True)
    one = commands.add_parser(
        "boot", help="run a command on a real kernel: the host's if it will do, else User-Mode Linux"
    )
    one.add_argument("--cgroup", choices=("v2", "v1"), default="v2")
    node = commands.add_parser("boot-systemd", help="run a command beside a real systemd and containerd")
    node.add_argument("--suite", choices=tuple(systemd.SUITES), default="trixie", help="of Debian [trixie]")
    psi = commands.add_parser(
        "boot-emulated", help="run a command on an emulated PC with Debian's kernel, which has PSI"
    )
    for parser in (one, node, psi):
        parser.add_argument("--memory", default="1536M", help="of the machine [1536M]")
        parser.add_argument("--out", type=Path, help="folder that stays writable [build/lab]")
        parser.add_argument("--seconds", type=float, default=900.0, help="time-out [900]")
        parser.add_argument("command", nargs="+")
    every = commands.add_parser(
        "test", help="all tests that need a real kernel, each file on one of its own, some side by side"
    )
    every.add_argument(
        "--quick",
        action="store_true",
        help="some of them: the main job on each kernel, a short storm and the short parts",
    )
    every.add_argument("--systemd", action="store_true", help="instead: all tests beside a real systemd and containerd")
    every.add_argument("--emulated", action="store_true", help="instead: all tests on the emulated PC")
    arguments = top.parse_args()
    try:
        if arguments.what == "test":
            return _test(quick=arguments.quick, beside_systemd=arguments.systemd, on_emulated=arguments.emulated)
        runtime.build_hog()
        if arguments.what == "boot-systemd":
            return systemd.run(
                arguments.command,
                suite=arguments.suite,
                memory=arguments.memory,
                timeout_s=arguments.seconds,
                out=arguments.out,
            )
        if arguments.what == "boot-emulated":
            return emulated.run(
                arguments.command, memory=arguments.memory, timeout_s=arguments.seconds, out=arguments.out
            )
        if sys.stdin.isatty() and sys.stdout.isatty():
            return boot.attach(arguments.command, cgroup=arguments.cgroup, memory=arguments.memory, out=arguments.out)
        return boot.run(
            arguments.command,
            cgroup=arguments.cgroup,
            memory=arguments.memory,
            timeout_s=arguments.seconds,
            out=arguments.out,
        )
    except uml.NoKernelError as error:
        print(f"tests.lab: {error}", file=sys.stderr)
        return boot.EXIT_NO_KERNEL


def _test(*, quick: bool, beside_systemd: bool, on_emulated: bool) -> int:
    if on_emulated:
        return suite.main(suite.emulated_parts(), at_once=1)
    if beside_systemd:
        return suite.main(suite.systemd_parts(), at_once=2)
    return suite.main(suite.quick_parts() if quick else suite.all_parts())


if __name__ == "__main__":
    sys.exit(main())
