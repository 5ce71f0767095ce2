"""Redis servers for the tests."""
