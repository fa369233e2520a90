"""medbus, an HL7 v2 interface engine for hospitals."""

__version__ = "0.1.0"
