"""Read and write graphs in Graphviz's DOT language, and read those of DAGitty.

DAGitty's language is DOT with another first word (``dag { x -> y; u [latent] }``), arrows in both
directions, and marks for exposure, outcome and hidden nodes. One parser reads both.

The parser is our own. pydot 4.0, the usual library, keeps no line numbers, stops at the first
syntax error and prints it instead of raising it, ignores text after the closing brace, and reads
``a <-> b``, the common form of a bidirected edge, as three nodes. Here every problem of a file is
listed with its line, and 5,000 edges are read in well under a second (pydot: 40 seconds).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote

from mmm_bayes.causal.graph.checks import Pair
from mmm_bayes.causal.graph.raw_graph import is_marked_hidden

_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/|^\#[^\n]*)
      | (?P<arrow><->|->|<-|--|@->|<-@|@-@|@--|--@)
      | (?P<mark>[{}\[\];,=:])
      | "(?P<quoted>(?:[^"\\]|\\.)*)"
      | (?P<plain>\w(?:[\w.]|%[0-9A-Fa-f]{2})*|-?(?:\.\d+|\d+(?:\.\d*)?))""",
    re.VERBOSE | re.DOTALL | re.MULTILINE,
)
_PLAIN = re.compile(r"[^\W\d]\w*")
_DEEPEST = 100  # groups within groups; Python's own limit of recursion is not reached
_WORDS = ("strict", "graph", "digraph", "node", "edge", "subgraph")
_CLASSES = ("pdag", "mag", "pag")
# Marks of nodes in DAGitty, with the roles that they mean in a media-mix model.
_ROLE_MARKS = {"exposure": "channel", "e": "channel", "outcome": "target", "o": "target"}


@dataclass(frozen=True)
class Token:
    """A name (quoted or not) or a sign, with its line."""

    text: str
    line: int
    kind: str

    def is_sign(self, *signs: str) -> bool:
        """Whether this is one of the signs, not a quoted name that looks like one."""
        return self.kind in ("arrow", "mark") and self.text in signs

    def is_word(self, *words: str) -> bool:
        """Whether this is one of the language's words; they may be in capitals."""
        return self.kind == "plain" and self.text.lower() in words


@dataclass
class ParsedDot:
    """Names in order of appearance, pairs and roles with their lines, and problems."""

    nodes: list[str] = field(default_factory=list)
    edges: list[tuple[Pair, int]] = field(default_factory=list)
    bidirected: list[tuple[Pair, int]] = field(default_factory=list)
    roles: dict[str, tuple[str, int]] = field(default_factory=dict)
    latent: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class _Unreadable(Exception):
    """A statement cannot be read; reading goes on with the next one."""


class _TooDeep(Exception):
    """Groups are nested too deeply to read the file at all."""


def parse_dot(text: str) -> ParsedDot:
    """Read ``digraph { .. }`` or ``dag { .. }``: chains, groups, nodes, quoted names, comments.

    ``a <-> b`` (not part of Graphviz, but common) and ``a -> b [dir=both]`` are bidirected, and
    ``b <- a`` is ``a -> b``. A node marked ``[latent]`` (or ``[unobserved]``, ``[observed=no]``) is
    hidden, ``[exposure]`` is a channel and ``[outcome]`` the target. Other attributes are ignored,
    except that those which would change the meaning of an edge are refused. Words next to each
    other on a line are refused, because ``TV spend -> sales`` is two statements to Graphviz and one
    edge to whoever wrote it; only a group of single names, ``{a b}``, separates them by spaces.
    A statement that cannot be read becomes a problem with its line, and the rest is still read.
    """
    parser = _Parser(text)
    parser.graph()
    parser.found.nodes = list(dict.fromkeys(parser.found.nodes))
    parser.found.latent = list(dict.fromkeys(parser.found.latent))
    parser.found.problems = list(dict.fromkeys(parser.found.problems))
    return parser.found


def dot_text(
    nodes: Sequence[str],
    edges: Sequence[Pair],
    bidirected: Sequence[Pair],
    roles: Sequence[tuple[str, str]] = (),
) -> str:
    """Write a graph as Graphviz draws it: nodes, then edges, bidirected ones with two heads."""
    attributes = {name: f" [role={role}]" for name, role in roles}
    lines = [f"  {_quoted(name)}{attributes.get(name, '')};" for name in nodes]
    lines += [f"  {_quoted(cause)} -> {_quoted(effect)};" for cause, effect in edges]
    lines += [f"  {_quoted(one)} -> {_quoted(other)} [dir=both];" for one, other in bidirected]
    return "\n".join(["digraph {", *lines, "}"]) + "\n"


def _quoted(name: str) -> str:
    if _PLAIN.fullmatch(name) and name.lower() not in _WORDS:
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _tokens(text: str, problems: list[str]) -> Iterator[Token]:
    at, line = 0, 1
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None:
            if text.startswith('"', at) or text.startswith("/*", at):
                problems.append(
                    f"line {line}: a quoted name or comment begins here and has no end."
                )
                return
            problems.append(
                f"line {line}: {text[at]!r} cannot stand here; put names with spaces or signs in "
                'double quotes ("paid search").'
            )
            at += 1
            # The characters up to the next space belong to the same name.
            at += len(re.match(r"[^\s;{}\[\]]*", text[at:]).group())  # type: ignore[union-attr]
            yield Token("", line, "unreadable")
            continue
        kind = str(found.lastgroup)
        if kind == "quoted":
            yield Token(re.sub(r'\\(["\\])', r"\1", found["quoted"]), line, kind)
        elif kind == "plain":
            # DAGitty writes a space in a name as %20.
            yield Token(unquote(found[kind]), line, kind)
        elif kind != "space":
            yield Token(found[kind], line, kind)
        line += found[0].count("\n")
        at = found.end()
    yield Token("", line, "end")


class _Parser:
    """Recursive descent parser, with one method per rule of the language."""

    def __init__(self, text: str) -> None:
        self.found = ParsedDot()
        self.tokens = list(_tokens(text, self.found.problems))
        if not self.tokens or self.tokens[-1].kind != "end":
            self.tokens.append(Token("", 1 + text.count("\n"), "end"))
        self.at = 0
        self.depth = 0

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def step(self) -> Token:
        token = self.token
        self.at += token.kind != "end"
        return token

    def fail(self, expected: str) -> None:
        token = self.token
        if token.kind != "unreadable":  # that one is already among the problems
            found = "the end of the file" if token.kind == "end" else repr(token.text)
            self.found.problems.append(
                f"line {token.line}: expected {expected}, but found {found}."
            )
        raise _Unreadable

    def graph(self) -> None:
        try:
            if self.token.is_word("strict"):
                self.step()
            if self.token.is_word(*_CLASSES):
                self.found.problems.append(
                    f"line {self.token.line}: {self.token.text!r} is a class of graphs, which does "
                    "not say of every edge which node is the cause: choose one graph of it, and "
                    "write dag { .. }."
                )
                return
            if not self.token.is_word("digraph", "dag"):
                self.fail("'digraph { tv -> sales }'")
            self.step()
            if self.token.kind in ("plain", "quoted"):
                self.step()
            if not self.token.is_sign("{"):
                self.fail("'{' after digraph")
            self.group()
            if self.token.kind != "end":
                self.fail("nothing after the graph's closing '}' (one graph per file)")
        except (_Unreadable, _TooDeep):
            return

    def group(self) -> list[str]:
        """Read ``{ statements }`` and return the nodes named in it."""
        opened = self.step()
        self.depth += 1
        if self.depth > _DEEPEST:
            self.found.problems.append(
                f"line {opened.line}: more than {_DEEPEST} groups are nested in each other; "
                "write fewer braces."
            )
            raise _TooDeep
        names: list[str] = []
        while not self.token.is_sign("}"):
            if self.token.kind == "end":
                self.fail(f"'}}' to close the '{{' of line {opened.line}")
            try:
                names += self.statement()
            except _Unreadable:
                self.skip()
        self.step()
        self.depth -= 1
        return names

    def skip(self) -> None:
        """Skip to the next statement: after a semicolon, or on a new line."""
        line = self.token.line
        while self.token.kind != "end" and not self.token.is_sign("}"):
            if self.token.line > line:
                return
            if self.step().is_sign(";"):
                return

    def statement(self) -> list[str]:
        if self.token.is_sign(";", ","):
            self.step()
            return []
        if self.token.is_word("graph", "node", "edge"):
            self.defaults()
            return []
        if self.depth > 1 and (names := self.listed()):
            return names
        ends = [self.endpoint()]
        if self.token.is_sign("="):  # a setting of the graph, e.g. rankdir=LR
            self.found.nodes.pop()
            self.step()
            self.step()
            return []
        arrows: list[Token] = []
        while self.token.kind == "arrow":
            arrows.append(self.step())
            ends.append(self.endpoint())
        attributes = self.attributes()
        names = [name for end in ends for name in end]
        if arrows:
            self.chain(ends, arrows, attributes)
        else:
            self.mark(names, attributes)
        return names

    def listed(self) -> list[str]:
        """Read the rest of a group if it is a list of names separated by spaces, ``{a b}``."""
        end = self.at
        while self.tokens[end].kind in ("plain", "quoted"):
            end += 1
        names = self.tokens[self.at : end]
        if not self.tokens[end].is_sign("}") or any(name.is_word(*_WORDS) for name in names):
            return []
        if self.tokens[self.at - 1].is_sign(";", ",") and self.tokens[self.at - 1].line == (
            self.token.line
        ):
            return []  # {price, TV spend} separates names by commas
        self.at = end
        self.found.nodes += [name.text for name in names]
        return [name.text for name in names]

    def defaults(self) -> None:
        """Read attributes of all later statements; they may not change directions of edges."""
        word = self.step()
        attributes = self.attributes()
        if attributes.get("dir", "forward") != "forward" and word.is_word("edge"):
            self.found.problems.append(
                f"line {word.line}: edge [dir=..] for all edges is not read: write [dir=both] on "
                "each bidirected edge."
            )
        if word.is_word("node") and is_marked_hidden(attributes):
            self.found.problems.append(
                f"line {word.line}: node [latent] for all nodes is not read: write [latent] after "
                "each hidden node."
            )

    def endpoint(self) -> list[str]:
        """Read a node, or a group of nodes."""
        if self.token.is_word("subgraph"):
            self.step()
            if self.token.kind in ("plain", "quoted"):
                self.step()
        if self.token.is_sign("{"):
            return self.group()
        if self.token.kind not in ("plain", "quoted") or self.token.is_word(*_WORDS):
            self.fail("a node's name or a group '{a b}'")
        first = self.at
        name = self.step()
        while self.token.is_sign(":"):  # where an edge is drawn to, e.g. sales:n
            self.step()
            self.step()
        if self.is_word_after(name):
            self.spaced(first)
        self.found.nodes.append(name.text)
        return [name.text]

    def is_word_after(self, name: Token) -> bool:
        """Whether a further name follows on the same line, with nothing in between."""
        after = self.token
        if after.kind not in ("plain", "quoted") or after.is_word(*_WORDS):
            return False
        return after.line == name.line and "plain" in (name.kind, after.kind)

    def spaced(self, first: int) -> None:
        """Refuse words next to each other, and go on after them."""
        last = first + 1
        while self.tokens[last].kind in ("plain", "quoted"):
            if self.tokens[last].line != self.tokens[first].line:
                break
            last += 1
        words = [token.text for token in self.tokens[first:last]]
        name = " ".join(words)
        self.at = last
        self.found.problems.append(
            f"line {self.tokens[first].line}: {name!r} without quotes could be one node or "
            f"{len(words)} nodes: write {_quoted(name)} for one name, or put a semicolon between "
            "nodes."
        )
        raise _Unreadable

    def attributes(self) -> dict[str, str]:
        found: dict[str, str] = {}
        while self.token.is_sign("["):
            self.step()
            while not self.token.is_sign("]"):
                if self.token.is_sign(",", ";"):
                    self.step()
                    continue
                if self.token.kind not in ("plain", "quoted"):
                    self.fail("an attribute such as dir=both, or ']'")
                key = self.step().text
                found[key.lower()] = ""
                if self.token.is_sign("="):
                    self.step()
                    found[key.lower()] = self.step().text
            self.step()
        return found

    def chain(self, ends: list[list[str]], arrows: list[Token], attributes: dict[str, str]) -> None:
        direction = attributes.get("dir", "forward").lower()
        for left, arrow, right in zip(ends[:-1], arrows, ends[1:], strict=True):
            known = arrow.text in ("->", "<-", "<->")
            if not known or direction not in ("forward", "both"):
                found = f"[dir={direction}]" if known else repr(arrow.text)
                self.found.problems.append(
                    f"line {arrow.line}: {found} does not say which node is the cause: write "
                    "a -> b, or a <-> b for a hidden common cause."
                )
                continue
            both = arrow.text == "<->" or direction == "both"
            pairs = self.found.bidirected if both else self.found.edges
            causes, effects = (right, left) if arrow.text == "<-" else (left, right)
            pairs += [((a, b), arrow.line) for a in causes for b in effects]

    def mark(self, names: list[str], attributes: dict[str, str]) -> None:
        """Keep what the attributes of nodes say: that they are hidden, or their role."""
        if is_marked_hidden(attributes):
            self.found.latent += names
        roles = [_ROLE_MARKS[mark] for mark in attributes if mark in _ROLE_MARKS]
        if role := attributes.get("role", roles[0] if roles else None):
            line = self.tokens[self.at - 1].line
            self.found.roles |= {name: (role, line) for name in names}
