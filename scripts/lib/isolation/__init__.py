"""What may cross the wall: the account in tests/isolation.toml, what is compared with it, the page that is written from it."""
