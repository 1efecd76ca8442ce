"""One full list of a node's pods, parsed while it arrives: only the largest pod has to fit into memory, never the whole list.

A list is accepted as a whole or not at all, since pods that it leaves out would count as deleted. A pod that can't be read, also one that
is too large, is skipped and reported, and stays as it was: nobody's pod keeps the others from being listed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from agent.kube.api import Api, UnbelievableAnswerError, no_json
from agent.model import Pod, PodSkipped, PodsListed
from agent.pods.parse import UnreadablePodError, parse_pod
from agent.wording.text import count

T = TypeVar("T")
ANY_VERSION = "0"
NEWEST = ""
PATH = "/api/v1/pods"
LIST_S = 60.0  # nothing of a list for that long
MOST_POD_BYTES = 10 << 20  # etcd takes 1.5 MiB at most, and Go's JSON has six characters for a < (\u003c)
# Quotes and commas of one object: decoding as many stops every thread for some 10 ms. A pod of 500 containers, each with 20 variables and
# its managed fields, has 150,000; one of 20,000 containers 540,000.
MOST_SIGNS = 200_000
MOST_SKIPPED_BYTES = 1 << 30  # of one object that is too large, and not kept: one without an end comes to an end
MOST_SKIPPED = 100_000  # objects without a uid: it is no list of pods
MOST_NAMED = 100  # of those in one list
WINDOW = 4096
FRONT = 4096  # characters, in which an object's name is if there is one
TOO_MANY = f"it has more than {MOST_SIGNS} quotes and commas"
NO_LIST = "the API's answer is no list of pods: not believed, trying again"
SPACE = re.compile(r"[ \t\r\n]*")
# Up to the next sign that counts, or to the end of what is there; a backslash at the end waits for its character.
NEXT_QUOTE = re.compile(r'[^"\\]*(?:\\.[^"\\]*)*("?)', re.DOTALL)
# Whole strings are passed over, each run of characters by one part of the pattern only: nothing is tried twice.
NEXT_SIGN = re.compile(r'[^"{}\[\]]*(?:"[^"\\]*(?:\\.[^"\\]*)*"[^"{}\[\]]*)*(["{}\[\]]?)', re.DOTALL)
BEHIND_A_VALUE = frozenset(" \t\r\n,:]}")
DECODER = json.JSONDecoder()


def list_pods(
    api: Api, node_name: str, on_skipped: Callable[[PodSkipped], None], at_least: str = ANY_VERSION
) -> PodsListed:
    """All pods of this node in one request; those that can't be read are reported. Raises ApiError.

    ``at_least`` (kubernetes.io/docs/reference/using-api/api-concepts, semantics for get and list): ANY_VERSION is from the
    server's cache, without a quorum read of etcd for every node's agent, and may be older than what was seen before; a
    resourceVersion is refused where the cache lags behind it; NEWEST is a consistent read.
    """
    asked = {"resourceVersion": at_least} if at_least else {}
    if at_least not in (ANY_VERSION, NEWEST):
        asked["resourceVersionMatch"] = "NotOlderThan"
    answer = api.request("GET", PATH, pods_query(node_name, **asked), read_s=LIST_S)
    skipped = _Skipped(on_skipped)

    def read(item: object) -> Pod | None:
        try:
            if isinstance(item, Unread):
                raise UnreadablePodError(item.why)
            pod = parse_pod(item)
        except UnreadablePodError as error:
            skipped.add(item, str(error))
            return None
        return pod if pod.node_name == node_name else None

    try:
        found, version = read_list(answer.parts(), read)
    except ValueError as error:
        answer.close()
        raise no_json(error) from error
    except BaseException:
        answer.close()
        raise
    answer.raw.release_conn()
    skipped.end()
    return PodsListed(tuple(found), version, tuple(skipped.uids))


class _Skipped:
    """The objects of one list that can't be read: some by name, the rest as a number."""

    def __init__(self, report: Callable[[PodSkipped], None]) -> None:
        self._report = report
        self._number = 0
        self.uids: list[str] = []

    def add(self, item: object, why: str) -> None:
        """Raises UnbelievableAnswerError if there are too many."""
        self._number += 1
        self.uids.extend(filter(None, (uid_of(item),)))
        if self._number - len(self.uids) > MOST_SKIPPED:
            raise UnbelievableAnswerError(
                f"the API lists more than {MOST_SKIPPED} objects that are no pods: not believed"
            )
        if self._number <= MOST_NAMED:
            self._report(PodSkipped(name_of(item), why))

    def end(self) -> None:
        if (more := self._number - MOST_NAMED) > 0:
            self._report(PodSkipped(f"{count(more, 'more object')}", "as with those before", more))


def pods_query(node_name: str, **more: str) -> Mapping[str, str]:
    """A query for this node's pods."""
    return {"fieldSelector": f"spec.nodeName={node_name}", **more}


def read_list(parts: Iterator[bytes], read: Callable[[object], T | None]) -> tuple[list[T], str]:
    """What ``read`` makes of the items (an Unread of one too large or too deep; None is left out), and the PodList's resourceVersion.

    Raises UnbelievableAnswerError, ValueError if it is no JSON, and what ``parts`` and ``read`` do.
    """
    text = _Text(parts)
    if text.next() != "{":
        raise UnbelievableAnswerError(NO_LIST)
    found: list[T] = []
    members: dict[str, object] = {}
    for key in text.members():
        if key in members:
            raise UnbelievableAnswerError("the API's list of pods says something twice: not believed, trying again")
        members[key] = None
        if key == "items" and text.peek() == "[":
            members[key] = found
            found.extend(one for item in text.elements() if (one := read(item)) is not None)
        else:
            members[key] = text.value()
    if text.peek():
        raise ValueError("something follows its end")
    metadata = members.get("metadata")
    if members.get("kind") != "PodList" or not isinstance(metadata, dict):
        raise UnbelievableAnswerError(NO_LIST)
    version = metadata.get("resourceVersion")
    if (members.get("items") is not None and members["items"] is not found) or not isinstance(version, str):
        raise UnbelievableAnswerError("the API's list of pods is no list: not believed, trying again")
    if metadata.get("continue"):
        raise UnbelievableAnswerError("the API sent a part of the list, unasked: something between us sets a limit")
    return found, version


@dataclass(frozen=True, slots=True)
class Unread:
    """An object that is too large or too deep to be read: the beginning of its JSON, and why."""

    front: str
    why: str

    @property
    def metadata(self) -> Mapping[str, str]:
        """Its name, namespace and uid, which the API puts before everything that a user may make long; {} if they are not found."""
        found = re.search(r'"metadata"\s*:\s*\{([^{}]*)', self.front)
        return dict(re.findall(r'"(name|namespace|uid)"\s*:\s*"([^"\\]*)"', found[1])) if found is not None else {}


def signs(part: bytes) -> int:
    """Quotes and commas of JSON, escaped quotes left out: counted without decoding it."""
    return part.count(b'"') + part.count(b",") - part.count(b'\\"')


def too_many(text: str, at: int = 0) -> bool:
    """Whether JSON has more than MOST_SIGNS from there on."""
    found = text.count('"', at) + text.count(",", at)
    return found > MOST_SIGNS and found - text.count('\\"', at) > MOST_SIGNS


class _TooLongError(UnbelievableAnswerError):
    """A value is longer than MOST_POD_BYTES, or has more than MOST_SIGNS: ``why``."""

    def __init__(self, why: str) -> None:
        super().__init__(f"a part of the API's list can't be read: {why}")
        self.why = why


class _TooDeepError(ValueError):
    """A value is nested too deeply for Python's decoder."""


class _Text:
    """JSON that arrives in parts. Raises ValueError if it is none, UnbelievableAnswerError for a value that is too long.

    Kept as Latin-1, one byte per character: JSON's own characters are ASCII, and no byte of other UTF-8 looks like one.
    """

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._text = ""
        self._at = 0
        self._over = False

    def _more(self, until: int = 1) -> bool:
        """Read ``until`` more characters, or until nothing comes. Whether there was more."""
        found, size = [self._text[self._at :]], 0
        while size < until and not self._over:
            part = next(self._parts, None)
            self._over = part is None
            found.append((part or b"").decode("latin-1"))
            size += len(found[-1])
        self._text, self._at = "".join(found), 0
        return size > 0 or not self._over

    def peek(self) -> str:
        """The next character after spaces; "" at the end."""
        while True:
            self._at = next(SPACE.finditer(self._text, self._at)).end()
            if self._at < len(self._text) or self._over or not self._more():
                return self._text[self._at : self._at + 1]

    def next(self) -> str:
        """Likewise, and consume it."""
        found = self.peek()
        self._at += len(found)
        return found

    def value(self) -> Any:
        """A whole value; tried again only when twice as much of it has arrived."""
        self.peek()
        while True:
            try:
                found, end = DECODER.raw_decode(self._text, self._at)
            except RecursionError as error:
                raise _TooDeepError("nested too deeply") from error
            except ValueError:
                if self._over:
                    raise
                end = len(self._text)
            if self._over or self._text[end : end + 1] in BEHIND_A_VALUE:  # else it may continue: 1, 1e, 1e5
                text, self._at = self._text[self._at : end], end
                if too_many(text):
                    self._at -= len(text)
                    raise _TooLongError(TOO_MANY)
                return found if text.isascii() else json.loads(text.encode("latin-1").decode())
            size = len(self._text) - self._at
            if size > MOST_POD_BYTES:
                raise _TooLongError(f"it is larger than {MOST_POD_BYTES} bytes")
            if too_many(self._text, self._at):
                raise _TooLongError(TOO_MANY)
            self._more(min(size, MOST_POD_BYTES + 1 - size))

    def element(self) -> Any:
        """As ``value``, but of one that is too long or too deep an Unread. Raises UnbelievableAnswerError if that is no object."""
        try:
            return self.value()
        except (_TooLongError, _TooDeepError) as error:
            front = self._text[self._at : self._at + FRONT]
            if front[:1] != "{":
                raise
            self._skip()
            return Unread(front, error.why if isinstance(error, _TooLongError) else str(error))

    def _skip(self) -> None:
        """Consume an object without keeping it."""
        depth, in_string, skipped = 0, False, 0
        while depth or in_string or not skipped:
            if in_string:  # most of it at once, as far as nothing is escaped
                quote = self._text.find('"', self._at)
                plain = self._text.find("\\", self._at, quote if quote >= 0 else None)
                plain = plain if plain >= 0 else quote if quote >= 0 else len(self._text)
                skipped, self._at = skipped + plain - self._at, plain
            # In windows: a string that does not end in its window is tried in vain, character by character.
            sign = (NEXT_QUOTE if in_string else NEXT_SIGN).match(self._text, self._at, self._at + WINDOW)
            found = sign[1] if sign is not None else ""
            if found == '"':
                in_string = not in_string
            elif found:
                depth += 1 if found in "{[" else -1
            end = sign.end() if sign is not None else len(self._text)
            stuck = not found and end in (self._at, len(self._text))
            skipped, self._at = skipped + end - self._at, end
            if skipped > MOST_SKIPPED_BYTES:
                raise UnbelievableAnswerError(
                    f"an object of the API's list is longer than {MOST_SKIPPED_BYTES} bytes: not believed"
                )
            if stuck and not self._more():
                raise ValueError("an object has no end")

    def members(self) -> Iterator[str]:
        """The keys of an object, after its ``{``; the caller takes each key's value."""
        for _ in self._entries("}"):
            key = self.value() if self.peek() == '"' else None
            if key is None or self.next() != ":":
                raise ValueError("a key and a colon were expected")
            yield str(key)

    def elements(self) -> Iterator[Any]:
        """The values of an array, from its ``[`` on."""
        self.next()
        for _ in self._entries("]"):
            yield self.element()

    def _entries(self, closing: str) -> Iterator[None]:
        found = self.peek()
        if found == closing:
            self.next()
        while found != closing:
            yield
            found = self.next()
            if found not in {",", closing}:
                raise ValueError(f"a comma or {closing} was expected")


def metadata_of(item: object) -> Mapping[str, Any]:
    """An object's metadata; {} if it has none."""
    if isinstance(item, Unread):
        return item.metadata
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return metadata if isinstance(metadata, dict) else {}


def uid_of(item: object) -> str:
    """The uid of an object that can't be read; "": not known."""
    uid = metadata_of(item).get("uid")
    return uid if isinstance(uid, str) else ""


def name_of(item: object) -> str:
    """The name of an object that can't be read."""
    metadata = metadata_of(item)
    known = f"pod {str(metadata.get('namespace'))[:253]}/{str(metadata.get('name'))[:253]}"
    return known if metadata else "an object without metadata"
