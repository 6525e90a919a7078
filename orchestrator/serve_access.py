"""Who may come in, and with how much: addresses, API keys, sizes of requests."""

import asyncio
import hashlib
import hmac
import ipaddress
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request as HttpRequest

from .engine import RequestError
from .errors import WarmthError

VARIABLE = "WARMTH_API_KEY"
"""The environment variable that the endpoint's key comes from, if it comes from no file."""
SHORTEST = 16
"""Characters of a key: shorter ones can be guessed."""
MOST_BYTES = 4 * 2**20
"""The largest body: several times what fits a context of 131,072 tokens."""
PATIENCE = 60.0
"""Seconds that a body may take to arrive."""


class TooLarge(RequestError):
    """A body is larger than any context could use."""

    status = 413


class TooSlow(RequestError):
    """A body did not arrive."""

    status = 408


class Busy(RequestError):
    """As many requests wait as may."""

    status, kind = 429, "rate_limit_error"


@dataclass(frozen=True)
class Access:
    """What the endpoint asks of whoever comes in. It knows the SHA-256 of the key alone, which gives no key away."""

    digest: bytes | None = None
    "None where no key is needed."
    most_bytes: int = MOST_BYTES

    @classmethod
    def by(cls, key: str | None) -> "Access":
        """Access by this key, or for everyone."""
        return cls(hashlib.sha256(key.encode()).digest() if key else None)

    def admits(self, header: bytes | None) -> bool:
        """Whether an Authorization header holds the key; takes as long whatever it holds."""
        if self.digest is None:
            return True
        scheme, _, given = (header or b"").partition(b" ")
        same = hmac.compare_digest(hashlib.sha256(given.strip()).digest(), self.digest)
        return same and scheme.lower() == b"bearer"


async def body(http: HttpRequest, most: int) -> bytes:
    """What a request holds, read no further than it may be long. Raises TooLarge and TooSlow."""
    said = http.headers.get("content-length", "")
    if said.isdigit() and int(said) > most:
        raise TooLarge(f"the body has {said} bytes; the most is {most}")
    read = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for piece in http.stream():
                read += piece
                if len(read) > most:
                    raise TooLarge(f"the body has more than {most} bytes, which is the most")
    except TimeoutError as error:
        raise TooSlow(f"the body did not arrive within {PATIENCE:g} seconds") from error
    return bytes(read)


def key(file: Path | None, environment: Mapping[str, str]) -> str | None:
    """The endpoint's key, from a file or the environment; None if there is none. Raises WarmthError; never says it."""
    source = str(file) if file else VARIABLE
    said = _read(file) if file else environment.get(VARIABLE)
    if said is None:
        return None
    found = said.strip()
    if len(found) < SHORTEST or not (found.isascii() and found.isprintable()) or " " in found:
        make = 'python -c "import secrets; print(secrets.token_urlsafe(32))"'
        raise WarmthError(
            f"{source}: a key is at least {SHORTEST} visible ASCII characters, without spaces; `{make}` makes one"
        )
    return found


def _read(file: Path) -> str:
    try:
        mode = file.stat().st_mode
        if mode & stat.S_IRWXO:
            raise WarmthError(f"{file}: everyone on this machine can read or change this key; `chmod 600 {file}`")
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a text"
        raise WarmthError(
            f"{file}: the key cannot be read ({reason}); --api-key-file names a file that holds it"
        ) from (None)


def check_bind(host: str, key: str | None) -> None:
    """Whoever reaches an address beyond this machine must show a key. Raises WarmthError where there is none."""
    if key is None and not on_loopback(host):
        raise WarmthError(
            f"--host {host} can be reached from other machines, so it needs a key: --api-key-file FILE, or {VARIABLE} "
            "in the environment; or leave --host out, and only this machine reaches it"
        )


def on_loopback(host: str) -> bool:
    """Whether this machine alone reaches an address; a name may mean any, but for the one that always means this."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
