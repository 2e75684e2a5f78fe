"""The drivers of the stages: they read files, call the packages that do the work, and write files."""
