"""The lookup step: one value in place, or several keys and several targets."""

from __future__ import annotations

from collections.abc import Callable

from engine.config.models.steps import Miss, StepModel
from engine.hl7.path import Path
from engine.model.finding import Loc
from engine.pipeline.failures import StepFailed
from engine.pipeline.known import nearest
from engine.pipeline.run import Run
from engine.pipeline.steps.builder import Builder, loc_of
from engine.pipeline.tables import Table, day_of

Act = Callable[[Run], None]
Day = Callable[[Run], str]


def build_lookup(builder: Builder, model: StepModel) -> Act | None:
    """Return the step that translates by a table."""
    args = model.args
    table = _table(builder, args.table, loc_of(model, "table"))
    day = _day(builder, model, table)
    if table is None or day is None:
        return None
    if args.path is not None:
        return _in_place(builder, model, table, day)
    return _by_keys(builder, model, table, day)


def _table(builder: Builder, name: str, loc: Loc) -> Table | None:
    table = builder.shared.tables.get(name)
    if table is None:
        fix = nearest(name, builder.shared.tables) or "put it into transforms/tables"
        builder.find(loc, f"there is no table {name}", fix, code="LNG-004")
        return None
    builder.shared.note_use("tables", name)
    return table


def _column(builder: Builder, table: Table, name: str, loc: Loc, *, at_key: bool = False) -> bool:
    if name in table.columns:
        return True
    fix = nearest(name, table.columns) or f"it has {', '.join(table.columns)}"
    builder.find(
        loc, f"the table {table.name} has no column {name}", fix, code="LNG-004", at_key=at_key
    )
    return False


def _day(builder: Builder, model: StepModel, table: Table | None) -> Day | None:
    """Return how the day a row must be valid on is found; "" where rows are valid always."""
    text = model.args.on_date
    if text is None:
        if table is None or not table.is_dated:
            return lambda run: ""
        return lambda run: run.received_at[:8]
    path = builder.field_path(text, loc_of(model, "on_date"))
    if path is None:
        return None
    if table is not None and not table.is_dated:
        builder.find(
            loc_of(model, "on_date"), f"the table {table.name} has no valid_from or valid_to",
            "add these columns or leave out on_date", code="LNG-004",
        )  # fmt: skip
        return None
    date_path = path
    return lambda run: day_of(str(run.read(date_path)), str(date_path))


def _in_place(builder: Builder, model: StepModel, table: Table, day: Day) -> Act | None:
    args = model.args
    path = builder.field_path(args.path, loc_of(model, "path"))
    column = args.column or next(iter(table.value_columns[1:]), "")
    if not column:
        builder.find(
            loc_of(model, "table"), f"the table {table.name} has one column only", code="LNG-010"
        )
        return None
    if path is None or not _column(builder, table, column, loc_of(model, "column")):
        return None
    keys, miss = table.columns[:1], args.miss

    def look(run: Run, text: str, write: Callable[[str], None]) -> None:
        if text == '""' or (not text and miss.action != "value"):
            # Nothing was sent, or the sender says to delete: there is nothing to translate.
            return
        row = table.find(keys, (text,), day(run))
        run.note_row(table, row)
        if row is not None:
            write(table.cell(row, column))
        else:
            _missed(miss, table, str(path), write)

    def act(run: Run) -> None:
        for segment, place in run.places(path):
            look(run, segment.get(place), lambda text: segment.set(place, text))  # noqa: B023

    def act_on_one(run: Run) -> None:
        look(run, str(run.read(path)), lambda text: run.write_text(path, text))

    return act if path.has_all else act_on_one


def _by_keys(builder: Builder, model: StepModel, table: Table, day: Day) -> Act | None:
    args = model.args
    keys: dict[str, Path] = {}
    for column, text in args.keys.items():
        path = builder.field_path(text, loc_of(model, "keys", column))
        known = _column(builder, table, column, loc_of(model, "keys", column), at_key=True)
        if path is not None and known:
            keys[column] = path
    targets: list[tuple[Path, str]] = []
    for text, column in args.set.items():
        loc = loc_of(model, "set", text)
        path = builder.field_path(text, loc, at_key=True, writes=True)
        if _column(builder, table, column, loc) and path is not None:
            targets.append((path, column))
    columns, paths, miss = tuple(keys), tuple(keys.values()), args.miss
    shown = ", ".join(str(path) for path in paths)

    def act(run: Run) -> None:
        values = [str(run.read(path)) for path in paths]
        row = table.find(columns, values, day(run))
        run.note_row(table, row)
        if row is None:
            for path, _ in targets:
                _missed(miss, table, shown, lambda text: run.write_text(path, text))  # noqa: B023
            return
        for path, column in targets:
            run.write_text(path, table.cell(row, column))

    return act


def _missed(miss: Miss, table: Table, path: str, write: Callable[[str], None]) -> None:
    if miss.action == "park":
        raise StepFailed(f"the value is not in the table {table.name}", path)
    if miss.action == "clear":
        write("")
    elif miss.action == "value":
        write(miss.value)
