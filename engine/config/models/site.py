"""The site as values: what the loader hands to everything that builds on it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from zoneinfo import ZoneInfo

from engine.config.models.inbound import Inbound
from engine.config.models.outbound import Outbound
from engine.config.models.profiles import Profile
from engine.config.models.route import Route
from engine.config.models.settings import Alerts, Http, Log, Retention, Roles, SiteSettings
from engine.config.models.steps import StepModel
from engine.config.models.tables import LookupTable
from engine.config.models.tests import ChannelTest


@dataclass(frozen=True)
class Site:
    """All files of a site, read and typed; mappings are in file order."""

    settings: SiteSettings
    #: values of {{ vars.NAME }}, the environment's over the site's
    vars: Mapping[str, str] = field(default_factory=dict)
    inbound: Mapping[str, Inbound] = field(default_factory=dict)
    outbound: Mapping[str, Outbound] = field(default_factory=dict)
    #: insertion order is run order
    routes: Mapping[str, Route] = field(default_factory=dict)
    transforms: Mapping[str, tuple[StepModel, ...]] = field(default_factory=dict)
    tables: Mapping[str, LookupTable] = field(default_factory=dict)
    profiles: Mapping[str, Profile] = field(default_factory=dict)
    #: name with .j2 -> source
    templates: Mapping[str, str] = field(default_factory=dict)
    #: module name -> source
    python: Mapping[str, str] = field(default_factory=dict)
    #: (file, test), in file order
    tests: tuple[tuple[str, ChannelTest], ...] = ()
    #: every file that was read, by its path relative to the site
    files: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def site(self) -> str:
        """The site's name."""
        return self.settings.site

    @property
    def data(self) -> str:
        """The data folder, relative to the site."""
        return self.settings.data

    @property
    def timezone(self) -> ZoneInfo:
        """The site's time zone."""
        return self.settings.timezone

    @property
    def word_lists(self) -> dict[str, str]:
        """The files of ordinary words that profiles name, by path."""
        paths = (profile.leak_check.allow_words for profile in self.profiles.values())
        return {
            path: self.files[path].decode("utf-8-sig", "replace")
            for path in paths
            if path is not None and path in self.files
        }

    @property
    def http(self) -> Http | None:
        """Where metrics and health are served."""
        return self.settings.http

    @property
    def log(self) -> Log:
        """What is logged."""
        return self.settings.log

    @property
    def retention(self) -> Retention:
        """How long things are kept."""
        return self.settings.retention

    @property
    def roles(self) -> Roles:
        """Return who may do what is not for everybody."""
        return self.settings.roles

    @property
    def alerts(self) -> Alerts:
        """Limits that raise an alarm."""
        return self.settings.alerts
