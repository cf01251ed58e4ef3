"""What is masked, and what is not: names of parameters and fields, and parts of texts."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from prefect_trackrecord.journal.masking import MASK, mask_text, may_hold_secret
from prefect_trackrecord.journal.plain import plain
from prefect_trackrecord.journal.secret_names import is_secret_name
from prefect_trackrecord.record.masking import settle

S = "hunter2XY"

SECRET_NAMES = re.findall(
    r"\S+",
    """
    password db_password dbPassword dbpassword DBPASSWORD PGPASSWORD mypassword password2 passwords passwd
    MYSQL_PWD pwd pw db_pw pass db_pass SMTP_PASS userpass passphrase ssh_passphrase passcode Passwort pin otp jwt
    dsn sas cvv api_key API_KEY apiKey api_keys apikeys X-Api-Key XApiKey OPENAI_API_KEY accesskey access_key
    accessKeys secretkey private_key privateKey ssh_key license_key account_key AccountKey
    AZURE_STORAGE_ACCOUNT_KEY Ocp-Apim-Subscription-Key signing_key aws_secret_access_key token tokens
    access_token refresh_tokens accessToken sasToken X-Auth-Token aws_session_token secret secrets client_secret
    clientSecret credentials creds aws_credentials credentials_path auth basic_auth authorization
    Proxy-Authorization bearer cookie Set-Cookie session_cookie session_id sessionid sessionId connection_string
    conn_str connectionString webhook_url slackWebhookUrl db.password
    """,
)

OTHER_NAMES = re.findall(
    r"\S+",
    """
    max_tokens n_tokens num_tokens total_tokens max_new_tokens prompt_tokens token_count token_limit
    tokens_per_second pad_token tokenizer tokenizer_name auth_mode auth_type auth_url token_url token_type
    auth_enabled password_length password_policy passwordless secret_version expires_at token_expires_at auth_user
    session_timeout key keys primary_key primaryKey foreign_key sort_key cache_key object_key public_key keyboard
    keyword monkey turkey author authors authority passport bypass compass passenger assessment passed first_pass
    pass_rate secretary session connection signature spin pinned path url database_url
    google.auth.exceptions.RefreshError
    """,
)


@pytest.mark.parametrize("name", SECRET_NAMES)
def test_names_that_are_secret(name):
    assert is_secret_name(name)


@pytest.mark.parametrize("name", OTHER_NAMES)
def test_names_that_are_not(name):
    assert not is_secret_name(name)


SHAPES = [
    *("ghp_" + "a1B2" * 9, "glpat-" + "a1B2" * 5, "xoxb-" + "1234-" * 4, "sk_live_" + "a1" * 12),
    *("pnu_" + "a1B2" * 9, "pnb_" + "a1B2" * 9, "sk-proj-" + "a1B2" * 9, "eyJhbGciOi.eyJzdWIiOi.c2lnbmF0dXJl"),
    *("hf_" + "a1B2" * 9, "npm_" + "a1B2" * 9, "AIza" + "a1B2c" * 7, "SG." + "a1B2" * 5 + "." + "a1B2" * 5),
    "pypi-" + "AgEI" * 9,
]


@pytest.mark.parametrize("text", SHAPES)
def test_a_text_that_is_nothing_but_a_token(text):
    assert may_hold_secret(text)
    assert mask_text(text) == MASK
    assert mask_text(f"see {text} there") == f"see {MASK} there"


@pytest.mark.parametrize(
    "name",
    ["ghost.txt", "sk-2024.csv", "eyJ", "xoxo/letter.pdf", "pnu_list", "npm_modules/a", "pypi-mirror/index.html"],
)
def test_a_path_that_begins_like_one(name):
    assert mask_text(name) == name


@pytest.mark.parametrize(
    ("given", "hidden"),
    [
        ({"name": "API_TOKEN", "value": S}, True),
        ({"key": "db_password", "value": S}, True),
        ({"Name": "PGPASSWORD", "Value": S}, True),
        ({"name": "color", "value": S}, False),
        ({"name": 5, "value": S}, False),
        ({"name": "token", "amount": S}, False),
    ],
)
def test_a_value_whose_name_stands_beside_it(given, hidden):
    """As the environment of a container is written."""
    last = list(given)[1]
    assert plain([given])[0][last] == (MASK if hidden else S)
    values = {"env": [dict(given)]}
    settle(values)
    assert values["env"][0][last] == (MASK if hidden else S)


def test_pairs_of_names_and_values():
    """As headers are handed on."""
    given = [("X-Api-Key", S), ("Host", "h"), ("cookie", None), ("Authorization", {"a": S})]
    shown = [["X-Api-Key", MASK], ["Host", "h"], ["cookie", None], ["Authorization", MASK]]
    assert plain(given) == shown
    values = {"sent": [list(pair) for pair in given]}
    secrets, _ = settle(values)
    assert values["sent"] == shown
    assert list(secrets) == ["sent[0][1]", "sent[3][1]"]
    for other in (["token", S], [["token", S], ["a"]], [["token", S], "a"]):
        assert plain(other) == other
        settle(values := {"n": other})
        assert values == {"n": other}


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        (["psql", "--password", S, "db"], ["psql", "--password", MASK, "db"]),
        (["psql", f"--password={S}"], ["psql", f"--password={MASK}"]),
        (["curl", "-u", f"me:{S}", "-H", f"X-Api-Key: {S}"], ["curl", "-u", f"me:{MASK}", "-H", f"X-Api-Key: {MASK}"]),
        (["x", "--pin", 1234, "--api-key", S], ["x", "--pin", MASK, "--api-key", MASK]),
        (["mysql", "-p", S], ["mysql", "-p", S]),
        (["x", "--max-tokens", "5", "--password", "--verbose"], ["x", "--max-tokens", "5", "--password", "--verbose"]),
        (["-u", "me", "- password", "of mine", "--token"], ["-u", "me", "- password", "of mine", "--token"]),
        (["password", "token", 3], ["password", "token", 3]),
    ],
)
def test_the_words_of_a_command_line(given, shown):
    assert plain(given) == plain({"argv": tuple(given)})["argv"] == shown
    values = {"argv": list(given)}
    secrets, _ = settle(values)
    assert values["argv"] == shown
    assert len(secrets or ()) == sum(a != b for a, b in zip(given, shown, strict=True))


MASKED = [
    # a value beside its name
    (f'{{"name": "API_TOKEN", "value": "{S} x"}}', '{"name": "API_TOKEN", "value": "***"}'),
    (
        f'[{{\\"key\\": \\"db_password\\", \\"value\\": \\"{S}\\"}}]',
        '[{\\"key\\": \\"db_password\\", \\"value\\": \\"***\\"}]',
    ),
    (f'{{"value": "{S}", "name": "API_TOKEN"}}', '{"value": "***", "name": "API_TOKEN"}'),
    (f"Env(name='API_TOKEN', value='{S}')", "Env(name='API_TOKEN', value='***')"),
    (f"- name: API_TOKEN\n  value: {S}\n- name: B", "- name: API_TOKEN\n  value: ***\n- name: B"),
    # three quotes
    (f'password = """{S}"""', 'password = """***"""'),
    (f"password = '''a\n{S}'''\nx=1", "password = '''***'''\nx=1"),
    (f'cut: password="""{S}', 'cut: password="""***'),
    (f"SharedAccessSignature sig={S * 3}&se=1", "SharedAccessSignature sig=***&se=1"),
    # pairs
    (f"password={S}", "password=***"),
    ("password=ab", "password=***"),
    (f"password: {S}", "password: ***"),
    (f'password = "{S} with space"', 'password = "***"'),
    (f"{{'user': 'x', 'password': '{S}'}}", "{'user': 'x', 'password': '***'}"),
    (f'{{"password": "{S}", "a": 1}}', '{"password": "***", "a": 1}'),
    (f'{{\\"password\\": \\"{S}\\", \\"a\\": 1}}', '{\\"password\\": \\"***\\", \\"a\\": 1}'),
    (f"{{'password': 'it\\'s {S}', 'x': 1}}", "{'password': '***', 'x': 1}"),
    (f"{{'password': b'{S}'}}", "{'password': b'***'}"),
    (f"{{'pin': 1234, 'a': '{S}'}}", f"{{'pin': ***, 'a': '{S}'}}"),
    (f"kwargs: password='{S}'", "kwargs: password='***'"),
    (f"env: {{'DBPASSWORD': '{S}', 'HOME': '/r'}}", "env: {'DBPASSWORD': '***', 'HOME': '/r'}"),
    (f"password:\n  {S}\nuser: x", "password:\n  ***\nuser: x"),
    (f"f(password={S},user=x)", "f(password=***,user=x)"),
    (f"password=a,{S}", "password=***"),
    (f"passwords: ['{S}', 'b'], n", "passwords: ***, n"),
    (f"auth=('me', '{S}'), timeout=3", "auth=***, timeout=3"),
    (f"passphrase={S}", "passphrase=***"),
    (f"API key: {S}", "API key: ***"),
    (f"the token: {S}", "the token: ***"),
    (f"jdbc:sqlserver://h;user=x;password={S}", "jdbc:sqlserver://h;user=x;password=***"),
    (f"SharedAccessSignature=sv=2020&sig={S}", "SharedAccessSignature=sv=2020&sig=***"),
    (f"unclosed {{'password': '{S} and mo", "unclosed {'password': '***"),
    # headers
    (f"X-Api-Key: {S}", "X-Api-Key: ***"),
    (f"Headers({{'x-api-key': '{S}', 'accept': '*/*'}})", "Headers({'x-api-key': '***', 'accept': '*/*'})"),
    (f"[(b'x-api-key', b'{S}'), (b'a', b'b')]", "[(b'x-api-key', b'***'), (b'a', b'b')]"),
    (f"Cookie: sid={S}; b={S}\nHost: h", "Cookie: ***\nHost: h"),
    (f"Set-Cookie: session={S}", "Set-Cookie: ***"),
    (f"authorization: Basic {S}", "authorization: Basic ***"),
    (f"{{'Authorization': 'Bearer {S}'}}", "{'Authorization': 'Bearer ***'}"),
    # command lines and elements
    (f"psql --password {S} -h db", "psql --password *** -h db"),
    (f"wget --http-password={S} u", "wget --http-password=*** u"),
    (f"['psql', '--password', '{S}', 'db']", "['psql', '--password', '***', 'db']"),
    (f"PGPASSWORD={S} psql", "PGPASSWORD=*** psql"),
    (f"curl -u me:{S} h", "curl -u me:*** h"),
    (f"curl -H 'X-Api-Key: {S}' h", "curl -H 'X-Api-Key: ***' h"),
    (f"<password>{S}</password>", "<password>***</password>"),
    # URLs
    (f"postgresql://u:{S}@h/db", "postgresql://u:***@h/db"),
    (f"postgresql://u:a/{S}@h/db", "postgresql://u:***@h/db"),
    (f"postgresql://u:x@{S}@h/db", "postgresql://u:***@h/db"),
    (f"postgresql://u:x?#{S}@h/db", "postgresql://u:***@h/db"),
    (f"postgresql://u:12345@h, x{S}", f"postgresql://u:***@h, x{S}"),
    (f"postgresql://u:a'{S}@h", "postgresql://u:***@h"),
    (f"https://{S}@github.com/x.git", "https://***@github.com/x.git"),
    (f"https://{S}:x-oauth-basic@github.com", "https://***:***@github.com"),
    (f"https://x/?key={S}&a=1", "https://x/?key=***&a=1"),
    (f"https://x/?auth={S}", "https://x/?auth=***"),
    (f"https://x/?code={S}", "https://x/?code=***"),
    (f"https://x/?X-Amz-Signature={S}", "https://x/?X-Amz-Signature=***"),
    (f"https://x/#access_token={S}", "https://x/#access_token=***"),
    (f"https://hooks.slack.com/services/T0/B0/{S} x", "https://hooks.slack.com/services/*** x"),
    # by their shape
    ("refused ghp_0123456789abcdefABCD", "refused ***"),
    ("sent eyJhbGciOi.eyJzdWIiOi.c2lnbg to", "sent *** to"),
    (f"-----BEGIN PRIVATE KEY-----\n{S}\n-----END", "-----BEGIN PRIVATE KEY-----***-----END"),
    (f"bearer abcdef{S}", "bearer ***"),
]

KEPT = [
    "the bearer of this letter; a=b",
    "unexpected token: foo",
    "auth: failed for user 12",
    "tokens=3 monkey=5 pass=3 fail=4",
    "max_tokens=4096 max_tokens: 4096",
    "password=None, {'password': None, 'token': null}",
    "KeyError: 'password'",
    'File "/x/auth.py", line 3, in login: x',
    "tests/test_auth.py:33: in test_x",
    "google.auth.exceptions.RefreshError: invalid grant x123456",
    "key=3 key: 7 primary_key='a' KeyError: 'x'",
    "http://localhost:4200/api/a@b",
    "https://git@github.com/x ssh://git@github.com/x s3://key@bucket/a abfs://c@a.dfs.core.windows.net/x",
    "https://h/a?page=2&size=3#x=1",
    "see a.b@example.com: key",
    "/data/my incoming/a-b.csv",
    '{"name": "token_count", "value": "x"}, {"value": "x", "name": "key"}, {"name": "key", "value": "a"}',
    "name: pass rate, value: 3",
    'doc = """x""" # password',
    "C:\\keys\\a: b",
]


@pytest.mark.parametrize(("text", "shown"), MASKED)
def test_texts(text, shown):
    assert mask_text(text) == shown.replace("***", MASK)
    assert may_hold_secret(text)


@pytest.mark.parametrize("text", KEPT)
def test_texts_that_stay(text):
    assert mask_text(text) == text


@pytest.mark.parametrize("text", [text for text, _ in MASKED])
def test_masked_once_is_masked(text):
    once = mask_text(text)
    assert mask_text(once) == once


class Login(BaseModel):
    user: int
    password: int


def test_an_error_of_pydantic():
    with pytest.raises(ValidationError) as raised:
        Login.model_validate({"user": {"password": f"{S}1"}, "password": f"{S}2"})
    shown = mask_text(str(raised.value))
    assert S not in shown
    assert "input_type=str" in shown


@given(
    st.text() | st.lists(st.sampled_from(["password", "token", "=", ":", "://", "@", "'", '"', " ", "\\", "a", "-"]))
)
@example("://@")
@example("-")
@example("")
def test_any_text_is_taken(text):
    text = "".join(text)
    assert isinstance(mask_text(text), str)
    if not may_hold_secret(text):
        assert mask_text(text) == text


@pytest.mark.parametrize(
    "part",
    ["://a:", "://", "a://a:b", "password", "password='", "password=,", "a.b-", "token=a,", "--key ", "(b'token',"]
    + [
        "password=[",
        "<token>",
        "token\n",
        "Cookie: ",
        "\\'",
        "-u a",
        'pin="""',
        "name:pin,value:",
        "value='a",
        '"value": "',
        "eyJaaaaaaa.",
        "password=a:b'",
        "Bearer ",
    ],
)
def test_a_hostile_text_takes_time_by_its_length(part):
    """Ten times the length takes some ten times as long; were it its square, this would take minutes."""
    for end in ("", "@", "=", "key:", "input_value=", "</"):
        mask_text(part * (60_000 // len(part)) + end)


def test_a_long_text_in_three_quotes_is_masked_to_its_end():
    assert mask_text('password = """' + "x" * 9000) == f'password = """{MASK}'
    assert mask_text("password = '''" + "x" * 9000 + "''' next") == f"password = '''{MASK}''' next"
