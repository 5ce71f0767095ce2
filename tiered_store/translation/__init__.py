"""
What other people's code raises, in our words.

One table a source: the operating system, HTTP, S3 (botocore), Redis.  Foreign
classes are recognised by name, so no SDK is imported to tell.
"""

from tiered_store.translation.translate import translate, translated


__all__ = ["translate", "translated"]
