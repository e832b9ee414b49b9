"""A small compiler for URScript: text -> the syntax tree of Python generator functions that yield once per cycle.

What is understood: `def`, `thread`, `while`, `if/elif/else`, `return`, `break`, `continue`, `halt`, `global`/`local`,
assignment to names and list elements, numbers, booleans, strings, lists, poses `p[...]`, arithmetic, comparison, `and`,
`or`, `xor`, `not`, calls with positional and keyword arguments, `run`, `join`, `kill`, critical sections, comments.

The tree is built node by node out of a fixed set, every name of the script gets a prefix, and it runs without Python's
builtins, so a script can reach nothing but its own variables and the functions of the virtual controller.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection
from dataclasses import dataclass

from hardware.errors import RobostackError

USER, BUILTIN = "u_", "b_"
"""Prefixes that keep the names of the script and of the controller apart."""
FILENAME = "<urscript>"
"""File name that tracebacks show for compiled scripts."""
MAIN = "main"
"""Name of the generator function that runs a compiled script."""

_TOKEN = re.compile(
    r"(?P<space>[ \t\r]+|#[^\n]*)|(?P<newline>\n|;)|(?P<number>\d+\.?\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?)"
    r'|(?P<name>[A-Za-z_]\w*)|(?P<string>"[^"\n]*")|(?P<op>==|!=|<=|>=|[-+*/%<>=()\[\],:])|(?P<bad>.)'
)
_COMPARE: dict[str, type[ast.cmpop]] = {
    "==": ast.Eq, "!=": ast.NotEq, "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE,
}  # fmt: skip
_ADD: dict[str, type[ast.operator]] = {"+": ast.Add, "-": ast.Sub}
_MULTIPLY: dict[str, type[ast.operator]] = {"*": ast.Mult, "/": ast.Div, "%": ast.Mod}
_KEYWORDS = frozenset((
    "def", "thread", "sec", "while", "if", "elif", "else", "end", "return", "break", "continue", "halt", "global",
    "local", "and", "or", "xor", "not", "True", "False", "run", "join", "kill", "enter_critical", "exit_critical",
))  # fmt: skip


class ScriptError(RobostackError):
    """A script that the controller refuses, or that fails while it runs."""

    def __init__(self, message: str, line: int) -> None:
        self.line = line
        super().__init__(f"line {line}: {message}")


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


def _tokens(text: str) -> list[_Token]:
    """Split `text`; line ends inside brackets do not count."""
    tokens: list[_Token] = []
    line, depth = 1, 0
    for match in _TOKEN.finditer(text):
        kind, word = str(match.lastgroup), match.group()
        if kind == "bad":
            raise ScriptError(f"unexpected character {word!r}", line)
        if kind == "op":
            depth += (word in "([") - (word in ")]")
        if kind != "space" and not (kind == "newline" and depth > 0):
            tokens.append(_Token(kind, word, line))
        line += word == "\n"
    return [*tokens, _Token("newline", "\n", line), _Token("end", "end of script", line)]


class _Parser:
    """Recursive descent over the tokens of one script."""

    def __init__(self, text: str, plain: Collection[str], blocking: Collection[str]) -> None:
        self.tokens, self.at = _tokens(text), 0
        self.plain, self.blocking = plain, blocking
        pairs = list(zip(self.tokens, self.tokens[1:], strict=False))
        self.functions = {after.text for word, after in pairs if word.text in ("def", "thread", "sec")}
        self.globals = {after.text for word, after in pairs if word.text == "global" and word.kind == "name"}
        self.in_function, self.in_loop = 0, 0

    # --- tokens

    @property
    def now(self) -> _Token:
        return self.tokens[self.at]

    def next(self) -> _Token:
        token = self.now
        self.at += token.kind != "end"
        return token

    def take(self, text: str) -> bool:
        """Consume the next token if it reads `text`."""
        if self.now.text != text or self.now.kind == "string":
            return False
        self.next()
        return True

    def expect(self, text: str) -> None:
        if not self.take(text):
            raise ScriptError(f"expected {text!r} but found {self.now.text!r}", self.now.line)

    def name(self) -> str:
        token = self.next()
        if token.kind != "name" or token.text in _KEYWORDS:
            raise ScriptError(f"expected a name but found {token.text!r}", token.line)
        return token.text

    def end_of_line(self) -> None:
        if self.now.kind not in ("newline", "end"):
            raise ScriptError(f"unexpected {self.now.text!r}", self.now.line)

    # --- statements

    def script(self) -> tuple[str, ast.Module]:
        """The whole text: one `def`, or single statements. Returns its name and the module."""
        body = self.block(())
        if self.now.kind != "end":
            raise ScriptError(f"{self.now.text!r} without a block", self.now.line)
        title = "unnamed"
        if len(body) == 1 and isinstance(body[0], ast.FunctionDef):
            title = body[0].name.removeprefix(USER)
            body = [*body, ast.Expr(_yield_from(ast.Call(_load(body[0].name), [], [])))]
        main = self.function(MAIN, [], body)
        return title, ast.fix_missing_locations(ast.Module([main], []))

    def block(self, ends: tuple[str, ...]) -> list[ast.stmt]:
        """Statements up to one of the words `ends`, which is left for the caller."""
        body: list[ast.stmt] = []
        while True:
            while self.now.kind == "newline":
                self.next()
            if self.now.kind == "end" or (self.now.kind == "name" and self.now.text in (*ends, "end")):
                return body
            line = self.now.line
            for statement in self.statement():
                for node in ast.walk(statement):
                    if "lineno" in node._attributes and not hasattr(node, "lineno"):
                        node.lineno = node.end_lineno = line  # type: ignore[attr-defined]
                        node.col_offset = node.end_col_offset = 0  # type: ignore[attr-defined]
                body.append(statement)
            self.end_of_line()

    def statement(self) -> list[ast.stmt]:
        token = self.now
        if token.kind == "name" and token.text in _KEYWORDS:
            handler = getattr(self, f"_{token.text}", None)
            if handler is not None:
                self.next()
                result: list[ast.stmt] = handler(token)
                return result
        return self.simple()

    def simple(self) -> list[ast.stmt]:
        """An assignment or a call."""
        target = self.expression()
        if not self.take("="):
            return [ast.Expr(target)]
        if isinstance(target, ast.Name | ast.Subscript):
            target.ctx = ast.Store()
            return [ast.Assign([target], self.value())]
        raise ScriptError("only a name or a list element can be assigned to", self.now.line)

    def value(self) -> ast.expr:
        """An expression whose lists are copied, because URScript passes lists by value."""
        value = self.expression()
        return self.call("copy", value) if isinstance(value, ast.Name | ast.Subscript) else value

    def _global(self, token: _Token) -> list[ast.stmt]:
        name = self.name()
        if not self.take("="):
            return [ast.Pass()]
        return [ast.Assign([ast.Name(USER + name, ast.Store())], self.value())]

    _local = _global

    def _def(self, token: _Token) -> list[ast.stmt]:
        name, parameters = self.name(), []
        self.expect("(")
        while not self.take(")"):
            parameters.append(self.name())
            if self.now.text != ")":
                self.expect(",")
        self.expect(":")
        loops, self.in_loop = self.in_loop, 0
        self.in_function += 1
        body = self.block(())
        self.in_function -= 1
        self.in_loop = loops
        self.expect("end")
        return [self.function(USER + name, parameters, body)]

    _thread = _def

    def _sec(self, token: _Token) -> list[ast.stmt]:
        raise ScriptError("secondary programs ('sec') are not supported by this controller", token.line)

    def _while(self, token: _Token) -> list[ast.stmt]:
        test = self.truth(self.expression())
        self.expect(":")
        self.in_loop += 1
        body = self.block(())
        self.in_loop -= 1
        self.expect("end")
        return [ast.While(test, [ast.Expr(self.call("spin")), *body], [])]

    def _if(self, token: _Token) -> list[ast.stmt]:
        test = self.truth(self.expression())
        self.expect(":")
        body = self.block(("elif", "else")) or [ast.Pass()]
        if self.take("elif"):
            return [ast.If(test, body, self._if(token))]
        rest: list[ast.stmt] = []
        if self.take("else"):
            self.expect(":")
            rest = self.block(())
        self.expect("end")
        return [ast.If(test, body, rest)]

    def _return(self, token: _Token) -> list[ast.stmt]:
        if not self.in_function:
            raise ScriptError("'return' outside a function", token.line)
        return [ast.Return(None if self.now.kind in ("newline", "end") else self.value())]

    def _break(self, token: _Token) -> list[ast.stmt]:
        if not self.in_loop:
            raise ScriptError(f"{token.text!r} outside a loop", token.line)
        return [ast.Break() if token.text == "break" else ast.Continue()]

    _continue = _break

    def _halt(self, token: _Token) -> list[ast.stmt]:
        if self.take("("):
            self.expect(")")
        return [ast.Expr(self.call("halt"))]

    def _kill(self, token: _Token) -> list[ast.stmt]:
        return [ast.Expr(self.call("kill", self.expression()))]

    def _join(self, token: _Token) -> list[ast.stmt]:
        return [ast.Expr(_yield_from(self.call("join", self.expression())))]

    def _enter_critical(self, token: _Token) -> list[ast.stmt]:
        # Threads here change only where they wait for the next cycle, so that every section is critical.
        return [ast.Pass()]

    _exit_critical = _enter_critical

    # --- expressions, loosest binding first

    def expression(self) -> ast.expr:
        left = self.exclusive()
        while self.take("or"):
            left = ast.BoolOp(ast.Or(), [self.truth(left), self.truth(self.exclusive())])
        return left

    def exclusive(self) -> ast.expr:
        left = self.conjunction()
        while self.take("xor"):
            left = ast.Compare(self.truth(left), [ast.NotEq()], [self.truth(self.conjunction())])
        return left

    def conjunction(self) -> ast.expr:
        left = self.negation()
        while self.take("and"):
            left = ast.BoolOp(ast.And(), [self.truth(left), self.truth(self.negation())])
        return left

    def negation(self) -> ast.expr:
        if self.take("not"):
            return ast.UnaryOp(ast.Not(), self.truth(self.negation()))
        left = self.binary(_ADD)
        if self.now.kind == "op" and self.now.text in _COMPARE:
            operator = _COMPARE[self.next().text]()
            return ast.Compare(left, [operator], [self.binary(_ADD)])
        return left

    def binary(self, operators: dict[str, type[ast.operator]]) -> ast.expr:
        def operand() -> ast.expr:
            return self.binary(_MULTIPLY) if operators is _ADD else self.unary()

        left = operand()
        while self.now.kind == "op" and self.now.text in operators:
            operator = operators[self.next().text]()
            left = ast.BinOp(left, operator, operand())
        return left

    def unary(self) -> ast.expr:
        if self.take("-"):
            return ast.UnaryOp(ast.USub(), self.unary())
        return self.unary() if self.take("+") else self.postfix()

    def postfix(self) -> ast.expr:
        value = self.atom()
        while self.take("["):
            value = ast.Subscript(value, self.call("index", self.expression()), ast.Load())
            self.expect("]")
        return value

    def atom(self) -> ast.expr:
        token = self.next()
        if token.kind == "number":
            return ast.Constant(int(token.text) if token.text.isdigit() else float(token.text))
        if token.kind == "string":
            return ast.Constant(token.text[1:-1])
        if token.text == "(":
            value = self.expression()
            self.expect(")")
            return value
        if token.text == "[":
            return self.call("list", ast.List(self.elements(), ast.Load()))
        if token.kind != "name" or (token.text in _KEYWORDS and token.text not in ("True", "False", "run")):
            raise ScriptError(f"expected a value but found {token.text!r}", token.line)
        if token.text in ("True", "False"):
            return ast.Constant(token.text == "True")
        if token.text == "run":
            return self.run()
        if token.text == "p" and self.now.text == "[":
            return self.pose()
        return self.invoke(token) if self.take("(") else _load(USER + token.text)

    def elements(self) -> list[ast.expr]:
        values: list[ast.expr] = []
        while not self.take("]"):
            values.append(self.expression())
            if self.now.text != "]":
                self.expect(",")
        return values

    def pose(self) -> ast.expr:
        """`p[x, y, z, rx, ry, rz]`, or an element of a variable that is called p."""
        self.expect("[")
        values = self.elements()
        if len(values) == 1:
            return ast.Subscript(_load(USER + "p"), self.call("index", values[0]), ast.Load())
        return self.call("pose", ast.List(values, ast.Load()))

    def run(self) -> ast.expr:
        """`run name(...)`: the generator of a thread, handed to the program unstarted."""
        line, started = self.now.line, self.atom()
        if isinstance(started, ast.YieldFrom) and isinstance(started.value.func, ast.Name):  # type: ignore[attr-defined]
            return self.call("run", started.value)
        raise ScriptError("'run' needs a call of a thread", line)

    def invoke(self, token: _Token) -> ast.expr:
        name, positional, keywords = token.text, [], []
        known = name in self.functions
        prefix = USER if known else BUILTIN
        while not self.take(")"):
            if self.now.kind == "name" and self.tokens[self.at + 1].text == "=":
                word = self.name()
                self.expect("=")
                keywords.append(ast.keyword((prefix if known else "") + word, self.value()))
            else:
                positional.append(self.value())
            if self.now.text != ")":
                self.expect(",")
        if not known and name not in self.plain and name not in self.blocking:
            raise ScriptError(f"function '{name}' is not known to this controller", token.line)
        call = ast.Call(_load(prefix + name), positional, keywords)
        return call if not known and name in self.plain else _yield_from(call)

    # --- nodes

    def call(self, helper: str, *arguments: ast.expr) -> ast.Call:
        return ast.Call(_load(f"{BUILTIN}{helper}"), list(arguments), [])

    def truth(self, value: ast.expr) -> ast.expr:
        """A condition; URScript takes only booleans."""
        return value if isinstance(value, ast.Compare | ast.BoolOp) else self.call("truth", value)

    def function(self, name: str, parameters: list[str], body: list[ast.stmt]) -> ast.FunctionDef:
        """A generator function. Names that the script calls global anywhere are global everywhere, as on the robot."""
        shared = sorted(self.globals - set(parameters))
        head: list[ast.stmt] = [ast.Global([USER + word for word in shared])] if shared else []
        head.append(ast.If(ast.Constant(False), [ast.Expr(ast.Yield(None))], []))
        arguments = ast.arguments([], [ast.arg(USER + word) for word in parameters], None, [], [], None, [])
        return ast.FunctionDef(name, arguments, [*head, *body], [], None, None)


def _load(name: str) -> ast.Name:
    return ast.Name(name, ast.Load())


def _yield_from(call: ast.Call) -> ast.YieldFrom:
    return ast.YieldFrom(call)


def parse(text: str, plain: Collection[str], blocking: Collection[str]) -> tuple[str, ast.Module]:
    """Compile a script.

    Args:
        text: the script.
        plain: functions of the controller that return at once.
        blocking: functions of the controller that take cycles.

    Returns:
        The program's name, and a module that defines the generator function `MAIN`. Its globals must hold every
        function of the controller and the helpers copy, halt, index, join, kill, list, pose, run, spin and truth, all
        prefixed by `BUILTIN`.

    Raises:
        ScriptError: the text is not a script, or calls a function that does not exist.
    """
    try:
        return _Parser(text, plain, blocking).script()
    except (RecursionError, ValueError) as error:
        raise ScriptError(f"cannot be read: {error}", 0) from error
