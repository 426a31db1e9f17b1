"""The server's own certificate authority, made at the first start, so that every wire speaks TLS."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
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
        certificate = x509.load_pem_x509_certificate(self.server.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        covered = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
        if _QUERY_SERVICE not in names.get_values_for_type(x509.DNSName):
            return False
        return covered >= set(addresses) and certificate.not_valid_after_utc > datetime.now(UTC) + _RENEW_BEFORE

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
