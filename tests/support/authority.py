"""Test certificates in files."""

from __future__ import annotations

from pathlib import Path

import trustme


class Authority:
    """A certificate authority with files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ca = trustme.CA()
        self.ca_file = folder / "ca.pem"
        self.ca.cert_pem.write_to_path(self.ca_file)

    def issue(self, name: str, *, stem: str = "") -> tuple[Path, Path]:
        """Return certificate and key files for *name*."""
        leaf = self.ca.issue_cert(name)
        cert, key = self.folder / f"{stem or name}.pem", self.folder / f"{stem or name}.key"
        cert.write_bytes(b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
        leaf.private_key_pem.write_to_path(key)
        return cert, key
