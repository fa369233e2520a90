"""
A configuration: the site's files, the models, the compiled channels, the snapshot's id.

Rules of this file: a site with findings that are errors never becomes a configuration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engine.check.site import check_site
from engine.config.load import LoadedSite, load_site
from engine.config.models.site import Site
from engine.config.snapshot import open_snapshot, snapshot_files
from engine.model.counting import count_of
from engine.model.errors import MedbusError
from engine.model.finding import Finding, has_errors
from engine.pipeline.compile import compile_site
from engine.pipeline.compiled import CompiledSite
from engine.pipeline.context import Keys


@dataclass(frozen=True, slots=True)
class Configuration:
    """What the engine runs, or ran."""

    files: Mapping[str, bytes]
    site: Site
    compiled: CompiledSite
    findings: tuple[Finding, ...]
    #: id of the stored snapshot; "" until it is stored
    snapshot_id: str = ""

    def with_snapshot(self, snapshot_id: str) -> Configuration:
        """Return this configuration under the id its snapshot got."""
        return replace(self, snapshot_id=snapshot_id)


class ConfigurationRefused(MedbusError):
    """The site has errors; nothing was changed."""

    code = "RUN-030"

    def __init__(self, findings: Sequence[Finding]) -> None:
        self.findings = tuple(findings)
        errors = [finding for finding in findings if has_errors([finding])]
        first = f"; the first: {errors[0]}" if errors else ""
        super().__init__(
            f"the site has {count_of(len(errors), 'error')}{first}",
            fix="run `medbus check` to see them all",
        )


@dataclass(frozen=True, slots=True)
class CheckedSite:
    """A site without errors, before it has keys."""

    loaded: LoadedSite
    site: Site
    findings: tuple[Finding, ...]
    env_name: str | None

    def compile(self, keys: Keys) -> Configuration:
        """Return the configuration under real keys."""
        compiled, more = compile_site(self.site, keys=keys)
        if has_errors(more):
            raise ConfigurationRefused(self.loaded.located(more))
        files = snapshot_files(self.loaded.files, self.loaded.environ_used, self.env_name)
        return Configuration(files, self.site, compiled, self.findings)


def check_configuration(
    files: Mapping[str, bytes], *, environ: Mapping[str, str], env_name: str | None
) -> CheckedSite:
    """
    Return the checked site of these files.

    Raises:
        ConfigurationRefused: the site has errors; it carries all findings.
    """
    # A broken channel test is `medbus check`'s business; it must not keep an engine from starting.
    running = {name: content for name, content in files.items() if not _is_test(name)}
    loaded = load_site(running, environ=environ, env_name=env_name)
    findings = check_site(loaded)
    if loaded.site is None or has_errors(findings):
        raise ConfigurationRefused(findings)
    return CheckedSite(loaded, loaded.site, tuple(findings), env_name)


def _is_test(name: str) -> bool:
    return name.startswith("channels/") and name.endswith("_test.yaml")


def build_configuration(
    files: Mapping[str, bytes],
    *,
    environ: Mapping[str, str],
    env_name: str | None,
    keys: Keys,
) -> Configuration:
    """Return the checked and compiled configuration of a site's files, or raise as above."""
    return check_configuration(files, environ=environ, env_name=env_name).compile(keys)


def rebuild_configuration(files: Mapping[str, bytes], *, keys: Keys) -> Configuration:
    """Return the configuration a snapshot's files stand for, whatever the environment is today."""
    site_files, environ, env_name = open_snapshot(files)
    return build_configuration(site_files, environ=environ, env_name=env_name, keys=keys)


def keep_order(
    configuration: Configuration, order_by: Mapping[str, tuple[str, ...]], keys: Keys
) -> Configuration:
    """Return *configuration* with other order keys for some outbound channels."""
    outbound = {
        name: model.model_copy(update={"order_by": order_by[name]}) if name in order_by else model
        for name, model in configuration.site.outbound.items()
    }
    site = replace(configuration.site, outbound=outbound)
    compiled, _ = compile_site(site, keys=keys)
    return replace(configuration, site=site, compiled=compiled)
