"""Secrets taken out of a text, by what they look like and by what they are.

Patterns find secrets that have a name or a form: parameters of presigned URLs, `Authorization` headers, fields such as
`SecretAccessKey`, passwords in URLs, private keys, session tokens. A secret access key or a password alone has neither,
so code that gets one registers it; it is found in each of its usual spellings.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

HIDDEN = "***"

_SHORTEST = 6
"""Fewest characters of a secret that is looked for by its value: shorter ones would be found everywhere."""

_MOST = 256
"""How many secrets are kept, the newest: a background process sees new ones without end."""

_known: dict[str, None] = {}  # in their order

_FIELDS = (
    r"(?:aws[_-]?)?secret[_-]?(?:access[_-]?)?key|(?:aws[_-]?)?(?:session|security)[_-]?token|"
    r"(?:access|refresh|id|auth|bearer|web[_-]?identity)[_-]?token|token[_-]?code|client[_-]?secret|saml[_-]?assertion|"
    r"(?:pg|mysql_)?(?:password|passwd|pwd)(?:[_-]?data)?|passphrase|secret[_-]?string|"
    r"base32[_-]?string[_-]?seed|qr[_-]?code[_-]?png|private[_-]?key|key[_-]?material"
)
"""Names of fields whose values are secrets, as AWS, its configuration files, libpq and others spell them."""

_PARAMETER = r"X-Amz-(?:Signature|Security-Token|Credential)"

_VALUE = r"""(?:"[^"]*"?|'[^']*'?|[^\s"'&;,<>(){}\[\]]+)"""


def register(*secrets: str | None) -> None:
    """Let `redact` find these secrets from now on. Empty ones and very short ones are passed over."""
    for secret in secrets:
        if secret and len(secret) >= _SHORTEST:
            # Each step is atomic: a lock of ours could be held by a thread that a fork leaves out.
            _known.pop(secret, None)
            _known[secret] = None
            if len(_known) > _MOST:
                _known.pop(list(_known)[0], None)  # noqa: RUF015 - an iterator may meet another thread's change


def register_url(url: str) -> None:
    """Register the password of a URL, such as that of a proxy, if it has one."""
    from urllib.parse import unquote, urlsplit

    try:
        password = urlsplit(url if "://" in url else f"http://{url}").password
    except ValueError:
        return
    if password:
        register(password, unquote(password))


def redact(text: str) -> str:
    """Return a text with `***` instead of each secret."""
    if known := frozenset(_known):
        text = _values(known).sub(HIDDEN, text)
    for pattern, replacement in _patterns():
        text = pattern.sub(replacement, text)
    return text


@lru_cache(maxsize=1)
def _values(known: frozenset[str]) -> re.Pattern[str]:
    """Registered secrets in their spellings: as they are, in URLs, in JSON and in Python."""
    import json
    from urllib.parse import quote, quote_plus

    spellings: set[str] = set()
    for secret in known:
        spellings |= {secret, quote(secret, safe=""), quote(secret), quote_plus(secret)}
        spellings |= {json.dumps(secret)[1:-1], repr(secret)[1:-1]}
    # Digits alone, such as an MFA code, are not looked for within longer numbers.
    longest_first = sorted(spellings, key=len, reverse=True)
    forms = [rf"(?<!\d){form}(?!\d)" if form.isdigit() else re.escape(form) for form in longest_first]
    return re.compile("|".join(forms))


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    def pattern(expression: str) -> re.Pattern[str]:
        return re.compile(expression, re.IGNORECASE | re.DOTALL)

    return (
        (
            pattern(r"(-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----).*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)"),
            rf"\1{HIDDEN}",
        ),
        (pattern(rf"({_PARAMETER}(?:=|%3D|%253D))[^&\s\"'<>]+"), rf"\1{HIDDEN}"),
        (pattern(rf"({_PARAMETER}[\"']?\s*(?::|=>|>)\s*b?){_VALUE}"), rf"\1{HIDDEN}"),
        (pattern(r"\b((?:proxy-)?authorization[\"']?\s*[:=]\s*b?[\"']?)[^\"'\r\n\\]+"), rf"\1{HIDDEN}"),
        (pattern(r"\b((?:Signature|Credential)=)[^\s,&\"']+"), rf"\1{HIDDEN}"),
        (pattern(r"\b(signature[\"']?\s*[:=]\s*b?[\"']?)[0-9a-f]{40,}"), rf"\1{HIDDEN}"),
        (pattern(r"\b((?:Basic|Bearer) +)[A-Za-z0-9+/=._~-]{8,}"), rf"\1{HIDDEN}"),
        (pattern(rf"(?<![A-Za-z])((?:{_FIELDS})[\"']?\s*(?:=>|[=:>])\s*b?){_VALUE}"), rf"\1{HIDDEN}"),
        (pattern(r"(--(?:token-code|password|secret-access-key|session-token)[= ])\S+"), rf"\1{HIDDEN}"),
        (pattern(r"(\b[a-z][a-z0-9+.-]{0,20}://[^\s/:@\"'<>]*:)[^\s/\"'<>]*@"), rf"\1{HIDDEN}@"),
        # How session tokens of STS begin, wherever they are.
        (re.compile(r"\b(?:IQoJ|FwoG|FQoG|AQoD)[A-Za-z0-9+/=%_-]{60,}"), HIDDEN),
    )
