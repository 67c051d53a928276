"""Pictures, charts and terminal views: plain data in, text or markup out; nothing here runs a search or a network."""
