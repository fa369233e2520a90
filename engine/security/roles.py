"""Who may do what: a role is a set of rights, and none may both administer and see patients."""

from __future__ import annotations

from enum import StrEnum


class Right(StrEnum):
    """One thing a role may allow."""

    #: counts, states, ids
    SEE_STATE = "see_state"
    #: requeue, release, cancel, replay, pause, resume
    OPERATE = "operate"
    #: bodies with identifiers masked
    SEE_MASKED = "see_masked"
    #: bodies as they are; every look is audited with its reason
    SEE_BODY = "see_body"
    #: configuration, users, keys
    ADMINISTER = "administer"
    #: the audit chain
    SEE_AUDIT = "see_audit"
    #: from a pseudonym back to the number it stands for, with a purpose
    RELINK = "relink"


class Role(StrEnum):
    """Roles as they are given to users."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ANALYST = "analyst"
    PHI_VIEWER = "phi_viewer"
    ADMIN = "admin"
    AUDITOR = "auditor"
    RELINKER = "relinker"


RIGHTS: dict[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.SEE_STATE}),
    Role.OPERATOR: frozenset({Right.SEE_STATE, Right.OPERATE}),
    Role.ANALYST: frozenset({Right.SEE_STATE, Right.SEE_MASKED}),
    Role.PHI_VIEWER: frozenset({Right.SEE_STATE, Right.SEE_MASKED, Right.SEE_BODY}),
    Role.ADMIN: frozenset({Right.SEE_STATE, Right.ADMINISTER}),
    Role.AUDITOR: frozenset({Right.SEE_STATE, Right.SEE_AUDIT}),
    Role.RELINKER: frozenset({Right.SEE_STATE, Right.RELINK}),
}


def is_permitted(roles: frozenset[Role], right: Right) -> bool:
    """Return whether any of *roles* gives *right*."""
    return any(right in RIGHTS[role] for role in roles)
