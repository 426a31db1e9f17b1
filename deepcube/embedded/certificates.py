"""The server's own certificate authority, made at the first start, so that every wire speaks TLS."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from deepcube.embedded.home import write_atomically

_VALID = timedelta(days=3650)
_RENEW_BEFORE = timedelta(days=30)
# The client expects the query service under this name, whatever its address: "flyingduck.service." and the
# installation's service_discovery_domain.
_QUERY_SERVICE = "flyingduck.service.local"


class Certificates:
    """PEM files of the authority, the server and the client in one folder.

    Parameters
    ----------
    folder : Path
        Where the files are; made certificates are kept and used again.
    addresses : list of str
        IP addresses that the server's certificate must be valid for.
    """

    def __init__(self, folder: Path, addresses: list[str]) -> None:
        self.authority = folder / "ca.pem"
        self.server = folder / "server.pem"
        self.server_key = folder / "server.key"
        self.client = folder / "client.pem"
        self.client_key = folder / "client.key"
        if not self._usable(addresses):
            self._make(addresses)

    def _usable(self, addresses: list[str]) -> bool:
        files = (self.authority, self.server_key, self.client, self.client_key, self.server)
        if not all(file.exists() for file in files):
            return False
        try:
            authority = x509.load_pem_x509_certificate(self.authority.read_bytes())
            server = _loaded_pair(self.server, self.server_key, authority)
            _loaded_pair(self.client, self.client_key, authority)
            names = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
            return False  # damaged: made anew, clients fetch the authority at their next login
        covered = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
        return covered >= set(addresses) and server.not_valid_after_utc > datetime.now(UTC) + _RENEW_BEFORE

    def _make(self, addresses: list[str]) -> None:
        authority_key = ec.generate_private_key(ec.SECP256R1())
        authority = _sign("deepcube-embedded-ca", authority_key, "deepcube-embedded-ca", authority_key, [])
        alternatives: list[x509.GeneralName] = [x509.DNSName("localhost"), x509.DNSName(_QUERY_SERVICE)]
        alternatives += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        server_key, client_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        server = _sign("localhost", server_key, "deepcube-embedded-ca", authority_key, alternatives)
        client = _sign("deepcube-client", client_key, "deepcube-embedded-ca", authority_key, [])
        # The server's certificate is written last: with it in place, all are.
        for file, content in (
            (self.authority, _pem(authority)),
            (self.server_key, _pem_key(server_key)),
            (self.client, _pem(client)),
            (self.client_key, _pem_key(client_key)),
            (self.server, _pem(server)),
        ):
            write_atomically(file, content, mode=0o600)


def _loaded_pair(file: Path, key_file: Path, authority: x509.Certificate) -> x509.Certificate:
    """Return a certificate whose key is the one in a file and that the authority has issued; ValueError otherwise."""
    certificate = x509.load_pem_x509_certificate(file.read_bytes())
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    if key.public_key() != certificate.public_key():
        raise ValueError(f"{key_file} is not the key of {file}")
    certificate.verify_directly_issued_by(authority)
    return certificate


def _sign(
    subject: str,
    key: ec.EllipticCurvePrivateKey,
    issuer: str,
    issuer_key: ec.EllipticCurvePrivateKey,
    alternatives: list[x509.GeneralName],
) -> x509.Certificate:
    now = datetime.now(UTC)
    is_authority = subject == issuer
    builder = (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + _VALID)
        .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    if is_authority:
        usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
        builder = builder.add_extension(usage, critical=True)
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
