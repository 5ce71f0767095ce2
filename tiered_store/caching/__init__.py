"""How copies are kept near the reader, and when they are believed."""
