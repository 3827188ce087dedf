"""Python text read as syntax, by one thread at a time.

In CPython 3.11 two threads that do so at once disturb each other: SystemError, "AST constructor recursion depth mismatch"
(python/cpython#106905).
"""

import ast
import threading
from typing import Any

_reading = threading.Lock()


def parse(text: str) -> ast.Module:
    """The syntax tree of a module.  Raises SyntaxError, ValueError."""
    with _reading:
        return ast.parse(text)


def literal(text: str) -> Any:
    """The value that a literal stands for.  Raises as ast.literal_eval."""
    with _reading:
        return ast.literal_eval(text)
