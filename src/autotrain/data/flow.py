"""Whether a chat template only writes what turns say, and never looks at it.

Then what it writes around the contents depends on the roles alone, and can be found once for all conversations with the
same roles.  Proven on the template's syntax tree: each expression is followed from where it begins; whatever is
done with a content but to write it (after trimming, or beside other text) makes the answer no.
"""

from collections.abc import Sequence
from enum import Enum, auto

from jinja2 import nodes


class _Kind(Enum):
    FREE = auto()  # the same whatever the turns say
    CONTENT = auto()  # what a turn says
    TRIMMED = auto()  # the same, trimmed
    WRITTEN = auto()  # text in which contents stand
    MESSAGE = auto()
    MESSAGES = auto()


class _Unproven(Exception):
    """The template does something with a content that isn't writing it."""


_TEXTS = frozenset({_Kind.FREE, _Kind.CONTENT, _Kind.TRIMMED, _Kind.WRITTEN})
# Tests whose outcome is the same for any text.
_TESTS_OF_TYPE = frozenset(
    {"string", "mapping", "iterable", "sequence", "none", "defined", "undefined", "number", "boolean", "true", "false"}
)
_TESTS_OF_PRESENCE = frozenset({"none", "defined", "undefined", "mapping", "iterable", "string"})
_RANDOM = frozenset({"random", "map", "groupby", "attr", "selectattr", "rejectattr"})
_NEIGHBOURS = frozenset({"previtem", "nextitem", "changed", "cycle"})
_OF_DICTS = frozenset(dir(dict))
_HARMLESS = (nodes.Continue, nodes.Break)


def only_writes_contents(template: nodes.Template) -> bool:
    """Whether the outcome is the same for all conversations with the same roles but for the contents, written as they are.

    Messages have a role and a text for their content, and nothing else.
    """
    flow = _Flow()
    try:
        while True:
            before = dict(flow.names)
            flow.statements(template.body)
            if flow.names == before:
                return True
    except _Unproven:
        return False


class _Flow:
    def __init__(self) -> None:
        self.names: dict[str, _Kind] = {"messages": _Kind.MESSAGES}

    # Statements

    def statements(self, body: Sequence[nodes.Node]) -> None:
        for node in body:
            self._statement(node)

    def _statement(self, node: nodes.Node) -> None:
        if isinstance(node, nodes.Output):
            for part in node.nodes:
                self._need(part, _TEXTS)
        elif isinstance(node, nodes.If):
            self._free(node.test)
            for body in (node.body, node.elif_, node.else_):
                self.statements(body)
        elif isinstance(node, nodes.For):
            self._loop(node)
        elif isinstance(node, nodes.Assign):
            self._assign(node.target, self._kind(node.node))
        elif isinstance(node, nodes.ExprStmt):
            self._free(node.node)
        elif not isinstance(node, _HARMLESS):
            raise _Unproven

    def _loop(self, node: nodes.For) -> None:
        kind = self._kind(node.iter)
        if kind not in (_Kind.FREE, _Kind.MESSAGES) or node.recursive:
            raise _Unproven
        self._assign(node.target, _Kind.MESSAGE if kind is _Kind.MESSAGES else _Kind.FREE)
        if node.test is not None:
            self._free(node.test)
        self.statements(node.body)
        self.statements(node.else_)

    def _assign(self, target: nodes.Node, kind: _Kind) -> None:
        if isinstance(target, nodes.Name):
            known = self.names.get(target.name, kind)
            if known is not kind and {known, kind} - _TEXTS:
                raise _Unproven
            self.names[target.name] = kind if known is kind else _Kind.WRITTEN
        elif kind is not _Kind.FREE:
            raise _Unproven

    # Expressions

    def _need(self, node: nodes.Node, kinds: frozenset[_Kind]) -> _Kind:
        kind = self._kind(node)
        if kind not in kinds:
            raise _Unproven
        return kind

    def _free(self, node: nodes.Node) -> None:
        self._need(node, frozenset({_Kind.FREE}))

    def _kind(self, node: nodes.Node) -> _Kind:
        if isinstance(node, nodes.Name):
            return self.names.get(node.name, _Kind.FREE)
        if isinstance(node, nodes.Const | nodes.TemplateData):
            return _Kind.FREE
        if isinstance(node, nodes.Getitem):
            return self._item(node)
        if isinstance(node, nodes.Getattr):
            return self._attribute(node)
        if isinstance(node, nodes.Add):
            return self._joined([node.left, node.right])
        if isinstance(node, nodes.Concat):
            return self._joined(node.nodes)
        if isinstance(node, nodes.CondExpr):
            self._free(node.test)
            return self._joined([node.expr1, *([node.expr2] if node.expr2 else [])])
        if isinstance(node, nodes.Filter):
            return self._filter(node)
        if isinstance(node, nodes.Test):
            return self._test(node)
        return self._rest(node)

    def _joined(self, parts: list[nodes.Expr]) -> _Kind:
        kinds = {self._need(part, _TEXTS) for part in parts}
        return _Kind.FREE if kinds == {_Kind.FREE} else _Kind.WRITTEN

    def _item(self, node: nodes.Getitem) -> _Kind:
        of = self._kind(node.node)
        if of is _Kind.MESSAGES:
            if isinstance(node.arg, nodes.Slice):
                self._rest(node.arg)
                return _Kind.MESSAGES
            self._free(node.arg)
            return _Kind.MESSAGE
        if of is _Kind.MESSAGE and isinstance(node.arg, nodes.Const):
            return _Kind.CONTENT if node.arg.value == "content" else _Kind.FREE
        if of is not _Kind.FREE:
            raise _Unproven
        self._rest(node.arg) if isinstance(node.arg, nodes.Slice) else self._free(node.arg)
        return _Kind.FREE

    def _attribute(self, node: nodes.Getattr) -> _Kind:
        of = self._kind(node.node)
        if of is _Kind.MESSAGE and node.attr not in _OF_DICTS:
            return _Kind.CONTENT if node.attr == "content" else _Kind.FREE
        if of is not _Kind.FREE or node.attr in _NEIGHBOURS:
            raise _Unproven
        return _Kind.FREE

    def _filter(self, node: nodes.Filter) -> _Kind:
        kind = self._kind(node.node) if node.node else _Kind.FREE
        has_arguments = bool(node.args or node.kwargs or node.dyn_args or node.dyn_kwargs)
        if kind in (_Kind.CONTENT, _Kind.TRIMMED) and node.name == "trim" and not has_arguments:
            return _Kind.TRIMMED
        if kind is _Kind.MESSAGES and node.name in ("length", "count"):
            return _Kind.FREE
        if kind is _Kind.MESSAGES and node.name in ("first", "last"):
            return _Kind.MESSAGE
        if kind is not _Kind.FREE or node.name in _RANDOM:
            raise _Unproven
        return self._rest(node)

    def _test(self, node: nodes.Test) -> _Kind:
        kind = self._kind(node.node)
        if kind is _Kind.FREE:
            return self._rest(node)
        is_fixed = node.name in (_TESTS_OF_PRESENCE if kind in (_Kind.MESSAGE, _Kind.MESSAGES) else _TESTS_OF_TYPE)
        if not is_fixed:
            raise _Unproven
        return _Kind.FREE

    def _rest(self, node: nodes.Node) -> _Kind:
        """Any other expression: free if all its parts are."""
        known = (
            nodes.Compare, nodes.Operand, nodes.And, nodes.Or, nodes.Not, nodes.BinExpr, nodes.UnaryExpr, nodes.Call,
            nodes.Keyword, nodes.List, nodes.Tuple, nodes.Dict, nodes.Pair, nodes.Slice, nodes.Filter, nodes.Test,
        )  # fmt: skip
        if not isinstance(node, known):
            raise _Unproven
        for part in node.iter_child_nodes():
            self._free(part)
        return _Kind.FREE
