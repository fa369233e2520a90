"""
Units and small grammars of the YAML: durations, sizes, rates, addresses, switches.

Rules of this file: text in, value out; a wrong text raises with a stable code and a fix.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated, Any, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATION_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)(B|KB|MB|GB|KiB|MiB|GiB)")
_SIZE_BYTES = {
    "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3,
    "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3,
}  # fmt: skip
_RATE = re.compile(r"(\d+(?:\.\d+)?)/(s|m|h)")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?")
_BETWEEN = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


def refuse(code: str, what: str, fix: str = "", **places: str) -> PydanticCustomError:
    """Return the error a validator raises; the loader turns it into a finding."""
    # The type is known to pydantic as a literal; ours are the finding codes.
    return PydanticCustomError(code, "{what}", {"what": what, "fix": fix, **places})


def parse_duration(text: Any) -> Any:
    """Return seconds from ``30s``, ``5m``, ``24h``, ``7d`` or ``200ms``."""
    if not isinstance(text, str):
        return text
    if match := _DURATION.fullmatch(text):
        return float(match[1]) * _DURATION_S[match[2]]
    if re.fullmatch(r"\d+(?:\.\d+)?", text):
        raise refuse("CFG-011", f"{text} has no unit", f"write {text}s or {text}m")
    raise refuse("CFG-011", f"{text!r} is not a duration", "write it like 30s, 5m, 24h or 7d")


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads back as *seconds*."""
    for unit in ("d", "h", "m", "s"):
        whole = seconds / _DURATION_S[unit]
        if whole >= 1 and whole == int(whole):
            return f"{int(whole)}{unit}"
    return f"{seconds:g}s" if seconds >= 1 else f"{seconds * 1000:g}ms"


def parse_size(text: Any) -> Any:
    """Return bytes from ``20MB`` (powers of 1000) or ``512KiB`` (powers of 1024)."""
    if not isinstance(text, str):
        return text
    if match := _SIZE.fullmatch(text):
        return int(float(match[1]) * _SIZE_BYTES[match[2]])
    if text.isdecimal():
        raise refuse("CFG-012", f"{text} has no unit", f"write {text}KB or {text}MB")
    raise refuse("CFG-012", f"{text!r} is not a size", "write it like 512KiB, 20MB or 1GB")


def format_size(size: int) -> str:
    """Return the shortest text that `parse_size` reads back as *size*."""
    for unit in ("GB", "GiB", "MB", "MiB", "KB", "KiB"):
        if size >= _SIZE_BYTES[unit] and size % _SIZE_BYTES[unit] == 0:
            return f"{size // _SIZE_BYTES[unit]}{unit}"
    return f"{size}B"


def parse_rate(text: Any) -> Any:
    """Return events per second from ``50/s``, ``600/m`` or ``1000/h``."""
    if not isinstance(text, str):
        return text
    match = _RATE.fullmatch(text)
    if match and float(match[1]) > 0:
        return float(match[1]) / _DURATION_S[match[2]]
    raise refuse("CFG-013", f"{text!r} is not a rate", "write it like 50/s, 600/m or 1000/h")


def parse_switch(text: Any) -> Any:
    """Return a bool from ``true`` or ``false``, nothing else."""
    if not isinstance(text, str):
        return text
    if text in ("true", "false"):
        return text == "true"
    raise refuse("CFG-010", f"{text!r} is not a switch", "write true or false")


def parse_count(text: Any) -> Any:
    """Return a whole number from plain digits."""
    if not isinstance(text, str):
        return text
    if re.fullmatch(r"-?[0-9]{1,12}", text):
        return int(text)
    raise refuse("CFG-010", f"{text!r} is not a whole number", "write plain digits such as 4")


def parse_factor(text: Any) -> Any:
    """Return a number from digits with an optional decimal point."""
    if not isinstance(text, str):
        return text
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        return float(text)
    raise refuse("CFG-010", f"{text!r} is not a number", "write it like 2 or 1.5")


class Address(NamedTuple):
    """A TCP address; host is a name or an IP without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can be meant."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: Any) -> Any:
    """Return an `Address` from ``host:port`` or ``[v6]:port``."""
    if not isinstance(text, str):
        return text
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise refuse("CFG-014", f"{text!r} is not HOST:PORT", "write it like 127.0.0.1:2575")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        valid = ":" in host and _is_ip(host)
    else:
        valid = _is_ip(host) if re.fullmatch(r"[0-9.]+", host) else bool(_HOST.fullmatch(host))
    if not valid:
        raise refuse(
            "CFG-014", f"{text!r} has no valid host", "write a name, 10.0.0.5:2575 or [::1]:2575"
        )
    return Address(host, int(port))


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def parse_network(text: Any) -> Any:
    """Return an IP network from ``10.1.0.0/16`` or a single address."""
    if not isinstance(text, str):
        return text
    try:
        return ipaddress.ip_network(text)
    except ValueError:
        raise refuse(
            "CFG-015", f"{text!r} is not an IP network", "write it like 10.1.0.0/16 or 10.1.2.3"
        ) from None


class Between(NamedTuple):
    """A span of the site's day, in minutes after midnight; end may lie before start."""

    start_minute: int
    end_minute: int

    def __str__(self) -> str:
        ends = (divmod(self.start_minute, 60), divmod(self.end_minute, 60))
        return "-".join(f"{hour:02}:{minute:02}" for hour, minute in ends)

    def holds(self, minute: int) -> bool:
        """Return whether *minute* of the day lies in the span."""
        if self.start_minute <= self.end_minute:
            return self.start_minute <= minute < self.end_minute
        return minute >= self.start_minute or minute < self.end_minute


def parse_between(text: Any) -> Any:
    """Return a `Between` from ``07:00-20:00``."""
    if not isinstance(text, str):
        return text
    if match := _BETWEEN.fullmatch(text):
        a, b, c, d = (int(group) for group in match.groups())
        return Between(a * 60 + b, c * 60 + d)
    raise refuse("CFG-010", f"{text!r} is not a span of the day", 'write it like "07:00-20:00"')


def _text(kind: str, pattern: str, *examples: str) -> WithJsonSchema:
    return WithJsonSchema(
        {"type": "string", "format": kind, "pattern": pattern, "examples": list(examples)}
    )


Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    _text("duration", r"^\d+(\.\d+)?(ms|s|m|h|d)$", "200ms", "30s", "5m", "24h", "7d"),
]
Size = Annotated[
    int,
    BeforeValidator(parse_size),
    _text("size", r"^\d+(\.\d+)?(B|KB|MB|GB|KiB|MiB|GiB)$", "512KiB", "20MB"),
]
Rate = Annotated[
    float, BeforeValidator(parse_rate), _text("rate", r"^\d+(\.\d+)?/(s|m|h)$", "50/s")
]
Switch = Annotated[bool, BeforeValidator(parse_switch), WithJsonSchema({"type": "boolean"})]
Count = Annotated[int, BeforeValidator(parse_count), WithJsonSchema({"type": "integer"})]
Factor = Annotated[float, BeforeValidator(parse_factor), WithJsonSchema({"type": "number"})]
TcpAddress = Annotated[
    Address,
    BeforeValidator(parse_address),
    WithJsonSchema({"type": "string", "examples": ["127.0.0.1:2575"]}),
]
IpNetwork = Annotated[
    Network,
    BeforeValidator(parse_network),
    WithJsonSchema({"type": "string", "examples": ["10.1.0.0/16"]}),
]
DaySpan = Annotated[
    Between,
    BeforeValidator(parse_between),
    WithJsonSchema({"type": "string", "examples": ["07:00-20:00"]}),
]
