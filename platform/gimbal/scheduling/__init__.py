"""Pure scheduling: a snapshot goes in, decisions with a reason come out; nothing acts here."""
