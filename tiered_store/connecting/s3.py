"""
Settings of a bucket that would bite.
"""

from __future__ import annotations

import time

from email.utils import parsedate_to_datetime
from typing import Any

from tiered_store.connecting.finding import Attempt, told
from tiered_store.connecting.scratch import clock
from tiered_store.errors import DeniedError, NotFoundError, StoreError, UnsupportedError
from tiered_store.translation.s3 import code_of


_NONE = frozenset({"NoSuchLifecycleConfiguration"})
_UNKNOWN = frozenset({"NotImplemented", "MethodNotAllowed"})


def settings(store: Any, at: Attempt) -> None:
    """Look at the region, the clock, versioning and the lifecycle of the bucket."""
    answer = at.attempt("bucket", lambda: store._client.call("head_bucket"))
    if answer is None:
        return
    at.note("bucket", "ok", store.bucket)
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    if "date" in headers:
        clock(at, parsedate_to_datetime(headers["date"]).timestamp() - time.time())
    _region(store, at, headers.get("x-amz-bucket-region"))
    rules = _rules(store, at)
    _versioning(store, at, rules)
    if rules is not None:
        _lifecycle(store, at, rules)


def _region(store: Any, at: Attempt, told_region: str | None) -> None:
    is_other = None not in (told_region, store.region) and told_region != store.region
    if is_other and store.endpoint_url is None:
        at.note(
            "region",
            "warning",
            f"the bucket is in {told_region}, not in {store.region}: signed URLs do "
            f"not work; say region: {told_region}",
        )


def _versioning(store: Any, at: Attempt, rules: list[Any] | None) -> None:
    answer = _asked(store, at, "versioning", "get_bucket_versioning")
    if answer is None:
        return
    if answer.get("Status") != "Enabled":
        at.note("versioning", "ok", "off")
        return
    ends = [rule for rule in rules or [] if "NoncurrentVersionExpiration" in rule]
    if ends:
        at.note("versioning", "ok", "on, and old versions expire")
    else:
        at.note(
            "versioning",
            "warning",
            "on: what is overwritten or deleted is kept and billed for ever; let "
            "noncurrent versions expire",
        )


def _rules(store: Any, at: Attempt) -> list[Any] | None:
    operation = "get_bucket_lifecycle_configuration"
    answer = _asked(store, at, "lifecycle", operation)
    if answer is None:
        return None
    return [rule for rule in answer.get("Rules", []) if rule.get("Status") == "Enabled"]


def _lifecycle(store: Any, at: Attempt, rules: list[Any]) -> None:
    bites = [rule for rule in rules if "Expiration" in rule and _is_ours(store, rule)]
    for rule in bites:
        when = rule["Expiration"]
        if "ExpiredObjectDeleteMarker" in when:
            continue
        age = f"after {when['Days']} days" if "Days" in when else f"on {when['Date']}"
        at.note(
            "lifecycle",
            "warning",
            f"rule {rule.get('ID', 'without a name')!r} deletes objects {age}; an "
            "original that it deletes is gone",
        )
    aborts = any("AbortIncompleteMultipartUpload" in rule for rule in rules)
    if not bites:
        message = (
            "" if aborts else "parts of uploads that broke off are kept; abort them"
        )
        at.note("lifecycle", "ok" if aborts else "note", message)


def _is_ours(store: Any, rule: Any) -> bool:
    """Whether *rule* is about any object of *store*."""
    where = rule.get("Filter", {})
    prefix = where.get("Prefix", where.get("And", {}).get("Prefix", ""))
    prefix = rule.get("Prefix", prefix)
    own = f"{store.prefix.rstrip('/')}/" if store.prefix else ""
    return bool(own.startswith(prefix) or prefix.startswith(own))


def _asked(store: Any, at: Attempt, what: str, operation: str) -> Any:
    """Return the answer, or None after noting that it may or can not be asked."""
    try:
        return store._client.call(operation)
    except StoreError as error:
        code = code_of(error.__cause__)
        if code in _NONE or (isinstance(error, NotFoundError) and not code):
            return {}
        if code in _UNKNOWN or isinstance(error, UnsupportedError):
            at.note(what, "note", "the server does not know it")
        elif isinstance(error, DeniedError):
            at.note(what, "note", "not to be seen with these rights")
        else:
            at.note(what, "note", f"not to be seen: {told(error)}")
        return None
