"""How the ledger lies in Redis: a record's text, lines and turns, Lua, the clock."""
