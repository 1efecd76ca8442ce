"""Other threads' messages reach the loop in order, and wake it."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import pytest

from agent.loop.mailbox import Mailbox
from agent.model import PodDeleted
from tests.unit.patience import PATIENCE_S


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    mailbox = Mailbox()
    yield mailbox
    mailbox.close()


def readable(mailbox: Mailbox) -> bool:
    return bool(select.select([mailbox], [], [], 0)[0])


def test_an_empty_mailbox_wakes_nobody_and_gives_nothing(mailbox: Mailbox) -> None:
    assert not readable(mailbox)
    assert mailbox.take() == []


def test_messages_wake_the_loop_once_and_come_out_oldest_first(mailbox: Mailbox) -> None:
    sent = [PodDeleted("a"), PodDeleted("b"), PodDeleted("c")]
    for message in sent:
        mailbox.put(message)
    assert readable(mailbox)
    assert mailbox.take() == sent
    assert not readable(mailbox)


def test_a_wake_without_a_message_is_over_after_one_look(mailbox: Mailbox) -> None:
    mailbox.wake()
    assert readable(mailbox)
    assert mailbox.take() == []
    assert not readable(mailbox)


def test_no_message_of_many_threads_is_lost_and_each_threads_order_stays(mailbox: Mailbox) -> None:
    def send(name: str) -> None:
        for i in range(500):
            mailbox.put(PodDeleted(f"{name}{i}"))

    threads = [threading.Thread(target=send, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    found: list[str] = []
    while len(found) < 2000:
        assert select.select([mailbox], [], [], PATIENCE_S)[0], "nothing came"
        found += [message.uid for message in mailbox.take() if isinstance(message, PodDeleted)]
    for thread in threads:
        thread.join()
    for name in "abcd":
        assert [uid for uid in found if uid.startswith(name)] == [f"{name}{i}" for i in range(500)]
