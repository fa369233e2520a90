"""Steps about the whole message: template, python, deidentify, charset, filter."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from engine.config.models.steps import StepModel
from engine.hl7.charset import codec_for, output_codec
from engine.hl7.errors import Hl7Error
from engine.hl7.message import Message
from engine.pipeline.failures import Filtered, StepFailed
from engine.pipeline.known import Known, nearest
from engine.pipeline.run import Run
from engine.pipeline.steps.base import Block, PythonCall, Steps
from engine.pipeline.steps.builder import Builder, loc_of
from engine.pipeline.templates import Template, compile_template
from engine.pipeline.values import text_of

if TYPE_CHECKING:
    from engine.pipeline.trace import Recorder

Act = Callable[[Run], None]


def build_filter(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that stops this output."""
    reason: str = model.args.reason
    if "{{" in reason:
        builder.find(
            loc_of(model), "the reason of a filter is plain text; it is shown without sealing",
            "leave out {{ }}; a trace shows the values", code="LNG-010"
        )  # fmt: skip

    def act(run: Run) -> None:
        raise Filtered(reason)

    return act


def build_charset(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that sets the output's encoding and MSH-18."""
    name: str = model.args.name
    if output_codec(name) is None:
        builder.find(
            loc_of(model), f"there is no character set {name}",
            "write UTF-8, GB18030, 8859/1 or another name of table 0211", code="LNG-006",
        )  # fmt: skip
        return None
    return lambda run: run.message.set_charset(name)


def build_template(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that makes the whole output from a file of transforms/templates."""
    name: str = model.args.file
    source = builder.shared.site.templates.get(name)
    if source is None:
        known = builder.shared.site.templates
        fix = nearest(name, known) or f"put it into transforms/templates/{name}"
        builder.find(loc_of(model, "file"), f"there is no template {name}", fix, code="LNG-005")
        return None
    builder.shared.note_use("templates", name)
    template, errors = compile_template(source, builder.known)
    for error in errors:
        line = source.count("\n", 0, error.offset) + 1
        builder.find(
            loc_of(model, "file"), f"{name}, line {line}: {error.what}", error.fix, code=error.code
        )
    if template is None:
        return None
    start = source.lstrip()
    if start.startswith("MSH") and not start.startswith("MSH|^~\\&"):
        builder.find(
            loc_of(model, "file"), f"{name} begins with other delimiters than MSH|^~\\&",
            "use the usual ones; an outbound step may set MSH-2", code="LNG-010"
        )  # fmt: skip
    return lambda run: _render(template, run)


def _render(template: Template, run: Run) -> None:
    text = template.render_hl7(run).replace("\r\n", "\n").replace("\r", "\n")
    lines = [line.rstrip() for line in text.split("\n") if line.strip()]
    whole = "\r".join(lines) + "\r"
    try:
        declared = codec_for(
            Message.parse(whole.encode("utf-8", "surrogateescape")).declared_charset
        )
        codec = declared or run.message.charset
        if codec == "ascii" and not whole.isascii():
            codec = "utf-8"
        run.message = Message.parse(whole.encode(codec, "surrogateescape"), force_charset=codec)
    except UnicodeEncodeError:
        raise StepFailed(f"a character of the template's output is not in {codec}") from None
    except Hl7Error as error:
        raise StepFailed(f"the template's output is no HL7: {error.what}", error.where) from None


def build_python(builder: Builder, model: StepModel) -> Block | None:
    """Return the step that asks the caller of the run to run Python elsewhere."""
    args = model.args
    modules = builder.shared.site.python
    source = modules.get(args.module)
    if source is None:
        fix = nearest(args.module, modules) or f"put it into transforms/python/{args.module}.py"
        builder.find(loc_of(model), f"there is no module {args.module}", fix, code="LNG-005")
        return None
    builder.shared.note_use("python", args.module)
    names = functions_of(source, args.module)
    if isinstance(names, str):
        builder.find(loc_of(model), names, code="LNG-007")
        return None
    if args.function not in names:
        fix = nearest(args.function, names) or "write def NAME(message, context): …"
        builder.find(
            loc_of(model), f"{args.module}.py has no function {args.function}", fix, code="LNG-007"
        )
        return None
    sources = builder.shared.python_sources
    site_vars = dict(builder.shared.site.vars)

    def call(run: Run, recorder: Recorder | None) -> Steps:
        before = run.message
        body = before.encode()
        answer = yield PythonCall(
            module=args.module,
            function=args.function,
            body=body,
            context=_context(run, site_vars),
            sources=sources,
            timeout_s=args.timeout,
        )
        if recorder is not None and answer.log:
            recorder.note_log(answer.log)
        if answer.body is None:
            raise StepFailed(answer.error or "the Python step failed")
        if answer.body != body:
            run.message = _taken_back(before, answer.body)
        return [run]

    return call


def _taken_back(before: Message, body: bytes) -> Message:
    message = Message.parse(body, charset=before.charset)
    if message.declared_charset == before.declared_charset and message.charset != before.charset:
        # MSH-18 was overruled on the way in, so it is on the way back.
        message = Message.parse(body, force_charset=before.charset)
    return message


def _context(run: Run, site_vars: dict[str, str]) -> dict[str, object]:
    """Return what a Python step is told, as JSON takes it."""
    return {
        "message_id": run.arrived.message_id,
        "control_id": run.control_id,
        "received_at": str(run.received_at),
        "received_at_s": run.arrived.received_at,
        "inbound": run.arrived.inbound,
        "route": run.route,
        "site": run.arrived.site,
        "part": run.part,
        "vars": site_vars,
        "variables": {name: text_of(value) for name, value in run.variables.items()
                      if not isinstance(value, list)},
        "charset": run.message.charset,
    }  # fmt: skip


@lru_cache(maxsize=256)
def functions_of(source: str, module: str) -> tuple[str, ...] | str:
    """Return the functions a module defines, or what is wrong with its source."""
    import ast

    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        return f"transforms/python/{module}.py, line {line}: {getattr(error, 'msg', error)}"
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            names.append(node.name)
        elif isinstance(node, ast.ImportFrom):
            names += [alias.asname or alias.name for alias in node.names]
    return tuple(names)


@lru_cache(maxsize=256)
def cached_template(text: str, site_vars: tuple[tuple[str, str], ...]) -> Template:
    """Return the template *text* with no variables known; raises StepFailed where it is wrong."""
    template, errors = compile_template(text, Known(site_vars=dict(site_vars)))
    if template is None:
        raise StepFailed(errors[0].what)
    return template
