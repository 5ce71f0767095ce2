"""
The settings of a client of boto3, for obstore.
"""

from __future__ import annotations

import datetime
import functools
import os

from pathlib import Path
from typing import Any

from tiered_store.backends.s3.client import Client


# A body that takes longer is asked for again, from where it is; and a server whose
# bytes drip holds nobody for ever, since none can be interrupted who waits for it.
_AT_LONGEST = 32.0  # seconds: 256 KiB of the slowest body that is waited for
_LEAST = datetime.timedelta(milliseconds=1)
_CREDENTIALS = datetime.timedelta(minutes=5)  # until the SDK is asked again
_AUTHORITIES = ("AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE")  # as the SDK has them


def new_store(client: Client) -> Any:
    """Return obstore's store of the bucket of *client*, or None if it can have none."""
    from obstore.store import S3Store

    connection = client.connection
    secret, token = connection.secret_key, connection.session_token
    given: dict[str, Any] = {"region": connection.region or client.region()}
    if connection.endpoint_url is not None:
        given["endpoint"] = connection.endpoint_url
        given["region"] = given["region"] or "us-east-1"
    if secret is None:
        given["credential_provider"] = functools.partial(_signing, client.credentials())
    else:
        given["access_key_id"] = connection.access_key
        given["secret_access_key"] = secret.reveal()
        given["session_token"] = None if token is None else token.reveal()
    if given["region"] is None:
        return None
    virtual = connection.endpoint_url is None and "." not in client.bucket
    try:
        return S3Store(
            client.bucket,
            virtual_hosted_style_request=virtual,
            client_options=_options(client),
            retry_config={"max_retries": 0, "retry_timeout": datetime.timedelta(0)},
            **{name: value for name, value in given.items() if value is not None},
        )
    except ValueError as error:
        if "Invalid key" not in str(error):
            raise
        return None  # an older one, without a timeout for reading


def unsigned(error: Exception) -> bool:
    """Tell whether *error* is that there was nothing to sign with."""
    return "External AWS credential provider" in str(error)


def unread(error: Exception) -> bool:
    """Tell whether *error* is of user metadata that others read."""
    return "contained non UTF-8 characters" in str(error)


def _options(client: Client) -> Any:
    connection = client.connection
    options: Any = {
        "allow_http": not (connection.endpoint_url or "").startswith("https:"),
        "connect_timeout": _duration(connection.connect_timeout),
        "read_timeout": _duration(connection.timeout),
        "timeout": _duration(connection.timeout + _AT_LONGEST),
        "pool_max_idle_per_host": str(connection.connections),
    }
    for name in _AUTHORITIES:
        if path := os.environ.get(name):
            options["root_certificate"] = Path(path).read_bytes()
            break
    return options


def _duration(seconds: float) -> datetime.timedelta:
    return max(_LEAST, datetime.timedelta(seconds=seconds))


def _signing(credentials: Any) -> dict[str, Any]:
    """Return what boto3 signs with now."""
    frozen = credentials.get_frozen_credentials()
    return {
        "access_key_id": frozen.access_key,
        "secret_access_key": frozen.secret_key,
        "token": frozen.token,
        "expires_at": datetime.datetime.now(datetime.UTC) + _CREDENTIALS,
    }
