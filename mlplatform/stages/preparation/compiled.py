"""Plain Python written by the executors and compiled once: a feature set becomes one function.

A vector of a hundred features then costs no call and no look-up per feature. What is written comes from
declarations only, whose text enters as `repr`; nothing of a request or a file is ever compiled.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class Code:
    """The lines of one function, and the values that they name."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._names: dict[str, Any] = {}
        self._depth = 1
        self._made = 0
        self._once: dict[str, str] = {}
        self.floats: set[str] = set()
        """Names whose value is a float or None."""
        self.present: set[str] = set()
        """Names whose value is never None."""

    def add(self, line: str) -> None:
        """Append a statement at the present depth."""
        self._lines.append("    " * self._depth + line)

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        """Statements below `head:`."""
        self.add(f"{head}:")
        self._depth += 1
        yield
        self._depth -= 1

    def variable(self) -> str:
        """A name nobody has used."""
        self._made += 1
        return f"x{self._made}"

    def set(self, expression: str) -> str:
        """A new variable with that value."""
        name = self.variable()
        self.add(f"{name} = {expression}")
        return name

    def once(self, expression: str) -> str:
        """The same, but an expression met before keeps its variable: for what is set once, at no depth."""
        if expression not in self._once:
            self._once[expression] = self.set(expression)
        return self._once[expression]

    def unless_missing(self, parts: Sequence[str], source: str, *, certain: bool = True) -> str:
        """The variable of an expression that is None where a part is; `certain`: and nowhere else."""
        missing = " or ".join(f"{part} is None" for part in parts if part not in self.present)
        name = self.once(f"None if {missing} else {source}" if missing else source)
        if certain and not missing:
            self.present.add(name)
        return name

    def float_(self, name: str) -> str:
        """Note that a variable holds a float, or None."""
        self.floats.add(name)
        return name

    def constant(self, number: int | float) -> str:
        """A number as it is written."""
        name = f"({number!r})" if math.isfinite(number) else self.value(number)
        self.present.add(name)
        return self.float_(name) if type(number) is not int else name

    def value(self, value: Any) -> str:
        """A name for an object that the function uses; the same object has one name."""
        for name, known in self._names.items():
            if known is value:
                return name
        name = f"v{len(self._names)}"
        self._names[name] = value
        return name

    def function(self, arguments: str) -> Callable[..., Any]:
        """The function of these lines."""
        source = f"def compiled({arguments}):\n" + "\n".join(self._lines or ["    pass"])
        space: dict[str, Any] = dict(self._names)
        exec(compile(source, "<feature set>", "exec"), space)
        made: Callable[..., Any] = space["compiled"]
        return made


def tuple_of(parts: Sequence[str]) -> str:
    """The source of a tuple."""
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
