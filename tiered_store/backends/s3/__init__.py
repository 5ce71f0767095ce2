"""
Keep objects in an S3 bucket, named as the original library names them.

.. code-block:: yaml

   type: s3
   bucket: images
   region: eu-central-1
   storage_class: INTELLIGENT_TIERING
   public_base_url: https://images.example.com/

Any server that speaks S3 will do:

.. code-block:: yaml

   type: s3
   bucket: images
   endpoint_url: https://storage.example.com:9000
   access_key: images
   secret_key: secret
   checksums: when_required

Objects are private, and their URLs are signed for an hour, unless told otherwise.
One request is one attempt: the SDK's own retries are off, ``type: retry`` has them.
"""

from tiered_store.backends.s3.store import S3Store


__all__ = ["S3Store"]
