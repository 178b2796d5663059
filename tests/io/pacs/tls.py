"""Certificates of an authority that exists for one test."""

from __future__ import annotations

import ipaddress
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Certificates(NamedTuple):
    authority: Path
    server: Path  # for 127.0.0.1
    server_key: Path
    client: Path
    client_key: Path


def certificates(folder: Path) -> Certificates:
    """Write an authority, and a server and a client that it vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    own = _certificate("authority", key, "authority", key, authority=True)
    found = {"authority": _write(folder / "authority.pem", own.public_bytes(serialization.Encoding.PEM))}
    for name in ("server", "client"):
        mine = ec.generate_private_key(ec.SECP256R1())
        signed = _certificate(name, mine, "authority", key, authority=False)
        found[name] = _write(folder / f"{name}.pem", signed.public_bytes(serialization.Encoding.PEM))
        secret = mine.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        found[f"{name}_key"] = _write(folder / f"{name}.key", secret)
    return Certificates(**found)


def _write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def _certificate(
    name: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    *,
    authority: bool,
) -> x509.Certificate:
    now = datetime.now()
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=2))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
    )
    if not authority:
        place = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([place]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())
