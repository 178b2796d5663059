"""The reading room as a web application: pages, routes and the viewer component."""
