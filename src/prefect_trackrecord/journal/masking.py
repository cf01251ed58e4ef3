"""What is secret: a value by the name that it goes by, a part of a text by what is around it.

A text costs little where nothing hints at a secret (`may_hold_secret`): that is asked of every path of every file.
"""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable

MASK = "********"

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
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
_QUERY_NAMES = frozenset(("key", "keys", "auth", "code", "sig", "signature", "sid", "hmac", "ticket", "assertion"))
_WEAK = frozenset(
    (
        *("token", "tokens", "secret", "secrets", "auth", "credential", "credentials", "cred", "creds", "bearer"),
        *("jwt", "sas", "dsn", "otp", "pass", "pw", "pin", "session_id", "cookies"),
    )
)
"""Words of prose, too: `unexpected token: foo`; what follows them must look like a secret."""


def is_secret_name(name: str) -> bool:
    """Whether a parameter or field of this name is masked: `db_password`, `PGPASSWORD`, `apiKeys`, `X-Auth-Token`..."""
    return _known(name) if len(name) <= 64 else _is_secret_name(name)


def _is_secret_name(name: str) -> bool:
    words = [word.lower() for word in _WORD.findall(name)]
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


_HINTS = (
    *("pass", "pwd", "pw", "secret", "token", "key", "auth", "cookie", "cred", "bearer", "jwt", "dsn", "sas", "pin"),
    *("session", "conn", "otp", "kennwort", "csrf", "xsrf", "cvv", "cvc", "webhook", "-u", "sid=", "sig", "code="),
    *("hmac=", "ticket=", "assertion=", "eyj", "gh", "xox", "glpat-", "k_live_", "sk-"),
)

_SIGNS = (" -", "'-", '"-', "('", '("', "(b", "earer", "EARER", "eyJ", "gh", "xox", "glpat-", "k_live_", "sk-")
"""Of a secret in a text that has neither pairs nor URLs nor elements."""


def may_hold_secret(text: str) -> bool:
    """Whether a text has any of the signs that `mask_text` goes by; False costs next to nothing."""
    if "=" not in text and ":" not in text and "<" not in text:
        return " " in text and (text[0] == "-" or _any_in(text, _SIGNS))
    return "://" in text or _hinted(text)


def _hinted(text: str) -> bool:
    return _any_in(text.lower(), _HINTS)


def _any_in(text: str, words: tuple[str, ...]) -> bool:
    for word in words:  # noqa: SIM110 - half the time of any() for a short text
        if word in text:
            return True
    return False


# Every repetition that another could follow is bounded: a hostile text costs time by its length, no more.
_URL = re.compile(r"""://[^\s'"<>]+""")
_PORT = re.compile(r"\d{1,5}[/?#]")
_BEYOND_USER = re.compile(r"[/?#@]")
_QUOTED_PASSWORD = re.compile(r"(?P<head>://[^\s/@:]{0,256}:)[^\s/@]{1,256}(?=@)")
_IN_PATH = re.compile(
    r"(?P<head>hooks\.slack\.com/(?:services|workflows|triggers)/|discord(?:app)?\.com/api/webhooks/\d+/"
    r"|api\.telegram\.org/bot|\.webhook\.office\.com/)[^\s'\"<>?)]+"
)
_QUERY = re.compile(r"""(?P<head>[?&#](?P<name>[\w.%-]{1,64})=)(?P<value>[^&\s#'"<>]+)""")
_COOKIES = re.compile(r"(?P<head>\b(?:Set-)?Cookie:\s{0,8})[^\r\n'\"]+", re.IGNORECASE)
_INPUT = re.compile(
    r"(?m)^(?P<head>(?P<name>[\w.-]{1,256})\n[^\n]{0,1024}?input_value=)(?P<value>[^\n]+?)(?=, input_type=|$)"
)
_PAIR = re.compile(
    r"\b(?P<name>[A-Za-z_][\w.-]{0,63})(?P<close>\\{0,3}['\"]\]?)?"
    r"\s{0,8}(?P<sep>=>|==?|:(?!//))[ \t]{0,8}(?:\r?\n[ \t]{1,16})?"
)
_OPTION = re.compile(r"(?<![\w-])--?(?P<name>[A-Za-z][\w-]{1,63})(?:['\"],)?\s{1,4}(?!-)")
_FIRST_OF_TWO = re.compile(r"\(b?['\"](?P<name>[A-Za-z][\w-]{1,63})['\"],\s?")
_LOGIN = re.compile(
    r"(?P<head>(?<![\w-])(?:-u|--user|--proxy-user)(?:['\"],)?[ =]{1,3}['\"]?[^\s:'\"]{1,256}:)[^\s'\"]{1,1024}"
)
_ELEMENT = re.compile(r"(?P<head><(?:\w{1,32}:)?(?P<name>[A-Za-z][\w.-]{1,63})(?:\s[^<>]{0,256})?>)[^<]{1,4096}(?=</)")
_PRIVATE_KEY = re.compile(r"(?P<head>-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----)[^-]{1,16384}")
_BEARER = re.compile(r"(?P<head>\bBearer\s{1,8})(?=[\w.~+/=-]*\d)[\w.~+/=-]{6,}", re.IGNORECASE)
_SHAPES = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|xox[abeoprs]-[\w-]{8,}|glpat-[\w-]{12,}|[sr]k_live_\w{12,}"
    r"|sk-(?:ant-|proj-)?[A-Za-z0-9_]{20,}[\w-]*|eyJ[\w-]{6,1024}\.[\w-]{6,4096}\.[\w-]+)"
)
_VALUE = re.compile(
    r"(?P<open>[bru]{0,2}(?P<q>\\{0,3}['\"]))(?P<quoted>(?:(?!(?P=q))(?:\\.|[^\\\r\n])){1,4096})(?P=q)?"
    r"|\[[^\]]{1,4096}\]?|\{[^}]{1,4096}\}?|\([^)]{1,4096}\)?"
    r"|(?P<scheme>(?:Bearer|Basic|Token|Digest|ApiKey|Negotiate)\s{1,8})?"
    r"(?P<bare>(?:[^\s'\",;&)\]}]|['\")\]}](?=\w)|,(?=[^\s,;'\")\]}=]+(?![^\s,;=:]*[=:]))){1,4096})",
    re.IGNORECASE,
)
_SCHEME = re.compile(r"(?:Bearer|Basic|Token|Digest|ApiKey|Negotiate)\s{1,8}", re.IGNORECASE)
_NO_VALUE = frozenset(("None", "null", "True", "False", "true", "false", "nil", "undefined", MASK))


def mask_text(text: str) -> str:
    """`text` with the secrets masked that can be told by what is around them.

    That is userinfo of URLs, and keys, tokens and signatures of their queries; pairs such as `password=...`,
    `"password": "..."` and `password: ...`; headers, options of commands and XML elements whose name says so; what
    follows `Bearer`; and tokens whose shape says so. What a text says of a secret in words, nobody finds.
    """
    if not may_hold_secret(text):
        return text
    if "://" in text:
        if "@" in text:
            text = _QUOTED_PASSWORD.sub(_quoted_password, _URL.sub(_userinfo, text))
        text = _IN_PATH.sub(rf"\g<head>{MASK}", text)
    if "=" in text and ("?" in text or "&" in text or "#" in text):
        text = _QUERY.sub(_query, text)
    return _mask_named(text) if _hinted(text) else text


def _mask_named(text: str) -> str:
    if "ookie:" in text or "OOKIE:" in text:
        text = _COOKIES.sub(rf"\g<head>{MASK}", text)
    if "input_value=" in text:  # pydantic's, below the name of the field
        text = _INPUT.sub(_if_secret, text)
    if "=" in text or ":" in text:
        text = _mask_values(text, _PAIR, _is_pair)
    if " -" in text or text.startswith("-") or "'-" in text or '"-' in text:
        text = _mask_values(_LOGIN.sub(rf"\g<head>{MASK}", text), _OPTION)
    if "('" in text or '("' in text or "(b" in text:
        text = _mask_values(text, _FIRST_OF_TWO)
    if "</" in text:
        text = _ELEMENT.sub(_if_secret, text)
    if "PRIVATE KEY-----" in text:
        text = _PRIVATE_KEY.sub(rf"\g<head>{MASK}", text)
    return _SHAPES.sub(MASK, _BEARER.sub(rf"\g<head>{MASK}", text))


def _userinfo(found: re.Match[str]) -> str:
    """A URL from its `://` on. A password may have any character, so it ends at the last `@`."""
    rest = found[0][3:]
    user, colon, password = rest[: rest.rfind("@") + 1][:-1].partition(":")
    http = found.string[max(0, found.start() - 5) : found.start()].lower().endswith(("http", "https"))
    if colon and not _BEYOND_USER.search(user):
        if _PORT.match(password):
            return found[0]
        shown = MASK if http and password in {"", "x-oauth-basic"} and user else user  # a token in the user's place
        return f"://{shown}:{MASK if password else ''}{rest[rest.rfind('@') :]}"
    user = re.split("[/?#]", rest, maxsplit=1)[0].rpartition("@")[0]
    return found[0] if not (http and user) or user == "git" else f"://{MASK}{rest[len(user) :]}"


def _quoted_password(found: re.Match[str]) -> str:
    return found[0] if _PORT.match(found[0], len(found["head"])) else found["head"] + MASK


def _query(found: re.Match[str]) -> str:
    words = _WORD.findall(found["name"])
    secret = words and (words[-1].lower() in _QUERY_NAMES or is_secret_name(found["name"]))
    return found["head"] + MASK if secret else found[0]


def _if_secret(found: re.Match[str]) -> str:
    return found["head"] + MASK if is_secret_name(found["name"]) else found[0]


def _mask_values(
    text: str, names: re.Pattern[str], wanted: Callable[[re.Match[str], re.Match[str]], bool] | None = None
) -> str:
    """Mask the value after each name that says that it is secret.

    Args:
        text: any text.
        names: finds a name, and all up to its value.
        wanted: whether name and value are such a pair; the name alone decides where left out.
    """
    parts: list[str] = []
    done = 0
    for name in names.finditer(text):
        if name.start() < done or not (is_secret_name(name["name"]) or name["name"] in _AFTER_A_WORD):
            continue
        value = _VALUE.match(text, name.end())
        if value is None or value["bare"] in _NO_VALUE or not (wanted is None or wanted(name, value)):
            continue
        quoted, kept = value["quoted"], value["scheme"] or ""
        if quoted is not None:
            scheme = _SCHEME.match(quoted)
            kept = value["open"] + (scheme[0] if scheme else "")
        parts += text[done : name.end()], kept, MASK
        done = value.end() if quoted is None else value.end("quoted")
    return "".join((*parts, text[done:]))


_AFTER_A_WORD = frozenset(("key", "keys", "string", "Key", "Keys", "String"))


def _is_pair(name: re.Match[str], value: re.Match[str]) -> bool:
    """A name, `=` or `:`, and a value. Without quotes the name may be a word of a sentence."""
    word, bare = name["name"], value["bare"] or ""
    if word in _AFTER_A_WORD:  # API key: ...
        before = name.string[max(0, name.start() - 16) : name.start()].split()
        return bool(before) and is_secret_name(f"{before[-1]}_{word}")
    if name["sep"] == ":" and not name["close"]:
        word = word.rpartition(".")[2]
        if word.lower() in _WEAK:
            said = bare or value["quoted"] or ""
            return len(said) >= 8 and any(c.isdecimal() for c in said)
        return is_secret_name(word)
    return not (word.lower() in {"tokens", "pass"} and bare.isdecimal())
