"""The trained engines that ship with the package, as data; nothing to import."""
