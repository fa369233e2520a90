"""Certificates and keys from PEM files, read strictly; who a certificate speaks for."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from engine.model.errors import MedbusError

PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey | Ed25519PrivateKey | Ed448PrivateKey


class CertificateError(MedbusError):
    """A certificate or key file cannot be used; the connection settings in use stay as they are."""

    code = "TLS-001"


class Identity(NamedTuple):
    """A certificate with its chain and its private key."""

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    key: PrivateKey


def load_identity(cert: Path, key: Path) -> Identity:
    """Return what *cert* (the certificate first, then its chain) and *key* hold."""
    certificates = load_certificates(cert)
    try:
        private_key = load_pem_private_key(_read(key), password=None)
    except (ValueError, TypeError):
        raise CertificateError(
            "the private key cannot be read",
            where=str(key),
            fix="it must be one PEM block without a password",
        ) from None
    if not isinstance(private_key, PrivateKey):
        raise CertificateError("this kind of key is not used for TLS", where=str(key))
    if private_key.public_key() != certificates[0].public_key():
        raise CertificateError(
            "the private key does not belong to the certificate",
            where=str(key),
            fix=f"the certificate meant must be the first one in {cert.name}",
        )
    return Identity(certificates[0], tuple(certificates[1:]), private_key)


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Return every certificate of a PEM file, at least one."""
    try:
        return x509.load_pem_x509_certificates(_read(path))
    except ValueError:
        raise CertificateError(
            "there is no readable certificate", where=str(path), fix="the file must be PEM"
        ) from None


def names_of(certificate: x509.Certificate) -> frozenset[str]:
    """
    Return the names a certificate speaks for, in lower case: DNS, URI and IP names.

    The common name counts only where there are no such names, as older devices have it.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return frozenset(str(attribute.value).lower() for attribute in common)
    texts: list[str] = []
    for name in names:
        if isinstance(name, x509.DNSName | x509.UniformResourceIdentifier | x509.IPAddress):
            texts.append(str(name.value).lower())
    return frozenset(texts)


def changes_of(paths: Iterable[Path | None]) -> tuple[int, ...]:
    """Return when each file changed last, to compare with another look; 0 where none is seen."""
    return tuple(
        path.stat().st_mtime_ns if path is not None and path.exists() else 0 for path in paths
    )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise CertificateError(
            f"the file cannot be read: {error.strerror}", where=str(path)
        ) from None
