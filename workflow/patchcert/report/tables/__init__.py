"""The report's tables, a module each: long CSV for machines, compact Markdown for readers."""
