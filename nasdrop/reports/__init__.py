"""Run folders as pages to read or to send: read as far as they go, told in sections, written as one HTML file."""
