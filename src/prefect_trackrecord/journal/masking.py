"""What is secret in a text: by the name before it (`secret_names`), by what is around it, by its shape.

A text costs little where nothing hints at a secret (`may_hold_secret`): that is asked of every path of every file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from prefect_trackrecord.journal.secret_names import WORD, is_secret_name

MASK = "********"
_QUERY_NAMES = frozenset(("key", "keys", "auth", "code", "sig", "signature", "sid", "hmac", "ticket", "assertion"))
_WEAK = frozenset(
    (
        *("token", "tokens", "secret", "secrets", "auth", "credential", "credentials", "cred", "creds", "bearer"),
        *("jwt", "sas", "dsn", "otp", "pass", "pw", "pin", "session_id", "cookies"),
    )
)
"""Words of prose, too: `unexpected token: foo`; what follows them must look like a secret."""

_HINTS = (
    *("pass", "pwd", "pw", "secret", "token", "key", "auth", "cookie", "cred", "bearer", "jwt", "dsn", "sas", "pin"),
    *("session", "conn", "otp", "kennwort", "csrf", "xsrf", "cvv", "cvc", "webhook", "-u", "sid=", "sig", "code="),
    *("hmac=", "ticket=", "assertion=", "eyj", "gh", "xox", "glpat-", "k_live_", "sk-", "pnu_", "pnb_"),
    *("hf_", "npm_", "pypi-", "aiza", "sg."),
)

_STARTS = (
    *("eyJ", "gh", "xox", "glpat-", "sk_live_", "rk_live_", "sk-", "pnu_", "pnb_", "hf_", "npm_", "pypi-", "AIza"),
    "SG.",
)
"""Of a secret that is a text by itself."""
_SIGNS = (*(" -", "'-", '"-', "('", '("', "(b", "earer", "EARER"), *_STARTS)
"""Of a secret in a text that has neither pairs nor URLs nor elements."""


def may_hold_secret(text: str) -> bool:
    """Whether a text has any of the signs that `mask_text` goes by; False costs next to nothing."""
    if "=" not in text and ":" not in text and "<" not in text:
        return text.startswith(_STARTS) or (" " in text and (text[0] == "-" or _any_in(text, _SIGNS)))
    return "://" in text or _hinted(text)


def masked_word(word: Any, before: Any) -> Any:
    """What is shown of a word in a list, by the one before it: of `X` after `--password`, of `me:X` after `-u`."""
    if type(before) is not str or before[:1] != "-" or not (type(word) is str or type(word) is int):
        return word
    if type(word) is str and (word[:1] in ("-", "") or before in _LOGINS):
        user, colon, _ = word.partition(":")
        return f"{user}:{MASK}" if colon and word[0] != "-" else word
    return MASK if _OPTION_WORD.fullmatch(before) and is_secret_name(before) else word


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
_TRIPLE = re.compile(
    r"""\b(?P<name>[A-Za-z_][\w.-]{0,63})['"]?\s{0,8}(?:=|:)\s{0,8}[bru]{0,2}(?P<q>\"{3}|'{3})"""
    r"(?P<value>(?:(?!(?P=q)).)+)",
    re.DOTALL,
)
_NAME_BESIDE = re.compile(
    r"""\b(?:[Nn]ame|[Kk]ey)\\{0,3}['"]?\s{0,4}[:=]\s{0,4}\\{0,3}['"]?(?P<name>[A-Za-z_][\w.-]{0,63})\\{0,3}['"]?"""
    r"""(?:\s{0,4},\s{0,16}|\s{1,16})\\{0,3}['"]?[Vv]alue\\{0,3}['"]?\s{0,4}[:=][ \t]{0,4}"""
)
_VALUE_BEFORE = re.compile(
    r"""(?P<head>\b[Vv]alue\\{0,3}['"]?\s{0,4}[:=]\s{0,4}(?P<q>\\{0,3}['"]))(?:(?!(?P=q))(?:\\.|[^\\\r\n])){1,1024}"""
    r"""(?P<tail>(?P=q)\s{0,4},\s{0,16}\\{0,3}['"]?(?:[Nn]ame|[Kk]ey)\\{0,3}['"]?\s{0,4}[:=]\s{0,4}(?P=q)(?P<name>[\w.-]{1,64}))"""
)
_OPTION = re.compile(r"(?<![\w-])--?(?P<name>[A-Za-z][\w-]{1,63})(?:['\"],)?\s{1,4}(?!-)")
_FIRST_OF_TWO = re.compile(r"\(b?['\"](?P<name>[A-Za-z][\w-]{1,63})['\"],\s?")
_OPTION_WORD = re.compile(r"--?[A-Za-z][\w.-]{1,63}")
_LOGINS = frozenset(("-u", "--user", "--proxy-user"))
_LOGIN = re.compile(
    r"(?P<head>(?<![\w-])(?:-u|--user|--proxy-user)(?:['\"],)?[ =]{1,3}['\"]?[^\s:'\"]{1,256}:)[^\s'\"]{1,1024}"
)
_ELEMENT = re.compile(r"(?P<head><(?:\w{1,32}:)?(?P<name>[A-Za-z][\w.-]{1,63})(?:\s[^<>]{0,256})?>)[^<]{1,4096}(?=</)")
_PRIVATE_KEY = re.compile(r"(?P<head>-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----)[^-]{1,16384}")
_BEARER = re.compile(r"(?P<head>\bBearer\s{1,8})(?=[\w.~+/=-]*\d)[\w.~+/=-]{6,}", re.IGNORECASE)
_SHAPES = re.compile(
    r"\b(?:gh[pousr]_[A-Za-z0-9]{16,}|github_pat_\w{16,}|xox[abeoprs]-[\w-]{8,}|glpat-[\w-]{12,}|[sr]k_live_\w{12,}"
    r"|pn[ub]_[A-Za-z0-9]{20,}|hf_[A-Za-z0-9]{30,}|npm_[A-Za-z0-9]{30,}|pypi-[\w-]{30,}|AIza[\w-]{35}"
    r"|SG\.[\w-]{16,}\.[\w-]{16,}|sk-(?:ant-|proj-)?[A-Za-z0-9_]{20,}[\w-]*|eyJ[\w-]{6,1024}\.[\w-]{6,4096}\.[\w-]+)"
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
        if '"""' in text or "'''" in text:
            text = _TRIPLE.sub(_triple, text)
        text = _mask_values(text, _PAIR, _is_pair)
        if "alue" in text:
            text = _mask_values(text, _NAME_BESIDE, _is_named)
            text = _VALUE_BEFORE.sub(_if_secret_before, text)
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
    words = WORD.findall(found["name"])
    secret = words and (words[-1].lower() in _QUERY_NAMES or is_secret_name(found["name"]))
    return found["head"] + MASK if secret else found[0]


def _if_secret(found: re.Match[str]) -> str:
    return found["head"] + MASK if is_secret_name(found["name"]) else found[0]


def _if_secret_before(found: re.Match[str]) -> str:
    return found["head"] + MASK + found["tail"] if is_secret_name(found["name"]) else found[0]


def _triple(found: re.Match[str]) -> str:
    if not is_secret_name(found["name"]):
        return found[0]
    return found[0][: found.start("value") - found.start()] + MASK


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
        if name.start() < done or not (is_secret_name(name["name"]) or name["name"] in _ONLY_SO):
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


def _is_named(name: re.Match[str], _value: re.Match[str]) -> bool:
    """A value whose name stands beside it: `"name": "API_TOKEN", "value": ...`."""
    return is_secret_name(name["name"])


_AFTER_A_WORD = frozenset(("key", "keys", "string", "Key", "Keys", "String"))
_ONLY_SO = _AFTER_A_WORD | {"sig"}
"""What is no secret by its name alone."""


def _is_pair(name: re.Match[str], value: re.Match[str]) -> bool:
    """A name, `=` or `:`, and a value. Without quotes the name may be a word of a sentence."""
    word, bare = name["name"], value["bare"] or ""
    if word in _AFTER_A_WORD:  # API key: ...
        before = name.string[max(0, name.start() - 16) : name.start()].split()
        return bool(before) and is_secret_name(f"{before[-1]}_{word}")
    if word == "sig":  # Azure's, where it is in no URL
        return name["sep"] == "=" and len(bare) >= 16
    if name["sep"] == ":" and not name["close"]:
        word = word.rpartition(".")[2]
        if word.lower() in _WEAK:
            said = bare or value["quoted"] or ""
            return len(said) >= 8 and any(c.isdecimal() for c in said)
        return is_secret_name(word)
    return not (word.lower() in {"tokens", "pass"} and bare.isdecimal())
