"""
The way back from a pseudonym, and its end: look-ups in the vault, destroying a named key.

Rules of this file: who asks must be named in medbus.yaml; the record with the purpose is durable
before the answer is given; a key in use is never destroyed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.deid.vault import LookUp, Original
from engine.model.counting import count_of
from engine.model.errors import Conflict, Forbidden, NotFound, Usage
from engine.runtime.desk import Desk
from engine.runtime.views import View
from engine.security.roles import Right, Role, is_permitted
from engine.store.interface import Store

#: pseudonyms one look-up may ask for: a way back for a person, not for a database
MOST_AT_ONCE = 100


def relink(desk: Desk, user: str, asked: Mapping[str, Any]) -> View:
    """Return one row per pseudonym; ``original`` is None where the vault does not know it."""
    pseudonyms = [str(text).strip() for text in asked.get("pseudonyms") or () if str(text).strip()]
    purpose = str(asked.get("purpose") or "").strip()
    if not pseudonyms or len(pseudonyms) > MOST_AT_ONCE:
        raise Usage(f"name 1 to {MOST_AT_ONCE} pseudonyms")
    if not purpose:
        raise Usage("a look-up names its purpose", fix="say --purpose TEXT")
    subject = " ".join(pseudonyms)
    if not is_permitted(_roles_of(desk, user), Right.RELINK):
        desk.audit(user, "relink_refused", subject, purpose)
        raise Forbidden(
            f"{user} may not ask what a pseudonym stands for",
            fix="roles: {relinker: [NAME]} in medbus.yaml says who may",
        )
    desk.audit(user, "relink", subject, purpose)
    at = desk.clock.now()

    def look_up(store: Store) -> list[Original | None]:
        vault = store.vault
        if vault is None:
            raise NotFound("there is no vault here", fix="vault: true in a profile keeps one")
        return [vault.find_original(LookUp(user, purpose, at, "", text)) for text in pseudonyms]

    found = desk.access.write(look_up)
    rows = [_row(text, original) for text, original in zip(pseudonyms, found, strict=True)]
    return {"items": rows, "next": ""}


def destroy_key(desk: Desk, user: str, asked: Mapping[str, Any]) -> View:
    """
    Destroy a named key with its vault entries, or (dry_run) only count them.

    Raises:
        Conflict: a profile of the running configuration uses it, or the count is another.
    """
    name = str(asked["name"])
    count = desk.access.write(lambda store: _count(store, name))
    if name not in desk.keys.named_keys() and not count:
        raise NotFound(f"there is no key named {name}", fix="`medbus keys status` lists them")
    users = _profiles_with(desk, name)
    if users:
        raise Conflict(
            f"the key {name} is in use by the profile {', '.join(users)}",
            fix="give the profile another key, or take it out of all routes, and reload",
        )
    told = {"name": name, "links": count, "destroyed": False}
    if asked.get("dry_run"):
        return told
    reason = str(asked.get("reason") or "")
    if not reason:
        raise Usage("this wants a reason")
    if asked.get("links") != count:
        kept = count_of(count, "pseudonym")
        raise Conflict(f"the vault keeps {kept} under {name} now", fix="start over")
    desk.audit(user, "keys_destroy", name, reason, {"links": str(count)})
    desk.access.write(lambda store: _destroy(desk, store, name))
    desk.forget_snapshots()
    return told | {"destroyed": True}


def _count(store: Store, name: str) -> int:
    vault = store.vault
    return vault.counts().get(name, 0) if vault is not None else 0


def _destroy(desk: Desk, store: Store, name: str) -> None:
    if store.vault is not None:
        store.vault.destroy(name)
    if name in desk.keys.named_keys():
        desk.keys.drop_named_key(name)


def _profiles_with(desk: Desk, name: str) -> list[str]:
    """Return the profiles of the running configuration that make pseudonyms with a key."""
    compiled = desk.configuration.compiled.profiles
    return sorted(
        profile.name
        for profile in compiled.values()
        if profile is not None and profile.record.key_name == name
    )


def _roles_of(desk: Desk, user: str) -> frozenset[Role]:
    named = desk.configuration.site.roles
    return frozenset({Role.RELINKER}) if user in named.relinker else frozenset()


def _row(pseudonym: str, original: Original | None) -> View:
    if original is None:
        return {"pseudonym": pseudonym, "original": None, "type": "", "authority": "", "key": ""}
    type_code, _, authority = original.domain.partition("\x1f")
    return {
        "pseudonym": pseudonym,
        "original": original.text,
        "type": type_code,
        "authority": authority,
        "key": original.key_name,
    }
