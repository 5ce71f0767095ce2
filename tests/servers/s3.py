"""S3 servers for the tests."""
