"""One verb a file; files, network, clock and screen are wired here."""
