"""Secrets in command lines become ``***``, before anything is kept. Pure, and linear in the length of the text, whatever it is.

Redacts too much rather than too little: a value after a name such as password, token or key, the credentials of a URL, and text that
looks like a key or token by itself. Each built-in expression has bounded repeats before its last part: none can take long.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase

GONE = "***"
CUT = "…"  # what stands in place of an argument that was not read to its end
_WORDS = (
    r"pass(?!ive|enger)|pwd|secret|token(?!izer)|api[-_.]?key|access[-_.]?key|private[-_.]?key|(?<![a-z])key(?!space|board)|(?-i:(?<=[a-z])Key)|"
    r"(?:master|account|storage|shared|signing|encryption|license)key|credential|creds?\b|"
    r"(?<![a-z])auth(?!or\b|ors\b)|bearer|cookie|jwt|signature|(?<![a-z])(?:sig|sas|pat|pw|otp|salt|dsn)(?![a-z])"
)
_SECRET_NAME = re.compile(_WORDS, re.IGNORECASE)
_VALUE = r"""(?:"(?:[^"\\]|\\.)*+"?|'[^']*+'?|[^\s"'])++"""
# ``password=x``, ``"token": "x"``, ``--api-key x`` within one argument, such as a shell's script or a title that a program gave itself. A
# value may be the name of the next one (``Bearer "password": "x"``): so matches may overlap.
_NAMED = re.compile(
    rf"(?=(?:{_WORDS})[\w.\-]{{0,40}}[\"'\]}}]{{0,3}}(?:\s{{0,4}}[=:,]\s{{0,4}}|\s{{1,4}})({_VALUE}))", re.IGNORECASE
)
_SCHEME = re.compile(r"\b(?:Bearer|Basic|Digest|Negotiate)\s+(\S+)", re.IGNORECASE)
_URL_LOGIN = re.compile(r"://(\S*)@")  # up to the last @: a password may have @ and / in it
_LOGIN_OPTION = re.compile(r"(?:-u|-U|--user|--proxy-user|--userpwd)\Z")
_LOGIN = re.compile(r"(?:^|\s)(?:-u|-U|--user|--proxy-user|--userpwd)[=\s]{0,4}[^\s:]{0,64}:(\S+)")
_SHORT = re.compile(r"(?:^|(?<=\s))-(?:p|pw|a|w)\s{1,4}(?![/.]|\d{1,5}(?:\s|$))(\S+)")
_TOKENS = re.compile(
    r"(eyJ[\w\-]{6,}(?:\.[\w\-]*)*"  # JSON Web Token
    r"|(?:AKIA|ASIA|ABIA|ACCA|AROA|AIDA)[A-Z0-9]{8,}"  # AWS
    r"|(?:gh[pousr]_|github_pat_|glpat-|gl[a-z]{2,6}-|xox[a-z]-|xapp-|sk-|sk_|rk_|pk_|hf_|npm_|pypi-|AIza|ya29\.|SG\.|dop_v1_|shpat_|hvs\.|"
    r"eyJ|AGE-SECRET-KEY-)[\w.\-]{8,}"
    r"|-----BEGIN[\s\S]*)",
)
_LONG = re.compile(r"[A-Za-z0-9+/=_\-]{24,}")
_HEX = re.compile(r"[0-9a-fA-F]{32,}")
_ATTACHED_P = re.compile(r"(?:^|[\s/;&|(])(?:mysql|mariadb|sshpass|mongo|7z)")  # programs with ``-pPASSWORD``
_ATTACHED = re.compile(r"\s-p(\S+)")
_SPANS = (_NAMED, _SCHEME, _URL_LOGIN, _LOGIN, _SHORT, _TOKENS)
_FEW, _MANY = 24, 32  # characters of a run of base64 that must have two digits, or one


class Redaction:
    """``patterns``: globs, case-insensitive, besides the built-in rules. One that matches an argument replaces all of it; one that matches
    a name (``--NAME x``, ``--NAME=x``, ``NAME=x``) the value.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = tuple(pattern.lower() for pattern in patterns)

    def arguments(self, arguments: Sequence[str]) -> list[str]:
        """As many arguments, without secrets. The same again changes nothing."""
        shown: list[str] = []
        attached_p = False
        before = ""
        for number, argument in enumerate(arguments):
            hidden = number > 0 and self._hides_next(before, argument)
            if hidden:
                shown.append(GONE)
            elif number and attached_p and argument.startswith("-p") and len(argument) > 2:
                shown.append("-p" + GONE)
            else:
                shown.append(self._argument(argument, after=before))
            attached_p = attached_p or _ATTACHED_P.search(argument) is not None
            before = "" if hidden else argument
        return shown

    def _hides_next(self, option: str, argument: str) -> bool:
        """Whether ``argument`` is the value of this option, and a secret."""
        if not option.startswith("-") or "=" in option:
            return False
        if option in ("-p", "-pw", "-a", "-w"):  # a port, a number and a path are no passwords
            return not (argument.startswith(("/", ".", "-")) or (argument.isdecimal() and len(argument) <= 5))
        name = option.lstrip("-")
        return not any(map(str.isspace, option)) and self._is_secret(name)

    def _is_secret(self, name: str) -> bool:
        return _SECRET_NAME.search(name) is not None or self._matches(name)

    def _matches(self, text: str) -> bool:
        lower = text.lower()
        return any(fnmatchcase(lower, pattern) for pattern in self._patterns)

    def _argument(self, argument: str, after: str) -> str:
        if argument in (GONE, CUT):
            return argument
        name, is_named, _ = argument.partition("=")
        if is_named and not any(map(str.isspace, name)) and "://" not in name and self._is_secret(name.lstrip("-")):
            return f"{name}={GONE}"
        if self._matches(argument) and not argument.startswith("-"):  # the name of an option may be shown
            return GONE
        if _LOGIN_OPTION.match(after) and ":" in argument:
            return f"{argument.partition(':')[0]}:{GONE}"
        return _HEX.sub(GONE, _LONG.sub(_unless_a_name, _without_secrets(argument)))


def _without_secrets(text: str) -> str:
    """Each rule looks at the whole text: what one hides may be what another needs to find the next secret."""
    rules = (*_SPANS, _ATTACHED) if _ATTACHED_P.search(text) else _SPANS
    shown, end = [], 0
    for begin, until in sorted(match.span(1) for rule in rules for match in rule.finditer(text)):
        if begin > end or (begin == end == 0):
            shown += [text[end:begin], GONE]
        end = max(end, until)
    return "".join((*shown, text[end:]))


def _unless_a_name(run: re.Match[str]) -> str:
    """A run of base64 is hidden where it mixes capitals, small letters and digits, as keys do and names and paths rarely do."""
    text = run[0]
    if text.startswith("/"):
        return "/".join(GONE if _is_random(part) else part for part in text.split("/"))
    return GONE if _is_random(text) else text


def _is_random(text: str) -> bool:
    digits = sum(map(str.isdigit, text))
    mixed = text.lower() != text and text.upper() != text
    return mixed and ((len(text) >= _FEW and digits > 1) or (len(text) >= _MANY and digits > 0))
