"""Pure decisions about versions, texts, sets and plans; no I/O and no clock."""
