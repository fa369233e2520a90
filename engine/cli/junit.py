"""Results of channel tests as JUnit XML, for build servers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from engine.pipeline.channel_test import TestResult

#: characters XML 1.0 has no way to write
_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit_xml(results: Sequence[TestResult]) -> str:
    """Return one suite with a case per test."""
    failed = sum(not result.passed for result in results)
    took_s = sum(result.took_s for result in results)
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name="medbus" tests="{len(results)}" failures="{failed}" time="{took_s:.4f}">',
    ]
    for result in results:
        case = f'  <testcase classname="{_text(result.file)}" name="{_text(result.test.name)}"'
        case += f' time="{result.took_s:.4f}"'
        if result.passed:
            lines.append(f"{case}/>")
            continue
        told = "\n".join(
            failure.what + (f" ({failure.step})" if failure.step else "")
            for failure in result.failures
        )
        first = _text(result.failures[0].what)
        lines += [f"{case}>", f'    <failure message="{first}">{_text(told)}</failure>']
        lines.append("  </testcase>")
    lines.append("</testsuite>")
    return "\n".join(lines) + "\n"


def _text(text: str) -> str:
    return escape(_FORBIDDEN.sub("?", text))
