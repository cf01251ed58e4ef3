"""What is secret by the name that it goes by: of a parameter, a field, a key, an option, an element."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_NAMES = frozenset(
    (
        *("password", "passphrase", "passcode", "pwd", "secret", "token", "apikey", "sas", "dsn", "jwt", "otp", "totp"),
        *("credential", "cred", "authorization", "auth", "cookie", "bearer", "csrf", "xsrf", "cvv", "cvc"),
    )
)
_INSIDE = ("password", "passwd", "passwort", "kennwort", "passphrase")
_ENDINGS = (
    *("pwd", "passcode", "secret", "token", "credential", "cookie", "jwt", "sessionid", "sessid"),
    *("apikey", "accesskey", "secretkey", "privatekey", "accountkey", "sharedkey", "signingkey", "encryptionkey"),
    *("sessionkey", "masterkey", "licensekey", "sshkey", "authkey", "servicekey", "subscriptionkey"),
    *("connectionstring", "connstring", "connstr"),
    *("userpass", "dbpass", "pgpass", "sshpass", "mypass", "smtppass", "mailpass", "ftppass", "rootpass", "adminpass"),
    *("keypass", "storepass"),
)
_PAIRS = frozenset(
    (
        *("api_key", "access_key", "secret_key", "private_key", "account_key", "session_key", "signing_key"),
        *("encryption_key", "decryption_key", "shared_key", "ssh_key", "license_key", "auth_key", "master_key"),
        *("service_key", "subscription_key", "client_key", "app_key", "server_key", "deploy_key", "function_key"),
        *("hmac_key", "aes_key", "rsa_key", "pgp_key", "gpg_key", "tls_key", "ssl_key", "consumer_key", "admin_key"),
        *("openai_key", "anthropic_key", "stripe_key", "sendgrid_key", "mailgun_key", "twilio_key", "github_key"),
        *("connection_string", "connection_str", "conn_string", "conn_str", "session_id", "pass_phrase", "pass_word"),
    )
)
_AT_THE_END = frozenset(("pass", "pw", "pin"))
_NOT_A_PASSWORD = frozenset(
    (
        *("first", "second", "third", "last", "next", "previous", "prev", "single", "each", "all", "one", "two", "n"),
        *("num", "low", "high", "band", "max", "min", "by", "full", "final", "multi", "forward", "backward"),
    )
)
"""Before `pass`: a pass over data, not a password."""
_COUNTED = frozenset(
    (
        *("max", "min", "n", "num", "total", "count", "number", "prompt", "completion", "input", "output", "cached"),
        *("new", "used", "remaining", "left", "per", "avg", "mean", "sum", "reasoning", "generated", "consumed"),
        *("context", "chunk", "audio", "special", "stop"),
    )
)
"""Beside `tokens`: those of a language model."""
_OF_A_MODEL = frozenset(("pad", "eos", "bos", "unk", "sep", "cls", "mask"))
_ABOUT = frozenset(
    (
        *("mode", "type", "method", "kind", "scheme", "provider", "version", "algorithm", "alg", "policy", "strength"),
        *("count", "counts", "limit", "size", "length", "len", "rate", "budget", "price", "cost", "usage", "used"),
        *("remaining", "url", "uri", "endpoint", "domain", "host", "port", "server", "service", "issuer", "audience"),
        *("enabled", "disabled", "required", "valid", "status", "scope", "scopes", "user", "username", "field"),
        *("expiry", "expires", "expiration", "ttl", "age", "timeout", "interval", "at", "error", "errors"),
        *("exception", "exceptions", "warning", "failed", "failure", "py", "js", "ts", "go", "java", "rs", "rb"),
    )
)
"""At the end of a name: it says something about a secret, and is none."""


def is_secret_name(name: str) -> bool:
    """Whether a parameter or field of this name is masked: `db_password`, `PGPASSWORD`, `apiKeys`, `X-Auth-Token`..."""
    return _known(name) if len(name) <= 64 else _is_secret_name(name)


def _is_secret_name(name: str) -> bool:
    words = [word.lower() for word in WORD.findall(name)]
    if not words:
        return False
    if "webhook" in words and words[-1] in {"url", "urls", "uri"}:  # whoever knows it may post there
        return True
    if len(words) > 1 and words[-1] in _ABOUT:
        return False
    ones = [_singular(word) for word in words]
    for word, one in zip(words, ones, strict=True):
        if one in {"token", "authtoken"} and (
            not _OF_A_MODEL.isdisjoint(words) or (word != one and not _COUNTED.isdisjoint(words))
        ):
            continue
        if one in _NAMES or one.endswith(_ENDINGS):
            return True
        if word != "passwordless" and any(part in word for part in _INSIDE):
            return True
    if words[-1] in _AT_THE_END and (len(words) == 1 or words[-2] not in _NOT_A_PASSWORD):
        return True
    return any(f"{a}_{b}" in _PAIRS for a, b in itertools.pairwise(ones))


_known = functools.lru_cache(4_096)(_is_secret_name)


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and not word.endswith("ss") and word != "sas" else word


def named_secret(mapping: Mapping[Any, Any]) -> str | None:
    """The key of a secret whose name stands beside it, as in `{"name": "API_TOKEN", "value": ...}`; else None."""
    for value in ("value", "Value"):
        if value in mapping:
            names = (mapping.get(key) for key in ("name", "key", "Name", "Key"))
            return value if any(isinstance(name, str) and is_secret_name(name) for name in names) else None
    return None


def secret_pairs(values: Sequence[Any]) -> list[int]:
    """Which of a list of pairs tell a secret after its name, as headers do: `[["X-Api-Key", ...], ["Host", ...]]`."""
    if not values or not all(isinstance(v, list | tuple) and len(v) == 2 and isinstance(v[0], str) for v in values):
        return []
    return [n for n, (name, value) in enumerate(values) if is_secret_name(name) and value not in (None, "", False)]
