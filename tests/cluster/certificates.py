"""A certificate authority of the cluster's own, by the openssl command."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

import yaml

from tests.cluster.progress import run

VALID_DAYS = "3650"
ELLIPTIC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
CONFIGURATION = """\
[req]
distinguished_name = subject
prompt = no
[subject]
CN = {name}
{organisation}
[authority]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign, digitalSignature
[member]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
{alternatives}
"""


class Authority:
    """Issues certificates into a folder, each once: what is there stays."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)
        self.certificate = self._make("ca", name="cluster", section="authority")

    def issue(self, file: str, *, name: str, organisation: str = "", hosts: Sequence[str] = ()) -> tuple[Path, Path]:
        """Return certificate and key of `name`; `hosts` are the names and addresses it may serve."""
        alternatives = ", ".join(f"{'IP' if host[-1].isdigit() else 'DNS'}:{host}" for host in hosts)
        signer = ("-CA", str(self.certificate), "-CAkey", str(self.folder / "ca.key"))
        self._make(
            file, name=name, organisation=organisation, alternatives=alternatives, section="member", signer=signer
        )
        return self.folder / f"{file}.crt", self.folder / f"{file}.key"

    def service_account_keys(self) -> tuple[Path, Path]:
        """Return the private and the public key that sign and check service account tokens."""
        private, public = self.folder / "service-accounts.key", self.folder / "service-accounts.pub"
        if not public.exists():
            run(["openssl", "genrsa", "-out", private, "2048"])
            run(["openssl", "rsa", "-in", private, "-pubout", "-out", public])
        return private, public

    def _make(
        self,
        file: str,
        *,
        name: str,
        section: str,
        organisation: str = "",
        alternatives: str = "",
        signer: tuple[str, ...] = (),
    ) -> Path:
        certificate = self.folder / f"{file}.crt"
        text = CONFIGURATION.format(
            name=name,
            organisation=f"O = {organisation}" if organisation else "",
            alternatives=f"subjectAltName = {alternatives}" if alternatives else "",
        )
        configuration = self.folder / f"{file}.cnf"
        if certificate.exists() and configuration.read_text() == text:
            return certificate
        certificate.unlink(missing_ok=True)
        configuration.write_text(text)
        command: list[str | Path] = [
            "openssl",
            "req",
            "-x509",
            *ELLIPTIC,
            "-noenc",
            "-days",
            VALID_DAYS,
            "-config",
            configuration,
        ]
        run([*command, "-extensions", section, *signer, "-keyout", self.folder / f"{file}.key", "-out", certificate])
        return certificate


def kubeconfig(authority: Authority, *, server: str, certificate: Path, key: Path) -> str:
    """Return a kubeconfig that holds all it needs, and so may be copied elsewhere."""

    def encoded(file: Path) -> str:
        return base64.b64encode(file.read_bytes()).decode()

    cluster = {"server": server, "certificate-authority-data": encoded(authority.certificate)}
    user = {"client-certificate-data": encoded(certificate), "client-key-data": encoded(key)}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "cluster", "cluster": cluster}],
        "users": [{"name": "user", "user": user}],
        "contexts": [{"name": "cluster", "context": {"cluster": "cluster", "user": "user"}}],
        "current-context": "cluster",
    }
    return yaml.safe_dump(content, sort_keys=False)
