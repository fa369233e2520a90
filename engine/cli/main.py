"""
The `medbus` command: finds the verb, imports only its module, prints errors plainly.

Rules of this file: nothing heavy is imported here; `medbus --help` answers within 0.3 s.
"""

from __future__ import annotations

import errno
import importlib
from collections.abc import Sequence

import click

from engine.cli.settings import ErrorPage, Settings, add_shared_options
from engine.model.errors import MedbusError, Usage

#: verb -> (module:attribute, one line of help, heading); the order is the order of `--help`
COMMANDS: dict[str, tuple[str, str, str]] = {
    "init": ("init:init", "Make a new site with a commented example.", "Site"),
    "check": ("check:check", "Report everything that is wrong with the site.", "Site"),
    "test": ("test:test", "Run the channel tests of the site.", "Site"),
    "schema": ("schema:schema", "Print the JSON Schema of the YAML, for editors.", "Site"),
    "inspect": ("inspect:inspect", "Show a message file with field names.", "Site"),
    "deid": ("deid:deid", "Show what a de-identification profile does to messages.", "Site"),
    "run": ("run:run", "Run the engine in the foreground.", "Engine"),
    "stop": ("stop:stop", "Stop the running engine.", "Engine"),
    "reload": ("reload:reload", "Let the running engine take over the changed site.", "Engine"),
    "rollback": ("reload:rollback", "Go back to the configuration before this one.", "Engine"),
    "demo": ("demo:demo", "The engine with a sample HIS and LIS, messages flowing.", "Engine"),
    "send": ("send:send", "Send messages over MLLP and print every answer.", "Engine"),
    "listen": ("listen:listen", "A test receiver with a choice of answers.", "Engine"),
    "bench": ("bench:bench", "Measure this machine: engine, floor and their ratio.", "Engine"),
    "status": ("status:status", "Channels, queues, alarms and the ledger.", "Messages"),
    "messages": ("messages:messages", "Find messages.", "Messages"),
    "show": ("show:show", "Show one message; bodies are an audited act.", "Messages"),
    "trace": ("trace:trace", "What happened to a message, step by step.", "Messages"),
    "why": ("why:why", "Why a receiver got a message, or did not.", "Messages"),
    "requeue": ("change:requeue", "Try parked deliveries again.", "Messages"),
    "release": ("change:release", "Let the followers of a parked delivery pass.", "Messages"),
    "cancel": ("change:cancel", "Take deliveries out for good.", "Messages"),
    "replay": ("replay:replay", "Deliver messages once more, as new records.", "Messages"),
    "pause": ("pause:pause", "Pause a channel; persists over restarts.", "Operation"),
    "resume": ("pause:resume", "Let a paused channel go on.", "Operation"),
    "handover": ("handover:handover", "What the next shift needs to know.", "Operation"),
    "audit": ("audit:audit", "The record of who did what: list, verify, export.", "Operation"),
    "keys": ("keys:keys", "The key ring: init, rotate, status, destroy.", "Operation"),
    "relink": ("relink:relink", "What a pseudonym stands for, for those entitled.", "Operation"),
    "prune": ("prune:prune", "Delete what retention says may go.", "Operation"),
    "backup": (
        "backup:backup",
        "Copy the data folder consistently, also while running.",
        "Operation",
    ),
}


class LazyGroup(click.Group):
    """A group that imports a command's module when that command is called, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every verb in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command and give it the options all commands share."""
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        module_name, _, attribute = entry[0].partition(":")
        module = importlib.import_module(f"engine.cli.{module_name}")
        command: click.Command = getattr(module, attribute)
        add_shared_options(command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the verb; an unknown one gets the nearest known name."""
        name = args[0] if args else ""
        if name and name not in COMMANDS and not name.startswith("-"):
            import difflib

            near = difflib.get_close_matches(name, COMMANDS, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            ctx.fail(f"There is no command {name!r}.{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of commands, without importing any."""
        headings = dict.fromkeys(heading for _, _, heading in COMMANDS.values())
        width = max(map(len, COMMANDS))
        for wanted in headings:
            with formatter.section(wanted):
                formatter.write_dl(
                    [
                        (name.ljust(width), text)
                        for name, (_, text, at) in COMMANDS.items()
                        if at == wanted
                    ]
                )

    def invoke(self, ctx: click.Context) -> object:
        """Run the verb; a refusal is one plain line and an exit code, never a traceback."""
        try:
            return super().invoke(ctx)
        except MedbusError as error:
            raise ErrorPage(error, as_json=ctx.ensure_object(Settings).as_json) from None
        except click.UsageError as error:
            if not ctx.ensure_object(Settings).as_json:
                raise
            told = Usage(error.format_message(), fix="see `medbus --help` and COMMAND --help")
            raise ErrorPage(told, as_json=True) from None
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise
        except Exception as error:
            if getattr(error, "errno", 0) == errno.EPIPE:
                raise  # whoever reads has enough: click ends quietly
            as_json = ctx.ensure_object(Settings).as_json
            raise ErrorPage(_tell_unexpected(error), as_json=as_json) from None


def _tell_unexpected(error: Exception) -> MedbusError:
    """Return what the machine or a defect of ours did; a traceback could carry patient data."""
    if isinstance(error, OSError) and error.strerror:
        return MedbusError(
            f"the machine refuses: {error.strerror}",
            code="RUN-045",
            where=str(error.filename or ""),
            fix="see to the disk, the rights or the connection, then try again",
        )
    from engine.runtime.logs import describe_exception

    return MedbusError(f"the operation failed: {describe_exception(error)}", code="RUN-024")


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command explains itself: medbus COMMAND --help.",
)
@click.version_option(package_name="medbus", prog_name="medbus")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """medbus: an HL7 v2 interface engine. A site is a folder with medbus.yaml in it."""
    ctx.ensure_object(Settings)


add_shared_options(cli)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and exit with its code: 0 fine, 1 findings or failed, 2 usage, 75 fence."""
    cli.main(args=None if arguments is None else list(arguments), prog_name="medbus")


if __name__ == "__main__":
    main()
