"""Self-signed certificates, made by openssl in the test's own directory."""
import subprocess
from pathlib import Path


def make(directory, name="test", kind="rsa", host="localhost"):
    """(certificate, key) as PEM files; kind: rsa or ec."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    crt, key = directory / f"{name}.crt", directory / f"{name}.key"
    new = ["rsa:2048"] if kind == "rsa" else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", *new, "-nodes", "-days", "30",
                    "-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host},IP:127.0.0.1",
                    "-keyout", str(key), "-out", str(crt)],
                   check=True, capture_output=True, timeout=90)
    return crt, key
