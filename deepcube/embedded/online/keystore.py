"""Java key stores: the form in which Hopsworks hands its client the TLS material of the broker.

The client turns them into PEM files itself. The layout is that of ``sun.security.provider.JavaKeyStore`` (version 2),
the key protection that of ``sun.security.provider.KeyProtector``; both are documented by their sources in OpenJDK.
SHA-1 is what they prescribe: the stores travel over TLS, so nothing rests on its strength.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
import time
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

_MAGIC, _VERSION = b"\xfe\xed\xfe\xed", 2
_PRIVATE_KEY, _TRUSTED_CERTIFICATE = 1, 2
_DIGEST_SALT = b"Mighty Aphrodite"
_KEY_PROTECTOR = bytes.fromhex("300e060a2b060104012a021101010500")  # OID 1.3.6.1.4.1.42.2.17.1.1 with NULL


def key_store(key: Path, certificates: list[Path], password: str) -> bytes:
    """Return a key store with one private key and its chain of certificates.

    Parameters
    ----------
    key : Path
        Private key (PEM, without password).
    certificates : list of Path
        Its certificate and those above it (PEM).
    password : str
        Protects the key and the store.
    """
    private = load_pem_private_key(key.read_bytes(), None)
    plain = private.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    protected = _protect(plain, password)
    chain = b"".join(_certificate(file) for file in certificates)
    entry = struct.pack(">I", len(protected)) + protected + struct.pack(">I", len(certificates)) + chain
    return _store([(_PRIVATE_KEY, "client", entry)], password)


def trust_store(certificate: Path, password: str) -> bytes:
    """Return a key store that holds one trusted certificate (PEM)."""
    return _store([(_TRUSTED_CERTIFICATE, "authority", _certificate(certificate))], password)


def _store(entries: list[tuple[int, str, bytes]], password: str) -> bytes:
    content = _MAGIC + struct.pack(">II", _VERSION, len(entries))
    for tag, alias, body in entries:
        name = alias.encode()
        content += struct.pack(">IH", tag, len(name)) + name + struct.pack(">Q", time.time_ns() // 1_000_000) + body
    return content + hashlib.sha1(password.encode("utf-16-be") + _DIGEST_SALT + content).digest()


def _certificate(file: Path) -> bytes:
    der = x509.load_pem_x509_certificate(file.read_bytes()).public_bytes(Encoding.DER)
    return struct.pack(">H", 5) + b"X.509" + struct.pack(">I", len(der)) + der


def _protect(plain: bytes, password: str) -> bytes:
    """Encrypt a key as Java's key stores do: XOR with a chain of SHA-1 digests, then a check digest."""
    secret, salt = password.encode("utf-16-be"), secrets.token_bytes(20)
    stream, digest = b"", salt
    while len(stream) < len(plain):
        digest = hashlib.sha1(secret + digest).digest()
        stream += digest
    cipher = bytes(a ^ b for a, b in zip(plain, stream, strict=False))
    payload = salt + cipher + hashlib.sha1(secret + plain).digest()
    return _der(0x30, _KEY_PROTECTOR + _der(0x04, payload))


def _der(tag: int, content: bytes) -> bytes:
    """Return an ASN.1 DER element."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + content
