"""CEL as the API server has it: Google's evaluator, with optionals, strings and Kubernetes' quantities.

Of the quantities' library (k8s.io/apiserver pkg/cel/library/quantity.go) there is what compares. What an expression costs is not known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from cel_expr_python import cel
from cel_expr_python.ext import ext_optional, ext_strings
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from tests.lab import quantity

STRING = descriptor_pb2.FieldDescriptorProto.TYPE_STRING
QUANTITY = "kubernetes.Quantity"


class CelError(Exception):
    """The expression can't be compiled, or has no value."""


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled expression; ``type`` is that of its value."""

    text: str
    compiled: Any

    @property
    def type(self) -> Any:
        return self.compiled.return_type()

    def __call__(self, data: Mapping[str, Any]) -> Any:
        """Its value. Raises CelError."""
        found = self.compiled.eval(data=data)
        if found.type() in (cel.Type.ERROR, cel.Type.UNKNOWN):
            raise CelError(f"expression '{self.text}' resulted in error: {found.value()}")
        return found.plain_value()


class Environment:
    """What expressions may name. ``types``: of the variables; a name may have dots."""

    def __init__(self, types: Mapping[str, Any], pool: Any = None) -> None:
        pool = descriptor_pool.DescriptorPool() if pool is None else pool
        self._env = cel.NewEnv(
            pool,
            variables=dict(types),
            extensions=[ext_optional.ExtOptional(), ext_strings.ExtStrings()],
            functions=_functions(pool),
        )

    def compile(self, text: str) -> Program:
        """Raises CelError for what is not declared, and for functions that don't take what they are given."""
        try:
            return Program(text, self._env.compile(text))
        except RuntimeError as error:
            raise CelError(str(error)) from error


def _functions(pool: Any) -> list[Any]:
    """Of quantities, which are messages here, since a type of Python's own is none of CEL's."""
    file = descriptor_pb2.FileDescriptorProto(name="quantity.proto", package="kubernetes", syntax="proto3")
    file.message_type.add(name="Quantity").field.add(name="text", number=1, type=STRING, label=1)
    pool.Add(file)
    made, kind = message_factory.GetMessageClass(pool.FindMessageTypeByName(QUANTITY)), cel.Type(QUANTITY)

    def function(name: str, takes: list[Any], gives: Any, run: Callable[..., Any], member: bool = False) -> Any:
        return cel.FunctionDecl(name, [cel.Overload(name, gives, takes, member, run)])

    def compared(one: Any, other: Any) -> int:
        a, b = quantity.parse(one.text), quantity.parse(other.text)
        return (a > b) - (a < b)

    def read(text: str) -> Any:
        quantity.parse(text)
        return made(text=text)

    two = [kind, kind]
    return [
        function("quantity", [cel.Type.STRING], kind, read),
        function("isQuantity", [cel.Type.STRING], cel.Type.BOOL, _is_quantity),
        function("compareTo", two, cel.Type.INT, compared, member=True),
        function("isGreaterThan", two, cel.Type.BOOL, lambda a, b: compared(a, b) > 0, member=True),
        function("isLessThan", two, cel.Type.BOOL, lambda a, b: compared(a, b) < 0, member=True),
    ]


def _is_quantity(text: str) -> bool:
    try:
        quantity.parse(text)
    except ValueError:
        return False
    return True


@cache
def untyped(*names: str) -> Environment:
    """Values of any type, as the API server evaluates policies: objects are maps."""
    return Environment(dict.fromkeys(names, cel.Type.DYN))
