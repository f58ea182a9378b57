"""Web pages: the demonstration and the human study."""
