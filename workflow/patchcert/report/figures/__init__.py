"""The report's figures, a module each: tables and arrays in, a matplotlib figure out; nothing here reads files."""
