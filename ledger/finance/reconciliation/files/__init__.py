"""Outside records: the mapping that describes a file, its expressions, and the file's reader."""
