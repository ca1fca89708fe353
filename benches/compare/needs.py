"""What a run needs: programs from Debian, and what is built here. Peers may be missing, tools may not."""

import shutil
import subprocess
from pathlib import Path

from .process import Failure

ROOT = Path(__file__).resolve().parents[2]
TARGET = ROOT / "target"
HERE = ROOT / "benches" / "compare"
PEER_SOURCE = ROOT / "benches" / "peers" / "pingora-proxy"
PEER = TARGET / "peers" / "release" / "pingora-proxy-peer"

# command: Debian package
TOOLS = {
    "wrk": "wrk",
    "h2load": "nghttp2-client",
    "nghttpd": "nghttp2-server",
    "gcc": "gcc",
    "openssl": "openssl",
    "taskset": "util-linux",
}
PEERS = {"nginx": "nginx-light", "haproxy": "haproxy", "caddy": "caddy"}


def program(name):
    """Its path. Debian keeps daemons where only root's PATH looks."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/local/sbin")


def check_tools():
    """Fails with the packages to install if a tool is missing, and tells which peers are."""
    missing = [package for command, package in TOOLS.items() if not program(command)]
    if missing:
        raise Failure("missing tools; on Debian or Ubuntu: sudo apt-get install " + " ".join(missing))
    peers = [package for command, package in PEERS.items() if not program(command)]
    if peers:
        print(f"not installed, so without figures: {' '.join(peers)} (sudo apt-get install {' '.join(peers)})")


def build_load(directory):
    """Compiles the origins and makes a P-256 certificate for localhost, in `directory`."""
    for name in ("origin", "websocket"):
        subprocess.run(["gcc", "-O2", "-o", directory / name, HERE / "load" / f"{name}.c"], check=True)
    key, chain = directory / "key.pem", directory / "cert.pem"
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            key,
            "-out",
            chain,
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
        ],
        check=True,
        stderr=subprocess.DEVNULL,
    )
    key.chmod(0o600)
    (directory / "both.pem").write_text(chain.read_text() + key.read_text())
    (directory / "both.pem").chmod(0o600)
    (directory / "www").mkdir(exist_ok=True)
    (directory / "www" / "index.html").write_bytes(b"x" * 128)
    # A gRPC message: not compressed, four bytes of length, then the message.
    message = b"\0" + (123).to_bytes(4, "big") + b"m" * 123
    for place in (directory / "www" / "unary.grpc", directory / "message.bin"):
        place.write_bytes(message)
    (directory / "mime.types").write_text("application/grpc grpc\ntext/plain html\n")


def build_peer():
    """Builds the stock pingora-proxy, which takes minutes the first time. Why there is none, or None."""
    if not shutil.which("cargo"):
        return None if PEER.exists() else "cargo is missing to build it"
    if not PEER.exists():
        print("building the stock pingora-proxy, which takes minutes the first time", flush=True)
    command = [
        "cargo",
        "build",
        "--release",
        "--locked",
        "--quiet",
        "--manifest-path",
        PEER_SOURCE / "Cargo.toml",
        "--target-dir",
        TARGET / "peers",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    return None if done.returncode == 0 else "it doesn't build: " + (done.stderr.strip().splitlines() or ["?"])[-1]


def first_line(*command):
    """The first line that a program says of its version."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except OSError:
        return "not installed"
    return ((done.stdout + done.stderr).strip().splitlines() or ["?"])[0].strip()
