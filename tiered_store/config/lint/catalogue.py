"""
Every rule there is.
"""

from __future__ import annotations

from collections.abc import Iterable

from tiered_store.config.lint import (
    caches,
    journals,
    mirrors,
    names,
    purposes,
    recovery,
    retries,
    timeouts,
)
from tiered_store.config.lint.rule import Finding, Rule
from tiered_store.config.lint.stack import Stack
from tiered_store.config.problems import Place
from tiered_store.wording import unknown


RULES = (
    Rule("replicas-in-one-place", "error", mirrors.replicas_in_one_place),
    Rule("replica-that-is-not-written", "error", mirrors.replica_that_is_not_written),
    Rule("retry-above-retry", "warning", retries.retry_above_retry),
    Rule("retry-below-choice", "warning", retries.retry_below_choice),
    Rule("retry-outlives-timeout", "warning", retries.retry_outlives_timeout),
    Rule("wrappers-out-of-order", "warning", retries.wrappers_out_of_order),
    Rule("fallback-without-timeout", "warning", timeouts.fallback_without_timeout),
    Rule("write-outlives-lease", "warning", timeouts.write_outlives_lease),
    Rule("plain-http", "warning", names.plain_http),
    Rule("fault-on-purpose", "warning", purposes.fault_on_purpose),
    Rule("nothing-kept", "warning", mirrors.nothing_kept),
    Rule("journal-in-memory", "warning", journals.journal_in_memory),
    Rule("journal-in-passing", "warning", journals.journal_in_passing),
    Rule("journal-of-one-host", "warning", journals.journal_of_one_host),
    Rule("cache-below-mirror", "warning", mirrors.cache_below_mirror),
    Rule("control-without-journal", "warning", recovery.control_without_journal),
    Rule("nothing-repairs", "note", recovery.nothing_repairs),
    Rule("missing-disk-made", "note", mirrors.missing_disk_made),
    Rule("replicas-in-one-region", "note", mirrors.replicas_in_one_region),
    Rule(
        "encrypted-before-compressed", "warning", purposes.encrypted_before_compressed
    ),
    Rule("cached-without-ttl", "warning", caches.cached_without_ttl),
    Rule("cluster-without-ttl", "warning", caches.cluster_without_ttl),
    Rule("redis-store-as-tier", "warning", caches.redis_store_as_tier),
    Rule("memory-not-first", "warning", caches.memory_not_first),
    Rule("tier-never-read", "warning", caches.tier_never_read),
    Rule("policy-without-ttl", "warning", caches.policy_without_ttl),
    Rule("reproducible-untold", "warning", caches.reproducible_untold),
    Rule("secret-in-file", "warning", names.secret_in_file, written=True),
    Rule("shell-variable", "warning", names.shell_variable),
    Rule("never-used", "warning", names.never_used, written=True),
)
_SILENT_FOR_NOTHING = "allowed-in-vain"


def rule_named(name: str) -> Rule:
    """
    Return the rule that is called *name*.

    Raises:
        ValueError: There is none; its message says which may have been meant.
    """
    for rule in RULES:
        if rule.name == name:
            return rule
    raise ValueError(unknown("rule", name, (rule.name for rule in RULES)))


def find(stack: Stack, rules: Iterable[Rule] = RULES) -> list[Finding]:
    """Return what will hurt and is not meant to, in the order of the file."""
    allowed = stack.outline.allowances
    found: list[Finding] = []
    used: set[int] = set()
    for rule in rules:
        if not (stack.complete or rule.written):
            continue
        for node, message in rule.look(stack):
            meant = [
                allowance
                for allowance in allowed
                if allowance.rule == rule.name and allowance.covers(node.path)
            ]
            used |= {id(allowance) for allowance in meant}
            if not meant:
                found.append(
                    Finding(rule.name, node.start, node.path, message, rule.severity)
                )
    found += [
        Finding(
            _SILENT_FOR_NOTHING,
            allowance.node.start,
            allowance.node.path,
            f"{allowance.rule} finds nothing here any more; remove it",
            "note",
        )
        for allowance in allowed
        if stack.complete and id(allowance) not in used
    ]
    unique = dict.fromkeys(found)  # what is a default is found in every node
    return sorted(unique, key=lambda finding: finding.place or Place(""))


def catalogue() -> str:
    """Return the page of every rule, in Markdown."""
    listed = "".join(
        f"| [`{rule.name}`](#{rule.name}) | {rule.severity} | {rule.summary} |\n"
        for rule in RULES
    )
    pages = "\n".join(rule.page() for rule in RULES)
    return f"{_HEAD}\n| rule | | why |\n| --- | --- | --- |\n{listed}\n{pages}"


_HEAD = """\
# What is allowed and will hurt

`tiered-store check` tells what is wrong with a configuration, and then what is allowed
and will hurt.  An *error* fails the check: data will be lost or answers wrong.  A
*warning* fails `check --strict`.  A *note* is worth a thought.

Where something is meant, the node says so, and why.  That holds for what is written in
the node; at the top of the file, for all of it:

```yaml
version: 1
stores:
  images:
    type: replicated
    replicas: {a: {type: memory}, b: {type: memory}}
    journal: {type: memory}
    repair: {every: 30s}
    allow: {journal-in-memory: "one process, and what it holds can be computed again"}
```

`tiered-store lint RULE` prints a rule's page.  This file is what
`tiered-store lint --markdown` prints.
"""
