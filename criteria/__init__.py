"""Built-in criteria, one method per file. The registry searches this package file by file: a new file is enough."""
