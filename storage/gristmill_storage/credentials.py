"""Where the secret is found that opens a store: a reference that stands in the address, never the secret itself.

    s3://team-a.json@bucket/path                      a file in this machine's folder of secrets, GRISTMILL_SECRETS
    s3://%2Frun%2Fsecrets%2Fteam-a@bucket/path        a file of this machine
    gs://$TEAM_A@bucket/path                          an environment variable of this process
    abfs://$TEAM_A@container@account.dfs.core.windows.net/path

An address goes wherever a job goes: into `job.json`, messages, logs. Each machine finds the secret by its own
configuration, at every opening anew, so that a secret that was changed is heeded without a restart. No error shows
anything of what was found, nor do the names of its keys: a wrong file may be another's secret.
"""

from __future__ import annotations

import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, unquote

from gristmill import settings
from gristmill.errors import Mistake

#: Schemes whose addresses can hold a reference.
SCHEMES: Final = frozenset({"s3", "gs", "abfs"})

#: Domains of Azure's own storage accounts, in its several clouds.
AZURE_DOMAINS: Final = frozenset(
    {"core.windows.net", "core.chinacloudapi.cn", "core.usgovcloudapi.net", "core.cloudapi.de"}
)

#: A container of Azure's, its account and the domain of that.
_ACCOUNT: Final = re.compile(r"abfss?://[^/@]+@(?P<account>[^/@.]+)\.(dfs|blob)\.(?P<endpoint>[^/@:]+)", re.IGNORECASE)

#: A file in the folder of secrets.
FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\.(json|yaml|yml)")

#: Bytes that a file with a secret may have.
_MOST: Final = 64 << 10

#: Which keys each store's secret has: sets of needed ones, then what may stand beside them.
_NEEDED: Final = {
    "s3": ({"aws_access_key_id", "aws_secret_access_key"},),
    "gs": (
        {"type", "client_email", "private_key", "token_uri"},
        {"type", "client_id", "client_secret", "refresh_token"},
    ),
    "abfs": ({"account_key"}, {"sas_token"}, {"tenant_id", "client_id", "client_secret"}),
}
_OPTIONAL: Final = {"s3": {"aws_session_token", "region", "endpoint_url"}, "abfs": {"account_name"}}

#: Accounts whose keys are in the file; of another kind, it could say what is to be run or asked for them.
_GOOGLE: Final = frozenset({"service_account", "authorized_user"})

#: What a secret of Azure may be that is no mapping.
_ACCOUNT_KEY: Final = re.compile(r"[A-Za-z0-9+/]{86}==")
_SAS: Final = re.compile(r"\??(?=(.*&)?sig=)[^\s]+")

_WORDS: Final = {
    "s3": "aws_access_key_id and aws_secret_access_key (with aws_session_token, region, endpoint_url where needed)",
    "gs": "the keys of a Google service account's file",
    "abfs": "account_key, or sas_token, or tenant_id, client_id and client_secret",
}


def parted(url: str) -> tuple[str, str]:
    """Return the reference in an address ("": none) and the address without it."""
    kind, mark, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    reference, at, place = host.partition("@")
    # abfs://container@account.host is an address; a name with a password is none of ours.
    if kind.lower() not in SCHEMES or not at or ":" in reference or (kind.lower() == "abfs" and "@" not in place):
        return "", url
    return unquote(reference), f"{kind}{mark}{place}{slash}{path}"


def referring(url: str, given: Mapping[str, Any]) -> str:
    """Return an address with the reference of a datastore's `credentials`; as it is where these name no secret."""
    reference = f"${given['environment']}" if "environment" in given else str(given.get("file", ""))
    kind, mark, rest = url.partition("://")
    return f"{kind}{mark}{quote(reference, safe='$')}@{rest}" if reference and kind in SCHEMES else url


def azure_host(url: str) -> tuple[str, str]:
    """Return the host that an address of Azure's names and the domain of its account; "" where it names none."""
    found = _ACCOUNT.match(url)
    return (f"{found['account']}.blob.{found['endpoint']}".lower(), found["endpoint"].lower()) if found else ("", "")


def plain(url: str) -> str:
    """Return an address without its reference: as the store's own tools take it."""
    return parted(url)[1]


def options(url: str, reference: str) -> dict[str, Any]:
    """Return what a store's driver takes to open an address with the secret that a reference leads to.

    Args:
        url: The address without the reference.
        reference: A file's name or path, or `$` and a variable's name.

    Raises:
        Mistake: this machine has no such secret, or it is not one for such a store.

    """
    kind = url.partition("://")[0].lower()
    return _DRIVERS[kind](_secret(kind, _text(reference), f"credentials {_named(reference)}"))


def _text(reference: str) -> str:
    if reference.startswith("$"):
        found = settings.variable(reference[1:])
        if not found:
            raise Mistake(
                f"credentials {_named(reference)}: this machine ({settings.machine()}) has no such variable; "
                "set it for the server and for each node, to the secret as JSON"
            )
        return found
    return _read(_path(reference), _named(reference))


def _path(reference: str) -> Path:
    if FILE_NAME.fullmatch(reference):
        return settings.secrets_folder() / reference
    if reference.startswith("/"):
        return Path(reference)
    raise Mistake(
        f"credentials {_named(reference)}: write the name of a file in GRISTMILL_SECRETS that ends in .json or .yaml, "
        "$ and the name of an environment variable, or a file's absolute path"
    )


def _read(path: Path, named: str) -> str:
    try:
        if path.stat().st_mode & stat.S_IRWXO:
            raise Mistake(f"credentials {named}: {path} is open to all of {settings.machine()}; chmod 600 it")
        with path.open("rb") as file:
            data = file.read(_MOST)
        return data.decode()
    except OSError as error:
        raise Mistake(
            f"credentials {named}: {path} cannot be read on {settings.machine()}: {error.strerror}; "
            "the server and each node need it there (GRISTMILL_SECRETS names the folder)"
        ) from None
    except UnicodeDecodeError:
        raise Mistake(f"credentials {named}: {path} is no text; give JSON or YAML") from None


def _secret(kind: str, text: str, named: str) -> dict[str, str]:
    import yaml  # noqa: PLC0415 (slow, and most jobs need no secret)

    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError:
        found = None  # its error would show the text
    if kind == "abfs" and not isinstance(found, dict):
        found = _azure(text.strip())
    if not isinstance(found, dict) or not _fits(kind, found):
        raise Mistake(f"{named}: this is no secret for {kind}://; it holds {_WORDS[kind]}, as JSON or YAML")
    return {str(key): str(value) for key, value in found.items()}


def _azure(text: str) -> dict[str, str] | None:
    """Return a secret that is one word; anything else might be a secret for somebody else."""
    if _ACCOUNT_KEY.fullmatch(text):
        return {"account_key": text}
    return {"sas_token": text} if _SAS.fullmatch(text) else None


def _fits(kind: str, found: dict[Any, Any]) -> bool:
    keys = set(found)
    if kind == "gs":
        return found.get("type") in _GOOGLE and any(needed <= keys for needed in _NEEDED[kind])
    return any(needed <= keys <= needed | _OPTIONAL[kind] for needed in _NEEDED[kind])


def _s3(secret: dict[str, str]) -> dict[str, Any]:
    given = {"key": "aws_access_key_id", "secret": "aws_secret_access_key", "token": "aws_session_token"}
    found: dict[str, Any] = {option: secret[name] for option, name in given.items() if name in secret}
    if "endpoint_url" in secret:
        found["endpoint_url"] = secret["endpoint_url"]
    if "region" in secret:
        found["client_kwargs"] = {"region_name": secret["region"]}
    return found


#: From a secret to what the store's driver takes.
_DRIVERS: Final = {"s3": _s3, "gs": lambda secret: {"token": secret}, "abfs": dict}


def _named(reference: str) -> str:
    return reference if reference.isprintable() else ascii(reference)
