"""Kill what may run only once before its lease ends."""
