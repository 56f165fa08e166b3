"""What stands against the threats of docs/security.md: with each defence taken away, a test fails (`make mutants`)."""

# ruff: noqa: E501 - lines of source and what becomes of them, as they are
from __future__ import annotations

from tests.property.mutant import Mutant

GUARD, LOGIN, COMBINED, PROXY, OIDC = (
    f"web/access/{name}.py" for name in ("guard", "login", "combined", "proxy", "oidc")
)
LIMITS, RECORDS, ROWS, OWN = (
    "web/access/token_limits.py",
    "client/access.py",
    "engine/access.py",
    "web/api/own_tasks.py",
)
ENTRY, ATTACKS, DANGEROUS, HOSTILE, PROVIDERS = (
    f"tests/contract/web/test_{name}.py" for name in ("access", "attacks", "dangerous", "hostile_pages", "oidc")
)
COMMAND, SLOW = "tests/system/test_web_command.py", "tests/system/web/test_slow_clients.py"
STREAMS = "tests/contract/web/test_streams.py"


def taken_away(name: str, file: str, old: str, new: str, test: str, tests: str) -> Mutant:
    """A defence that is taken away, and the test that should notice."""
    return Mutant(f"defence: {name}", file, old, new, test, tests)


DEFENCES = (
    # a stranger on the network
    taken_away("it opens itself to a network", "cli/web.py", "if not self.asks and not is_loopback(self.host):", "if False:",
               "does_not_open_itself", COMMAND),
    taken_away("without a login, everybody is let in", COMBINED, "return None if value is None else", "return Identity('x', role_named('admin'), how='x') if value is None else",
               "a_program_uses_a_token", ENTRY),
    taken_away("logins may be guessed", LOGIN, "        self._throttle(address)\n", "", "fails_often", ENTRY),
    # tokens
    taken_away("a revoked token is valid", ROWS, "return self.revoked_at is None and", "return", "until_it_is_revoked", ENTRY),
    taken_away("a token does not expire", ROWS, "(self.expires_at is None or self.expires_at > now)", "True", "ends_when_it_should", ENTRY),
    taken_away("a session does not expire", ROWS, "session.expires_at <= now or", "", "ends_when_it_should", ENTRY),
    taken_away("a session that nobody uses goes on", ROWS, " or session.seen_at <= now - IDLE", "", "ends_when_it_should", ENTRY),
    taken_away("a session outlives the end of its token", ROWS, " or (ends is not None and ends <= now)", "", "ends_when_it_should", ENTRY),
    taken_away("a session outlives its token", "store/statements/access.sql", "t.role, t.scopes, t.workflows, t.revoked_at,", "t.role, t.scopes, t.workflows, NULL,", "ends_with_its_token", ENTRY),
    taken_away("a token is stored as it is", RECORDS, "hash_=hashed(PREFIX + secret + _check(secret)),\n", "hash_=PREFIX + secret + _check(secret),\n",
               "stored_as_a_hash", ENTRY),
    taken_away("a session is stored as it is", RECORDS, "return hashlib.sha256(text.encode(\"utf-8\", \"replace\")).hexdigest()", "return text",
               "stolen_database", ENTRY),
    taken_away("a session is known before its login", LOGIN, "        value = records.open_session(", "        value = session_cookie(request) or records.open_session(",
               "makes_a_new_session", ENTRY),
    # web pages of strangers
    taken_away("other sites may change things", GUARD, "    raise ProblemError(403, \"CrossOrigin\"", "    return\n    raise ProblemError(403, \"CrossOrigin\"",
               "another_site", ENTRY),
    taken_away("an origin of another site is not looked at", GUARD, "return origin.netloc == host and (", "return (", "another_site", ENTRY),
    taken_away("any name of this machine is answered", GUARD, "if name not in allowed:", "if False:", "strangers_name", ENTRY),
    taken_away("cookies of neighbours count", COMBINED, "SECURE_COOKIE if request.scope.get(\"segue.is_secure\") else PLAIN_COOKIE",
               "SECURE_COOKIE if SECURE_COOKIE in request.cookies else PLAIN_COOKIE", "neighbouring", ATTACKS),
    taken_away("a cookie makes any button", "web/flash.py", "UNDONE.fullmatch(undo) is not None", "True", "forged_cookie", ATTACKS),
    # limited tokens, and people who want more
    taken_away("a limited token opens pages", LIMITS, "READS_PAGES not in identity.scopes:", "False:", "opens_no_page", ATTACKS),
    taken_away("a limited token makes a stronger one", LIMITS, "not (scopes and identity.scopes.issuperset(scopes))", "False", "makes_no_token", ATTACKS),
    taken_away("a token of some workflows does the rest", LIMITS, "if name is None or not any(", "if name is not None and not any(", "changes_nothing_else", ATTACKS),
    taken_away("a token of some workflows starts others", LIMITS, "if patterns is None or not operation.changes:", "if True:", "changes_nothing_else", ATTACKS),
    taken_away("paths of an older API have no limits", "web/foreign.py", "if identity.scopes is not None or", "if False or", "older_api", ATTACKS),
    taken_away("roles are not asked for", "web/operations.py", "return identity.role >= self.role and", "return", "asks_for_its_role", ENTRY),
    taken_away("scopes are not asked for", "web/operations.py", " and (identity.scopes is None or self.name in identity.scopes)", "", "limited_to_operations", ENTRY),
    taken_away("pages are for everybody", "web/pages/frame.py", "if call.identity.role < entry.role:", "if False:", "pages_of_admins", ENTRY),
    taken_away("a revoked token goes on streaming", "web/requests.py", "return await site.in_thread(site.access.identify, request) == call.identity", "return True",
               "ends_the_streams", ATTACKS),
    # much
    taken_away("a body has any length", GUARD, "        if seen > MOST_BYTES:", "        if False:", "fill_the_memory", ATTACKS),
    taken_away("a body has any time", GUARD, "anyio.fail_after(max(0.0, ends - anyio.current_time()))", "anyio.fail_after(3600.0)", "drips_is_answered", SLOW),
    taken_away("a person has any number of streams", "web/streams.py", "if self._taken[person] >= self._each:", "if False:", "at_once_get_no_more", STREAMS),
    taken_away("there is any number of streams", "web/streams.py", "if self.taken >= MOST:", "if False:", "too_many_streams", STREAMS),
    taken_away("a form has any number of fields", "web/requests.py", "MOST_FIELDS = 1000", "MOST_FIELDS = 100_000", "no_deeper_json", ATTACKS),
    taken_away("JSON is nested at will", "web/requests.py", "if deepest > MOST_DEPTH:", "if False:", "no_deeper_json", ATTACKS),
    taken_away("an error says where the database is", GUARD, "problem is not None and problem.status == 503:", "problem is not None:\n        return problem\n    if False:",
               "where_the_database_is", ATTACKS),
    taken_away("a body takes any time", GUARD, "with anyio.fail_after(max(0.0, ends - anyio.current_time())):", "with anyio.fail_after(None):",
               "body_that_drips", "tests/system/web/test_slow_clients.py"),
    taken_away("streams have no number", "web/streams.py", "if self._taken[person] >= self._each:", "if False:", "at_once_get_no_more",
               "tests/contract/web/test_streams.py"),
    # an operator who wants a shell
    taken_away("a command is started", OWN, "if not call.settings.allow_shell:", "if False:", "not_started", DANGEROUS),
    taken_away("an operator may use what admins may", OWN, "if call.identity.role < Role.ADMIN:", "if False:", "not_started", DANGEROUS),
    taken_away("a command is edited", "web/api/steps.py", "        refuse_own(call, run.step(step).info().task)\n", "", "of_a_step_is_not_changed", DANGEROUS),
    taken_away("a command is forked", "web/api/runs.py", "        refuse_own(call, run.step(body.step).info().task)\n", "        pass\n", "fork_does_not", DANGEROUS),
    taken_away("a command is scheduled", "web/api/schedules.py", "    refuse_own(call, work.name)\n", "", "schedule_does_not", DANGEROUS),
    taken_away("a subscription reaches any place", OWN, "public_only=True", "public_only=False", "private_networks", DANGEROUS),
    taken_away("a subscription sends with anything", OWN, "not in (\"http\", \"https\"):", "in ():", "only_to_web_servers", DANGEROUS),
    # hostile data
    taken_away("nothing is escaped", "web/rendering.py", "autoescape=True", "autoescape=False", "stay_texts", HOSTILE),
    taken_away("characters that steer are shown", "web/rendering.py", "return _TAG_OR_CONTROL.sub(_shown_control, page) if _CONTROL.search(page) else page", "return page",
               "stay_texts", HOSTILE),
    taken_away("scripts of anybody run", GUARD, "script-src 'self'; ", "script-src 'self' 'unsafe-inline'; ", "headers_that_protect", ENTRY),
    taken_away("texts become elements", GUARD, "require-trusted-types-for 'script'; ", "", "headers_that_protect", ENTRY),
    taken_away("pages may be in frames", GUARD, "frame-ancestors 'none'; ", "", "headers_that_protect", ENTRY),
    # an identity provider
    taken_away("the signature is not looked at", OIDC, "                token = jwt.decode(id_token, self._key_set(), algorithms=ALGORITHMS)\n",
               "                parts = base64.urlsafe_b64decode(id_token.split('.')[1] + '==')\n                token = jwt.Token({}, __import__('json').loads(parts))\n",
               "did_not_sign", PROVIDERS),
    taken_away("the issuer is not looked at", OIDC, "iss={\"essential\": True, \"values\": [self.issuer, self.issuer + \"/\"]}", "iss={\"essential\": True}",
               "something_else", PROVIDERS),
    taken_away("the audience is not looked at", OIDC, "aud={\"essential\": True, \"value\": self._id}", "aud={\"essential\": True}", "something_else", PROVIDERS),
    taken_away("the authorized party is not looked at", OIDC, "and claims.get(\"azp\") != self._id:", "and False:", "something_else", PROVIDERS),
    taken_away("the nonce is not looked at", OIDC, "if claims.get(\"nonce\") != begun.nonce:", "if False:", "something_else", PROVIDERS),
    taken_away("the end is not looked at", OIDC, "exp={\"essential\": True}, ", "", "something_else", PROVIDERS),
    taken_away("the state is not looked at", OIDC, "if not secrets.compare_digest(begun.state.encode(), state.encode()):", "if False:", "another_login", PROVIDERS),
    taken_away("the issuer of the answer is not looked at", OIDC, "if issuer is not None and issuer.rstrip(\"/\") != self.issuer:", "if False:", "another_login", PROVIDERS),
    taken_away("a code needs no verifier", OIDC, "            \"code_verifier\": begun.verifier,\n", "", "knows_enters", PROVIDERS),
    taken_away("a provider may have any address", OIDC, "if parts.scheme != \"https\" and", "if False and", "https_address", PROVIDERS),
    # proxies, and where a login leads
    taken_away("headers of others are believed", PROXY, "        if not self.is_trusted(request.client.host if request.client else None):\n            raise", "        if False:\n            raise",
               "headers_of_others", ENTRY),
    taken_away("a name may be sent twice", PROXY, "if len(names) > 1 or", "if", "headers_of_others", ENTRY),
    taken_away("groups may be sent twice", PROXY, "if len(groups) > 1:", "if False:", "caller_adds", ATTACKS),
    taken_away("the caller says its address", PROXY, "for each in reversed(said):", "for each in said:", "address_behind", ENTRY),
    taken_away("a login leads anywhere", "web/paths.py", "return text if fits and text.isprintable() else \"/\"", "return text", "to_another_site", ENTRY),
    taken_away("a login leads to what looks like a path", "web/paths.py", "and not text.startswith((\"//\", \"/\\\\\")) and \"\\\\\" not in text", "", "to_another_site", ENTRY),
)  # fmt: skip
