"""Certificates for tests of TLS: an authority, one for servers and one for clients, by openssl.

They are made into a folder as `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
"""

import subprocess
from collections.abc import Iterable
from pathlib import Path

_NEW = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"


def make(home: Path, addresses: Iterable[str]) -> None:
    """Make them; the server's one is good at all the addresses, and for both ends of a route."""
    home.mkdir(parents=True, exist_ok=True)

    def openssl(words: str) -> None:
        subprocess.run(["openssl", *words.split()], cwd=home, check=True, capture_output=True)

    openssl(
        f"req -x509 {_NEW} -keyout ca.key -out ca.pem -subj /CN=ca "
        "-addext keyUsage=critical,keyCertSign"
    )
    names = ",".join(f"IP:{address}" for address in addresses)
    (home / "names").write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
    for name in ("server", "client"):
        openssl(f"req {_NEW} -keyout {name}.key -out {name}.csr -subj /CN={name}")
        openssl(
            f"x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem "
            "-extfile names"
        )
