"""Where packages come from: pip's configuration, handed on to uv, which does not read it by itself.

A machine that can install by pip can so build environments, without a second configuration. What is set for uv
itself wins.
"""

from __future__ import annotations

import configparser
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

#: pip's option, uv's variable, and what uv puts between several values.
_OPTIONS: Final = (
    ("index-url", "UV_DEFAULT_INDEX", " "),
    ("extra-index-url", "UV_INDEX", " "),
    ("find-links", "UV_FIND_LINKS", ","),
    ("no-index", "UV_NO_INDEX", " "),
    ("trusted-host", "UV_INSECURE_HOST", " "),
    ("constraint", "UV_CONSTRAINT", " "),
    ("cert", "SSL_CERT_FILE", " "),
    ("proxy", "HTTPS_PROXY", " "),
    ("timeout", "UV_HTTP_TIMEOUT", " "),
)

#: uv's variables that mean the same as another: where one is set, pip's value is not wanted.
_OTHER_NAMES: Final = {
    "UV_DEFAULT_INDEX": ("UV_INDEX_URL",),
    "UV_INDEX": ("UV_EXTRA_INDEX_URL",),
    "HTTPS_PROXY": ("https_proxy", "ALL_PROXY", "all_proxy"),
}


def uv_variables(environment: Mapping[str, str], prefix: Path = Path(sys.prefix)) -> dict[str, str]:
    """Return the variables that tell uv what pip is configured to do.

    Args:
        environment: The process's environment; pip's variables in it win over pip's files.
        prefix: The Python installation whose own pip.conf counts.

    """
    configured = _configured(environment, prefix)
    found = {}
    for option, variable, separator in _OPTIONS:
        value = environment.get("PIP_" + option.upper().replace("-", "_")) or configured.get(option, "")
        names = (variable, *_OTHER_NAMES.get(variable, ()))
        if value and not any(environment.get(name) for name in names):
            found[variable] = separator.join(value.split())
    if not found.get("UV_HTTP_TIMEOUT", "0").isdecimal():
        del found["UV_HTTP_TIMEOUT"]  # pip takes fractions, uv does not
    return found


def _configured(environment: Mapping[str, str], prefix: Path) -> dict[str, str]:
    """Return the options of pip's files, later files over earlier ones, `[install]` over `[global]`."""
    found: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    for path in _files(environment, prefix):
        parser = configparser.RawConfigParser()
        try:
            parser.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue  # pip itself will say so; for us the file says nothing
        for section, options in found.items():
            if parser.has_section(section):
                options.update(parser.items(section))
    return {name.replace("_", "-"): value for options in found.values() for name, value in options.items()}


def _files(environment: Mapping[str, str], prefix: Path) -> Iterator[Path]:
    """Yield the files that pip reads, in its order."""
    explicit = environment.get("PIP_CONFIG_FILE", "")
    if explicit == "/dev/null":
        return
    home = Path(environment.get("HOME") or "~").expanduser()
    for folder in (environment.get("XDG_CONFIG_DIRS") or "/etc/xdg").split(":"):
        yield Path(folder) / "pip" / "pip.conf"
    yield Path("/etc/pip.conf")
    if sys.platform == "darwin":
        yield home / "Library" / "Application Support" / "pip" / "pip.conf"
    yield home / ".pip" / "pip.conf"
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "pip" / "pip.conf"
    yield prefix / "pip.conf"
    if explicit:
        yield Path(explicit)
