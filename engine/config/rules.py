"""
What must hold between the keys of one site before anything else is looked at.

Rules of this file: names are unique and speakable; nothing listens or sends beyond
loopback unprotected without saying so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from engine.config.models.inbound import Inbound
from engine.config.models.outbound import Outbound
from engine.config.models.route import Route
from engine.config.models.settings import Http
from engine.model.finding import Finding, Loc, Mark, Severity

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")
#: keys of a channel test's expectations
RESERVED_NAMES = frozenset({"ack", "routes"})


def check_names(declared: Mapping[str, Mapping[str, Loc]]) -> Iterator[Finding]:
    """
    Yield a finding for every name that is taken twice, reserved, or no name.

    Args:
        declared: kind (inbound, outbound, routes) -> name -> place.
    """
    seen: dict[str, str] = {}
    for kind, names in declared.items():
        for name, loc in names.items():
            if name in RESERVED_NAMES:
                what = f"{name} is reserved for channel tests"
                yield Finding("CFG-023", what, "choose another name", loc=loc, at_key=True)
            elif not _NAME.fullmatch(name):
                fix = "letters, digits, _ and -, a letter first, at most 64"
                yield Finding("CFG-022", f"{name!r} is no name", fix, loc=loc, at_key=True)
            elif name in seen:
                what = f"{name} is already the name of {_kind_word(seen[name])}"
                fix = "names of channels and routes are unique in the site"
                yield Finding("CFG-023", what, fix, loc=loc, at_key=True)
            seen.setdefault(name, kind)


def _kind_word(kind: str) -> str:
    return {
        "inbound": "an inbound channel",
        "outbound": "an outbound channel",
        "routes": "a route",
    }[kind]


_READ = re.compile(
    r"medbus\.yaml|environments/[^/]+\.yaml|channels/.+\.yaml|transforms/[^/]+\.yaml"
    r"|transforms/deid/[^/]+\.yaml|transforms/tables/[^/]+\.csv|transforms/templates/.+\.j2"
    r"|transforms/python/[^/]+\.py"
)
_SUSPECT = re.compile(r"(channels|transforms|environments)/.*\.(ya?ml|csv|j2|py)")


def check_files(names: Iterable[str], named: str) -> Iterator[Finding]:
    """
    Yield a warning for every file that looks like a part of the site but that nothing reads.

    Args:
        named: all YAML of the site as one text; a file that is named in it is used by name.
    """
    for name in names:
        if _SUSPECT.fullmatch(name) and not _READ.fullmatch(name) and name not in named:
            what = "nothing reads this file"
            fix = f"YAML ends in .yaml; {_FOLDERS}"
            yield Finding("CFG-035", what, fix, Severity.WARNING, mark=Mark(name))


_FOLDERS = "tables lie in transforms/tables, templates in templates, Python in python"


def check_exposure(
    inbound: Mapping[str, Inbound], outbound: Mapping[str, Outbound], http: Http | None
) -> Iterator[Finding]:
    """Yield a finding for every door that stands open beyond this machine."""
    for name, channel in inbound.items():
        yield from _check_listener(name, channel)
    for name, out in outbound.items():
        mllp = out.mllp
        if mllp and not mllp.connect.is_loopback and mllp.tls is None and not mllp.insecure:
            yield Finding(
                "CFG-026",
                f"{mllp.connect} is beyond loopback and the connection is plain",
                "add tls, or insecure: true if the network protects it",
                loc=("outbound", name, "mllp", "connect"),
            )
    if http and not http.listen.is_loopback and not http.insecure:
        what = f"{http.listen} is beyond loopback and the endpoint is plain HTTP without login"
        fix = "listen on 127.0.0.1, or add insecure: true"
        yield Finding("CFG-026", what, fix, loc=("medbus.yaml", "http", "listen"))


def _check_listener(name: str, channel: Inbound) -> Iterator[Finding]:
    mllp = channel.mllp
    loc: Loc = ("inbound", name, "mllp", "listen")
    if mllp.listen.is_loopback:
        return
    is_mutual = mllp.tls is not None and mllp.tls.client_ca is not None
    if not mllp.allow and not is_mutual:
        what = f"{mllp.listen} is beyond loopback and anyone may connect"
        yield Finding("CFG-025", what, "add allow: [network], or tls with client_ca", loc=loc)
    if mllp.tls is None and not mllp.insecure:
        what = f"{mllp.listen} is beyond loopback and the connection is plain"
        fix = "add tls, or insecure: true if the network protects it"
        yield Finding("CFG-026", what, fix, loc=loc)


_ACK_NAME = re.compile(r"(AE|AR|CE|CR)(/[^/\s]{1,20})?")


def check_routes_alone(
    outbound: Mapping[str, Outbound], routes: Mapping[str, Route]
) -> Iterator[Finding]:
    """Yield a finding for keys that contradict each other within one channel or route."""
    for name, channel in outbound.items():
        place: Loc = ("outbound", name)
        for key in channel.on_ack:
            if not _ACK_NAME.fullmatch(key):
                what = f"{key!r} is no negative ack"
                fix = "write AE, AR, CE or CR, or with an ERR-3 code: AR/207"
                yield Finding("CFG-010", what, fix, loc=(*place, "on_ack", key), at_key=True)
        if channel.lanes > 1 and not channel.order_by:
            what = "more than one lane needs order_by"
            fix = "name the order keys, such as order_by: [\"PID-3[5='MR'].1\"]"
            yield Finding("CFG-027", what, fix, loc=(*place, "lanes"))
        if channel.on_park == "hold_key" and not channel.order_by:
            what = "hold_key needs order_by: without keys there is nothing to hold"
            yield Finding("CFG-027", what, "add order_by, or use halt", loc=(*place, "on_park"))
    for name, route in routes.items():
        doubled = {target for target in route.to if route.to.count(target) > 1}
        for target in sorted(doubled):
            what = f"{target} is named twice"
            yield Finding("CFG-027", what, "name it once", loc=("routes", name, "to"))
