"""A finished trial in use: loaded, asked, looked into, shown and exported."""
